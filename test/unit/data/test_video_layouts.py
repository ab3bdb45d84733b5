# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Readers of LeRobot v3, raw DROID and AgiBot World, on tiny data sets in exactly those layouts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from recordings import (
    EPISODE_ID,
    SERIAL,
    Recording,
    write_agibot,
    write_av1,
    write_droid,
    write_lerobot,
)
from typer.testing import CliRunner

from robotracer_ros.cli import app
from robotracer_ros.data.files import DatasetFileError
from robotracer_ros.data.options import with_options
from robotracer_ros.data.video.agibot import AgibotReader
from robotracer_ros.data.video.droid import DroidReader
from robotracer_ros.data.video.episode import Episode
from robotracer_ros.data.video.lerobot import LeRobotReader
from robotracer_ros.data.video.lerobot_keys import LeRobotKeys
from robotracer_ros.errors import InvalidParameterError, NoIntrinsicsError
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.transforms import look_at, make_transform, rotation_about

N = 8
LEROBOT_DATA = 'data/chunk-000/file-000.parquet'


def recording(text: str = 'Put the cup on the tray', offset: int = 0) -> Recording:
    """Return eight frames of 32x24: brightness and depth tell the frame's number."""
    shape = (N, 24, 32)
    levels = (np.arange(N) * 20 + offset).astype(np.uint8)
    return Recording(
        rgb=np.broadcast_to(levels[:, None, None, None], (*shape, 3)).copy(),
        depth=np.broadcast_to((0.5 + 0.1 * np.arange(N))[:, None, None], shape).astype(np.float32),
        camera=CameraModel(32, 24, 30.0, 31.0, 15.5, 11.5),
        base_from_camera=look_at((1.0, 0.4, 0.8), (0.4, 0.0, 0.1)),
        flange=np.stack(
            [
                make_transform(rotation_about((0.2, 1, 0.1), 2.0 + 0.1 * i), (0.3 + 0.05 * i, 0.1, 0.4))
                for i in range(N)
            ]
        ),
        opening=np.array([1.0, 1.0, 0.4, 0.0, 0.0, 0.1, 1.0, 1.0]),
        text=text,
        fps=5.0,
    )


def same(episode: Episode, truth: Recording, arm: int = 0) -> None:
    """Check everything that a layout carries against what was written."""
    assert len(episode) == len(episode.rgb) == N
    np.testing.assert_allclose(episode.base_from_camera[3], truth.base_from_camera, atol=1e-6)
    np.testing.assert_allclose(episode.arms[arm].flange, truth.flange, atol=1e-6)
    np.testing.assert_allclose(episode.arms[arm].opening, truth.opening, atol=1e-6)
    tip = truth.flange[5] @ (0, 0, 0.15, 1)
    np.testing.assert_allclose(episode.arms[arm].grip_points[5], tip[:3], atol=1e-6)
    assert episode.camera == truth.camera
    for i in (0, 5, 2):
        assert abs(float(episode.frame(i).mean()) - float(truth.rgb[i].mean())) < 3
        assert episode.depth is not None
        depth = episode.depth.read(i)
        assert depth is not None
        np.testing.assert_allclose(depth, truth.depth[i], atol=6e-4)


def lerobot(root: Path, video: bool = False, **more: object) -> LeRobotReader:
    """Write two episodes and open them."""
    first, second = recording(), recording('Open the drawer', 7)
    options = write_lerobot(root, [first, second], video) | more
    return LeRobotReader(root, with_options(LeRobotKeys(), options))


@pytest.mark.parametrize('video', [False, True])
def test_lerobot(tmp_path: Path, video: bool) -> None:
    """Both episodes of one file, pictures in the table or AV1 video, each with its own text."""
    reader = lerobot(tmp_path / 'set', video)
    assert reader.references() == ['0', '1']
    same(reader.read('0'), recording())
    second = reader.read('1')
    same(second, recording('Open the drawer', 7))
    assert second.instructions == ('Open the drawer',) and second.fps == 5
    assert second.id == 'set-000001' and second.layout == 'lerobot'


def test_lerobot_other_keys(tmp_path: Path) -> None:
    """Quaternions and matrices, chosen columns, a still camera, intrinsics of another size."""
    root = tmp_path / 'set'
    truth = recording()
    options = write_lerobot(root, [truth])
    path = root / LEROBOT_DATA
    table = pq.read_table(path)
    quaternion = np.array([0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5)])
    state = [[9.0, *truth.flange[i, :3, 3], *quaternion, 100.0 * truth.opening[i]] for i in range(N)]
    table = table.append_column('observation.state', pa.array(state))
    pq.write_table(table, path)
    info = json.loads((root / 'meta/info.json').read_text())
    info['features']['observation.state'] = {'dtype': 'float32', 'shape': [9], 'names': None}
    (root / 'meta/info.json').write_text(json.dumps(info))
    arm = {
        'pose': 'observation.state',
        'pose_columns': [1, 2, 3, 4, 5, 6, 7],
        'pose_format': 'xyz_xyzw',
        'gripper': 'observation.state',
        'gripper_column': 8,
        'gripper_open': 100,
        'gripper_closed': 0,
        'grip_offset': [0.1, 0.0, 0.0],
    }
    options |= {
        'arms': [arm],
        'base_from_camera': np.eye(4).ravel().tolist(),
        'extrinsics_format': 'matrix',
        'intrinsics': [60.0, 62.0, 31.0, 23.0],
        'intrinsics_size': [64, 48],
    }
    episode = LeRobotReader(root, with_options(LeRobotKeys(), options)).read('0')
    np.testing.assert_allclose(episode.arms[0].opening, truth.opening, atol=1e-6)
    # A quarter turn about z takes the offset along x to y.
    step = episode.arms[0].grip_points - truth.flange[:, :3, 3]
    np.testing.assert_allclose(step, np.tile([0.0, 0.1, 0.0], (N, 1)), atol=1e-6)
    np.testing.assert_array_equal(episode.base_from_camera, np.tile(np.eye(4), (N, 1, 1)))
    assert (episode.camera.fx, episode.camera.fy) == (30.0, 31.0)


def rewrite(root: Path, **columns: object) -> None:
    """Replace columns of the frames."""
    path = root / LEROBOT_DATA
    table = pq.read_table(path)
    for name, values in columns.items():
        at = table.column_names.index(name)
        table = table.set_column(at, name, pa.array(values))
    pq.write_table(table, path)


def edit_info(root: Path, **values: object) -> None:
    """Replace entries of info.json."""
    path = root / 'meta' / 'info.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (lambda r: (r / 'meta/info.json').write_text('{'), r'info\.json.*as JSON'),
        (lambda r: (r / 'meta/info.json').unlink(), r'info\.json.*cannot be read'),
        (lambda r: edit_info(r, codebase_version='v2.1'), r"codebase_version: is 'v2\.1': must be v3"),
        (lambda r: edit_info(r, fps=0), 'fps: is 0.0: must be > 0'),
        (lambda r: edit_info(r, fps='ten'), "fps: 'ten' are not numbers"),
        (lambda r: edit_info(r, features=[]), "no feature 'observation.images|stands in a list|features"),
        (lambda r: edit_info(r, data_path='data/{episode_chunk}.parquet'), 'data_path.*episode_chunk'),
        (lambda r: edit_info(r, data_path='../../{chunk_index}'), 'leads out of the data set'),
        (lambda r: (r / LEROBOT_DATA).unlink(), r'file-000\.parquet.*cannot be read'),
        (lambda r: (r / LEROBOT_DATA).write_bytes(b'PAR1 and nothing more'), 'as parquet'),
        (
            lambda r: (r / LEROBOT_DATA).write_bytes((r / LEROBOT_DATA).read_bytes()[:-900]),
            'as parquet',
        ),
        (lambda r: (r / 'meta/tasks.parquet').unlink(), r'tasks\.parquet'),
        (lambda r: (r / 'meta/episodes/chunk-000/file-000.parquet').unlink(), 'no episodes'),
        (
            lambda r: rewrite(r, frame_index=[1, 0, *range(2, N), *range(N)]),
            'episode 0, frame_index: does not count',
        ),
        (
            lambda r: rewrite(r, episode_index=[5] * N + [1] * N),
            'episode 0: has 0 rows: its metadata say 8',
        ),
        (
            lambda r: rewrite(
                r, **{'observation.state.gripper_position': [[float('nan')]] * (2 * N)}
            ),
            r'gripper_position: holds nan at \(0, 0\): must be finite',
        ),
        (
            lambda r: rewrite(r, **{'camera_extrinsics.exterior_1_left': [[1.0, 2.0]] * (2 * N)}),
            r'camera_extrinsics.*has shape \(8, 2\): must be \(N, 6\)',
        ),
    ],
)
def test_broken_lerobot(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    """The error names the file, the field and the value."""
    root = tmp_path / 'set'
    options = write_lerobot(root, [recording(), recording('x')])
    damage(root)
    with pytest.raises(InvalidParameterError, match=message):
        LeRobotReader(root, with_options(LeRobotKeys(), options)).read('0')


def test_lerobot_needs_to_be_told(tmp_path: Path) -> None:
    """What the layout cannot say must be in the options, and a wrong name lists the right ones."""
    with pytest.raises(NoIntrinsicsError, match='fx, fy, cx, cy'):
        lerobot(tmp_path / 'a', intrinsics=[]).read('0')
    with pytest.raises(InvalidParameterError, match=r"no feature 'observation\.images\.top'.*exterior_1"):
        lerobot(tmp_path / 'b', camera='observation.images.top')
    with pytest.raises(InvalidParameterError, match=r"option 'cammera' is unknown.*camera"):
        with_options(LeRobotKeys(), {'cammera': 'x'})
    with pytest.raises(InvalidParameterError, match=r"option 'arms\[0\].gripper_open' is 'wide'"):
        with_options(LeRobotKeys(), {'arms': [{'gripper_open': 'wide'}]})


def test_lerobot_as_the_hub_downloads_it(tmp_path: Path) -> None:
    """Every file is a link to a folder of blobs beside."""
    options = write_lerobot(tmp_path / 'written', [recording()], True)
    for i, path in enumerate(sorted(p for p in (tmp_path / 'written').rglob('*') if p.is_file())):
        blob = tmp_path / 'blobs' / str(i)
        link = tmp_path / 'snapshots' / path.relative_to(tmp_path / 'written')
        blob.parent.mkdir(exist_ok=True)
        link.parent.mkdir(parents=True, exist_ok=True)
        path.rename(blob)
        link.symlink_to(blob)
    same(LeRobotReader(tmp_path / 'snapshots', with_options(LeRobotKeys(), options)).read('0'), recording())


def test_lerobot_video_that_is_too_short(tmp_path: Path) -> None:
    """The second episode would reach beyond the file."""
    reader = lerobot(tmp_path, video=True)
    path = next(tmp_path.glob('videos/*/chunk-000/file-000.mp4'))
    write_av1(path, list(recording().rgb))
    same(reader.read('0'), recording())
    with pytest.raises(DatasetFileError, match='has 8 frames: the episode needs 8 to 16'):
        LeRobotReader(tmp_path, reader.keys).read('1')


def test_the_command(tmp_path: Path) -> None:
    """Options reach the reader; what makes no trace is counted and listed."""
    write_droid(tmp_path / 'set', recording())
    (tmp_path / 'o.yaml').write_text('alignment: {min_tested: 100}\nsource: {camera: ext1}')
    command = ['generate', 'video', str(tmp_path / 'set'), str(tmp_path / 'out')]
    result = CliRunner().invoke(
        app, [*command, '--layout', 'droid', '--config', str(tmp_path / 'o.yaml')]
    )
    assert result.exit_code == 0, result.output
    assert '1 left out: no closing' in result.output or '1 left out: alignment' in result.output
    assert (tmp_path / 'out' / 'rejections' / 'train-video-000000.jsonl').exists()
    for more, problem in (
        (['--layout', 'rlds'], r"layout 'rlds': must be one of lerobot, droid, agibot"),
        (['--layout', 'droid', '--limit', '0'], 'limit 0: must be at least 1'),
        (['--layout', 'agibot'], r'observations.*no episodes'),
        (['--layout', 'lerobot'], r'info\.json.*cannot be read'),
    ):
        with pytest.raises(InvalidParameterError, match=problem):
            CliRunner().invoke(app, [*command, *more], catch_exceptions=False)


def open_droid(root: Path) -> Episode:
    """Read the only episode."""
    reader = DroidReader(root)
    return reader.read(reader.references()[0])


def test_droid(tmp_path: Path) -> None:
    """Camera poses of the annotations replace the noisy recorded ones; three wordings."""
    truth = recording()
    write_droid(tmp_path, truth)
    reader = DroidReader(tmp_path)
    (reference,) = reader.references()
    episode = reader.read(reference)
    same(episode, truth)
    assert episode.id == EPISODE_ID
    assert episode.instructions == tuple(f'{truth.text} ({i})' for i in (1, 2, 3))
    assert episode.extra['calibration'] == 'annotations' and episode.fps == 15


def test_droid_without_later_poses(tmp_path: Path) -> None:
    """The recorded poses are used and named; the collector's label stands for the missing wordings."""
    truth = recording()
    write_droid(tmp_path, truth)
    (tmp_path / 'annotations' / 'cam2base_extrinsic_superset.json').unlink()
    (tmp_path / 'annotations' / 'droid_language_annotations.json').unlink()
    episode = open_droid(tmp_path)
    assert episode.extra['calibration'] == 'recorded'
    assert episode.base_from_camera[0, 0, 3] == pytest.approx(truth.base_from_camera[0, 3] + 0.04)
    assert episode.instructions == ('Move object into or out of container',)


def edit_h5(path: Path, name: str, values: object | None) -> None:
    """Replace or delete a data set of an HDF5 file."""
    with h5py.File(path, 'a') as file:
        del file[name]
        if values is not None:
            file[name] = values


def note(root: Path, name: str, value: object) -> None:
    """Write an annotation file."""
    (root / 'annotations' / name).write_text(json.dumps(value))


POSITION = 'observation/robot_state/cartesian_position'


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (lambda r, e: next(e.glob('metadata_*')).unlink(), 'no episodes'),
        (lambda r, e: next(e.glob('metadata_*')).write_text('[]'), 'ext1_cam_serial: stands in a list'),
        (lambda r, e: next(e.glob('metadata_*')).write_text('{}'), 'ext1_cam_serial: is missing'),
        (lambda r, e: (e / 'trajectory.h5').write_bytes(b'no'), r'trajectory\.h5.*as HDF5'),
        (lambda r, e: edit_h5(e / 'trajectory.h5', POSITION, None), f'{POSITION}: is missing'),
        (
            lambda r, e: edit_h5(e / 'trajectory.h5', POSITION, np.zeros((N, 3))),
            r'has shape \(8, 3\): must be \(N, 6\)',
        ),
        (
            lambda r, e: edit_h5(e / 'trajectory.h5', POSITION, np.zeros((2 * N, 6))),
            'gripper_position: has 8 steps, cartesian_position 16',
        ),
        (lambda r, e: (e / f'recordings/MP4/{SERIAL}.mp4').unlink(), rf'{SERIAL}\.mp4.*cannot be read'),
        (
            lambda r, e: write_av1(e / f'recordings/MP4/{SERIAL}.mp4', list(recording().rgb[:2])),
            'has 2 frames, the arm 8 steps',
        ),
        (lambda r, e: (r / 'annotations/intrinsics.json').unlink(), r'intrinsics\.json.*cannot be read'),
        (lambda r, e: note(r, 'intrinsics.json', {}), rf'intrinsics\.json.*{EPISODE_ID[:3]}.*missing'),
        (
            lambda r, e: note(r, 'intrinsics.json', {EPISODE_ID: {SERIAL: [30, 15]}}),
            r'has shape \(2,\): must be \(4\)',
        ),
        (
            lambda r, e: note(r, 'intrinsics.json', {EPISODE_ID: {SERIAL: [30, 640, 30, 360]}}),
            r'\[30, 640, 30, 360\] does not fit images of 32x24',
        ),
        (
            lambda r, e: note(
                r, 'cam2base_extrinsic_superset.json', {EPISODE_ID: {SERIAL: [0, 0, None, 0, 0, 0]}}
            ),
            'cam2base_extrinsic_superset.json.*holds nan|are not numbers',
        ),
    ],
)
def test_broken_droid(
    tmp_path: Path, damage: Callable[[Path, Path], object], message: str
) -> None:
    """The error names the file, the field and the value."""
    folder = write_droid(tmp_path, recording())
    damage(tmp_path, folder)
    with pytest.raises(DatasetFileError, match=message):
        open_droid(tmp_path)


def test_intrinsics_with_distortion_beside(tmp_path: Path) -> None:
    """Some versions of the file hold the four numbers under a name."""
    write_droid(tmp_path, recording())
    value = {'cameraMatrix': [30.0, 15.5, 31.0, 11.5], 'distCoeffs': [0.0] * 5}
    note(tmp_path, 'intrinsics.json', {EPISODE_ID: {SERIAL: value}})
    assert open_droid(tmp_path).camera == recording().camera


@pytest.mark.parametrize('value', [np.zeros((24, 32), np.uint8), np.zeros((12, 16), np.uint16)])
def test_depth_of_another_kind(tmp_path: Path, value: np.ndarray) -> None:
    """8 bit, or another size than the colour frames."""
    folder = write_droid(tmp_path, recording())
    Image.fromarray(value).save(folder / 'recordings' / 'Depth' / SERIAL / '3.png')
    episode = open_droid(tmp_path)
    assert episode.depth is not None
    with pytest.raises(DatasetFileError, match=r'3\.png.*(16 bit|16x12: the colour frames are 32x24)'):
        episode.depth.read(3)


ACTIONS = [(0, 4, 'Pick up the cup.', 'Pick'), (4, 8, 'Place it on the tray.', 'Place')]


@pytest.mark.parametrize('deep', [False, True])
def test_agibot(tmp_path: Path, deep: bool) -> None:
    """Two arms, labelled parts, both places of the parameters."""
    truth = recording()
    write_agibot(tmp_path, truth, ACTIONS)
    if deep:
        camera = tmp_path / 'parameters' / '327' / '648642' / 'camera'
        camera.rename(tmp_path / 'parameters' / '327' / '648642' / 'temporary')
        (tmp_path / 'parameters/327/648642/parameters').mkdir()
        (tmp_path / 'parameters/327/648642/temporary').rename(
            tmp_path / 'parameters/327/648642/parameters/camera'
        )
    reader = AgibotReader(tmp_path)
    assert reader.references() == ['327/648642']
    episode = reader.read('327/648642')
    same(episode, truth, arm=1)
    assert [a.name for a in episode.arms] == ['left', 'right']
    assert (episode.arms[0].opening == 1).all()
    assert [(s.start, s.end, s.skill) for s in episode.subtasks] == [(0, 4, 'Pick'), (4, 8, 'Place')]
    assert episode.fps == 30 and episode.extra['distortion'] == [0.0] * 5


STATS = 'proprio_stats/327/648642/proprio_stats.h5'
CAMERA = 'parameters/327/648642/camera'


def edit_json(path: Path, change: Callable[[object], object]) -> None:
    """Change the content of a JSON file."""
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (
            lambda r: edit_h5(r / STATS, 'action/effector/position', np.zeros((N, 12))),
            r'effector/position: has shape \(8, 12\): must be \(N, 2\)',
        ),
        (
            lambda r: edit_h5(r / STATS, 'action/effector/position', np.zeros((N + 3, 2))),
            'have 8, 8 and 11 rows',
        ),
        (
            lambda r: edit_h5(r / STATS, 'state/end/orientation', np.zeros((N, 2, 4))),
            'orientation: row 0 is a quaternion of length 0',
        ),
        (
            lambda r: edit_json(r / CAMERA / 'head_extrinsic_params_aligned.json', lambda d: d[:5]),
            "numbers of frames differ: {'video': 8, 'arms': 8, 'camera poses': 5}",
        ),
        (
            lambda r: edit_json(
                r / CAMERA / 'head_extrinsic_params_aligned.json',
                lambda d: [{'extrinsic': d[0]['extrinsic'] | {'rotation_matrix': np.ones((3, 3)).tolist()}}],
            ),
            r'\[0\]\.extrinsic\.rotation_matrix: is no rotation',
        ),
        (
            lambda r: edit_json(
                r / CAMERA / 'head_intrinsic_params.json', lambda d: {'intrinsic': {'fx': 1.0}}
            ),
            'fy: is missing',
        ),
        (
            lambda r: edit_json(r / 'task_info/task_327.json', lambda d: []),
            'episode_id 648642: is missing',
        ),
        (
            lambda r: edit_json(
                r / 'task_info/task_327.json',
                lambda d: [
                    d[0]
                    | {'label_info': {'action_config': [{'start_frame': 5, 'end_frame': 50, 'action_text': ''}]}}
                ],
            ),
            r'action_config\[0\]: reaches from frame 5 to 50: the video has 8',
        ),
        (lambda r: (r / STATS).unlink(), r'proprio_stats\.h5.*as HDF5'),
    ],
)
def test_broken_agibot(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    """The error names the file, the field and the value."""
    write_agibot(tmp_path, recording(), ACTIONS)
    damage(tmp_path)
    with pytest.raises(DatasetFileError, match=message):
        AgibotReader(tmp_path).read('327/648642')
