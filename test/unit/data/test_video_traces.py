# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Traces of a demonstration carried out in physics and seen by the simulated camera, judged against the truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml
from demonstration import FPS, GRIP_OFFSET, Demonstration, demonstration
from numpy.typing import NDArray
from recordings import Recording, write_agibot, write_droid, write_lerobot

from robotracer_ros.data.record import Record
from robotracer_ros.data.rejection import Rejected
from robotracer_ros.data.shards import read_records, shards_of
from robotracer_ros.data.video.config import LAYOUT_DEFAULTS, VideoConfig
from robotracer_ros.data.video.droid import DroidReader
from robotracer_ros.data.video.episode import ArmMotion, Episode, SubTask
from robotracer_ros.data.video.generate import main
from robotracer_ros.data.video.traces import PUT, TAKEN, records
from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.geometry.trace import Referring, Scale, TraceKind
from robotracer_ros.geometry.transforms import apply, invert, make_transform, rotation_about
from robotracer_ros.tracer.text import parse_answer

HAND, OBJECT = TraceKind.END_EFFECTOR_CENTRIC, TraceKind.OBJECT_CENTRIC


class Frames:
    """Pictures in memory."""

    def __init__(self, arrays: NDArray[np.generic]) -> None:
        self.arrays = arrays

    def __len__(self) -> int:
        return len(self.arrays)

    def read(self, index: int) -> NDArray[np.generic]:
        """Return one."""
        return self.arrays[index]


@pytest.fixture(scope='module')
def truth() -> Demonstration:
    """Return "place the watering can on top of the blue tray", done by the demo's planner."""
    return demonstration(1)


def episode_of(d: Demonstration, **changes: object) -> Episode:
    """Return it as a reader would."""
    arm = ArmMotion('', d.flange, d.opening, np.array([0.0, 0.0, GRIP_OFFSET]))
    poses = np.repeat(d.world_from_camera[None], len(d.rgb), axis=0)
    made = Episode(
        'e',
        'droid',
        (d.task.instruction,),
        FPS,
        d.camera,
        poses,
        Frames(d.rgb),
        Frames(d.depth),
        (arm,),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def to_lines(points: NDArray[np.float64], corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distances (N,) of points (N, 3) to a polyline (M, 3)."""
    best = np.full(len(points), np.inf)
    for a, b in pairwise(corners):
        t = np.clip((points - a) @ (b - a) / max(float((b - a) @ (b - a)), 1e-12), 0, 1)
        best = np.minimum(best, np.linalg.norm(points - a - t[:, None] * (b - a), axis=1))
    return best


def judge(record: Record, d: Demonstration, fps: float = FPS) -> None:
    """Check a record against what really happened."""
    closed, opened = d.closed
    base = record.extra['frame']
    assert np.abs(np.subtract(record.extra['closing'], d.closed)).max() <= 1
    assert base == max(0, record.extra['closing'][0] - round(4.0 * fps))
    camera = record.camera
    assert camera is not None
    shown = {(s.task_type, s.task.kind) for s in record.samples if s.task is not None}
    types = ('trace_3d_think', 'trace_3d', 'trace_2d', 'lift')
    assert shown == {(t, k) for t in types for k in (HAND, OBJECT)}
    for sample in record.samples:
        task = sample.task
        assert task is not None and 2 <= len(task.trace) <= 8
        world = apply(d.world_from_camera, camera.lift(task.trace))
        frames = slice(base, opened) if task.kind == HAND else slice(closed, opened)
        # The way of the fingers stays within the tolerance of simplifying and of rounding to 1/1000.
        near = record.extra['simplified_m']['hand' if task.kind == HAND else 'object']
        assert 0.02 <= near <= 0.04
        way = d.tool[frames, :3, 3]
        told = world.copy()
        if task.kind == OBJECT:  # the first point lies on the surface, not between the fingers
            way = way[record.extra['closing'][0] - closed :]
            assert np.linalg.norm(told[0] - way[0]) < 0.05
            told[0] = way[0]
        assert to_lines(way, told).max() < near + 0.005
        assert np.linalg.norm(task.path - world, axis=1).max() < 0.005
        # It ends where the thing was put.
        assert np.linalg.norm(world[-1] - d.objects[-1]) < 0.06
        answer = parse_answer(sample.answer)
        np.testing.assert_array_equal(answer.points, task.trace[:, : answer.points.shape[1]])
        for m in sample.mentions:
            assert sample.answer[m.start] == '(' and sample.answer[m.end - 1] == ')'
        if task.kind == OBJECT:
            # It begins on the thing as it is seen in the picture, at the depth that the sensor has there.
            u, v, depth = task.trace[0]
            column, row = round(u / 1000 * camera.width), round(v / 1000 * camera.height)
            assert d.masks[base][max(0, row - 2) : row + 3, max(0, column - 2) : column + 3].any()
            assert abs(depth - d.depth[base][row, column]) < 0.03
            assert to_lines(d.objects[frames], world).max() < 0.08
        if sample.task_type == 'trace_3d_think':
            scale, taken, put = answer.reasoning
            assert isinstance(scale, Scale) and scale.value == pytest.approx(record.scale, abs=1e-3)
            assert isinstance(taken, Referring) and isinstance(put, Referring)
            assert (taken.target, put.target) == (TAKEN, PUT)
            at = apply(d.world_from_camera, camera.lift([taken.point, put.point]))
            assert np.linalg.norm(at[0] - d.objects[0]) < 0.06
            assert np.linalg.norm(at[1] - d.objects[-1]) < 0.06


def test_the_way_of_hand_and_object(truth: Demonstration) -> None:
    """Both kinds of trace, all questions, without any file in between."""
    (record,) = records(episode_of(truth), VideoConfig())
    assert isinstance(record, Record)
    judge(record, truth)
    aligned, tested = record.extra['alignment']
    assert tested >= 30 and aligned > tested / 3


def recording_of(d: Demonstration) -> Recording:
    """Return it as the writers of the layouts want it."""
    return Recording(
        d.rgb,
        d.depth,
        d.camera,
        d.world_from_camera,
        d.flange,
        d.opening,
        d.task.instruction,
        FPS,
    )


def written(folder: Path) -> list[Record]:
    """Return all records of a data set."""
    return [r for p in shards_of(folder) for r in read_records(p)]


@pytest.mark.parametrize('video', [False, True])
def test_from_lerobot_files(truth: Demonstration, tmp_path: Path, video: bool) -> None:
    """Layout on disk, reader, rules, writer: the same truth."""
    options = write_lerobot(tmp_path / 'set', [recording_of(truth)], video)
    (tmp_path / 'keys.yaml').write_text(yaml.safe_dump({'source': options, 'jpeg_quality': 95}))
    result = main('lerobot', tmp_path / 'set', tmp_path / 'out', tmp_path / 'keys.yaml')
    (record,) = written(tmp_path / 'out')
    judge(record, truth)
    assert result['rejected'] == {} and result['counts']['samples'] == 8
    assert np.abs(record.rgb().astype(int) - truth.rgb[record.extra['frame']]).mean() < 5
    depth = record.depth_metres()
    assert depth is not None
    np.testing.assert_allclose(depth, truth.depth[record.extra['frame']], atol=1e-3)
    # What is complete is not made again.
    before = shards_of(tmp_path / 'out')[0].stat().st_mtime_ns
    main('lerobot', tmp_path / 'set', tmp_path / 'out', tmp_path / 'keys.yaml')
    assert shards_of(tmp_path / 'out')[0].stat().st_mtime_ns == before


def test_from_droid_files(truth: Demonstration, tmp_path: Path) -> None:
    """Three wordings take turns; a second, broken episode is listed and does not stop the first."""
    folder = write_droid(tmp_path / 'set', recording_of(truth))
    other = folder.parent / 'broken'
    other.mkdir()
    (other / 'metadata_other.json').write_text('{"ext1_cam_serial": "1"}')
    result = main('droid', tmp_path / 'set', tmp_path / 'out')
    (record,) = written(tmp_path / 'out')
    judge(record, truth, fps=15.0)
    words = {s.task.instruction for s in record.samples if s.task is not None}
    assert words == {f'{truth.task.instruction} ({i})' for i in (1, 2, 3)}
    assert result['rejected'] == {'broken file': 1}
    (line,) = (tmp_path / 'out/rejections/train-video-000000.jsonl').read_text().splitlines()
    assert '1.mp4' in json.loads(line)['detail']
    (tmp_path / 'strict.yaml').write_text('skip_broken: false')
    with pytest.raises(InvalidParameterError, match=r"1\.mp4'.*cannot be read"):
        main('droid', tmp_path / 'set', tmp_path / 'strict', tmp_path / 'strict.yaml')


def test_recorded_camera_pose_that_is_wrong(truth: Demonstration, tmp_path: Path) -> None:
    """Without the later annotations the episode of the fixture is 4 cm off; 20 cm off is found out."""
    write_droid(tmp_path, recording_of(truth))
    reader = DroidReader(tmp_path)
    episode = reader.read(reader.references()[0])
    shifted = make_transform(None, (0.2, 0.0, 0.0)) @ episode.base_from_camera
    (rejected,) = records(replace(episode, base_from_camera=shifted), VideoConfig())
    assert isinstance(rejected, Rejected) and rejected.reason == 'not aligned'


def parts(d: Demonstration, *which: str) -> tuple[SubTask, ...]:
    """Return labelled parts: pick until the thing is held, place until the end."""
    middle = (d.closed[0] + d.closed[1]) // 2
    all_parts = {
        'Pick': SubTask(0, middle, 'Take the can.', 'Pick'),
        'Place': SubTask(middle, len(d.rgb), 'Put it down.', 'Place'),
        'Other': SubTask(0, len(d.rgb), 'Water the plants.', 'Pour'),
    }
    return tuple(all_parts[w] for w in which)


def test_from_agibot_files(truth: Demonstration, tmp_path: Path) -> None:
    """Pick and Place become one; the picture is the sub-task's first; the resting arm plays no part."""
    actions = [(s.start, s.end, s.text, s.skill) for s in parts(truth, 'Pick', 'Place')]
    write_agibot(tmp_path / 'set', recording_of(truth), actions)
    # Our camera looks down on the hand, and no depth is missing: the head camera's share is out of reach.
    (tmp_path / 'o.yaml').write_text('alignment: {min_share: 0.3}')
    main('agibot', tmp_path / 'set', tmp_path / 'out', tmp_path / 'o.yaml')
    (record,) = written(tmp_path / 'out')
    judge(record, truth, fps=1000.0)
    assert record.extra['arm'] == 'right' and record.extra['skill'] == 'PickAndPlace'
    assert record.samples[0].task is not None
    assert record.samples[0].task.instruction == 'Take the can, then put it down.'


def test_skills_decide_what_is_told(truth: Demonstration) -> None:
    """Pick: the hand until it closes. Anything else: the hand until it opens. A lone Place saw no taking."""
    config = VideoConfig()
    (pick,) = records(episode_of(truth, subtasks=parts(truth, 'Pick')), config)
    assert isinstance(pick, Record)
    assert pick.extra['hand_frames'] == [0, pick.extra['closing'][0] + 1]
    assert {s.task.kind for s in pick.samples if s.task} == {HAND}
    (other,) = records(episode_of(truth, subtasks=parts(truth, 'Other')), config)
    assert isinstance(other, Record) and other.extra['hand_frames'] == [0, truth.closed[1]]
    (place,) = records(episode_of(truth, subtasks=parts(truth, 'Place')), config)
    assert isinstance(place, Rejected) and place.reason == 'closed from the start'


def second_arm(d: Demonstration, moves: bool) -> ArmMotion:
    """Return another arm that closes, too."""
    flange = d.flange if moves else np.repeat(d.flange[:1], len(d.flange), axis=0)
    return ArmMotion('left', flange, d.opening, np.array([0.0, 0.0, GRIP_OFFSET]))


def gripping(d: Demonstration, pattern: list[float]) -> dict[str, object]:
    """Return the arm with an opening that repeats a pattern."""
    return {'arms': (replace(episode_of(d).arms[0], opening=np.resize(pattern, len(d.rgb))),)}


def holes(d: Demonstration) -> NDArray[np.float32]:
    """Return depth without the surroundings of where the thing is taken, in every frame."""
    depth = d.depth.copy()
    x, y = d.camera.uv_to_pixels(
        d.camera.project(apply(invert(d.world_from_camera), d.tool[d.closed[0], :3, 3]))[:2]
    )
    rows, columns = np.ogrid[: depth.shape[1], : depth.shape[2]]
    depth[:, (columns - x) ** 2 + (rows - y) ** 2 < 28**2] = 0
    return depth


def turned(d: Demonstration, degrees: float) -> NDArray[np.float64]:
    """Return the camera's poses turned about its own y axis."""
    turn = make_transform(rotation_about((0, 1, 0), np.radians(degrees)))
    return np.repeat((d.world_from_camera @ turn)[None], len(d.rgb), axis=0)


@pytest.mark.parametrize(
    ('changes', 'config', 'reason'),
    [
        (lambda d: {'instructions': ()}, {}, 'no instruction'),
        (lambda d: gripping(d, [1.0]), {}, 'no closing'),
        (lambda d: gripping(d, [1.0] * 6 + [0.0] * 6), {}, 'several closings'),
        (lambda d: gripping(d, [1.0] * 30 + [0.0] * 99), {}, 'never opened'),
        (lambda d: {'arms': (second_arm(d, False),)}, {}, 'no motion'),
        (lambda d: {'arms': (*episode_of(d).arms, second_arm(d, True))}, {}, 'both arms'),
        (lambda d: {'base_from_camera': turned(d, 8)}, {}, 'not aligned'),
        (lambda d: {'base_from_camera': turned(d, 60)}, {'require_alignment': False}, 'out of view'),
        (lambda d: {'depth': None}, {}, 'alignment unknown'),
        (lambda d: {'depth': Frames(holes(d))}, {'max_invalid_share': 0.6}, 'occluded'),
        (lambda d: {}, {'max_keypoints': 3}, 'many keypoints'),
        (lambda d: {}, {'min_length': 5.0}, 'short'),
        (lambda d: {'extra': {'distortion': [0.5, 0, 0, 0, 0]}}, {}, 'distorted'),
    ],
)
def test_rejections(
    truth: Demonstration,
    changes: Callable[[Demonstration], dict[str, object]],
    config: dict[str, object],
    reason: str,
) -> None:
    """Every rule rejects the demonstration once the one thing is wrong that it looks at."""
    (found,) = records(
        episode_of(truth, **changes(truth)), replace(VideoConfig(), **config)  # type: ignore[arg-type]
    )
    assert isinstance(found, Rejected)
    assert found.reason == reason, found


def test_an_arm_that_rests_may_close(truth: Demonstration) -> None:
    """Only one of the two that close moves: that one is told."""
    arms = (second_arm(truth, False), replace(episode_of(truth).arms[0], name='right'))
    (record,) = records(episode_of(truth, arms=arms), VideoConfig())
    assert isinstance(record, Record) and record.extra['arm'] == 'right'


def test_without_depth_when_allowed(truth: Demonstration) -> None:
    """Traces need no depth: the arm tells the metres; no scale is claimed."""
    config = replace(VideoConfig(), require_alignment=False)
    (record,) = records(episode_of(truth, depth=None), config)
    assert isinstance(record, Record)
    assert record.depth is None and record.scale is None
    think = next(s for s in record.samples if s.task_type == 'trace_3d_think')
    assert '[Scale]' not in think.answer and f'[{TAKEN}]' in think.answer


def test_options_and_layouts(tmp_path: Path) -> None:
    """Unknown names are named."""
    assert LAYOUT_DEFAULTS['agibot'].alignment.min_share == 0.83
    with pytest.raises(InvalidParameterError, match="layout 'rlds': must be one of lerobot, droid"):
        main('rlds', tmp_path, tmp_path / 'out')
    (tmp_path / 'o.yaml').write_text('alignment: {tolerance: much}')
    with pytest.raises(InvalidParameterError, match=r"'alignment\.tolerance' is 'much'"):
        main('droid', tmp_path, tmp_path / 'out', tmp_path / 'o.yaml')
