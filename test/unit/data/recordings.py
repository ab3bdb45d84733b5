# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Writes recordings in the published layouts of LeRobot v3, DROID and AgiBot World."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.transform import Rotation

from robotracer_ros.geometry.camera import CameraModel

EPISODE_ID = 'LAB+1a2b3c4d+2023-05-04-10h-11m-12s'
SERIAL = '22008760'


@dataclass(frozen=True)
class Recording:
    """What a data set holds of one episode; all poses in the robot's base frame."""

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    camera: CameraModel
    base_from_camera: NDArray[np.float64]
    flange: NDArray[np.float64]
    opening: NDArray[np.float64]
    text: str
    fps: float


def six(pose: NDArray[np.float64]) -> list[float]:
    """Return metres and rotations about the fixed axes x, y, z of a pose (4, 4)."""
    return [*pose[:3, 3], *Rotation.from_matrix(pose[:3, :3]).as_euler('xyz')]


def png(array: NDArray[Any]) -> bytes:
    """Encode as PNG."""
    out = io.BytesIO()
    Image.fromarray(array).save(out, 'PNG')
    return out.getvalue()


def millimetres(depth: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return depth as 16-bit millimetres."""
    return np.rint(depth * 1000).astype(np.uint16)


def write_av1(path: Path, frames: Sequence[NDArray[np.uint8]], quality: int = 85) -> None:
    """Write AV1 in MP4: Pillow writes an image sequence, of which the two names are set to those of a video."""
    out = io.BytesIO()
    first, *rest = [Image.fromarray(f) for f in frames]
    first.save(out, 'AVIF', save_all=True, append_images=rest, quality=quality, speed=10, duration=100)
    data = out.getvalue()
    assert data[4:12] == b'ftypavis'
    moov = data.index(b'moov')
    at = data.index(b'pict', moov)
    data = data[:at] + b'vide' + data[at + 4 :]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data[:8] + b'isom' + data[12:])


def write_lerobot(root: Path, episodes: Sequence[Recording], video: bool = False) -> dict[str, Any]:
    """Write a LeRobot v3 data set with the features of the DROID port, depth beside; return options to read it.

    Args:
        root: Folder.
        episodes: All in one data file and, with ``video``, in one MP4 file, as LeRobot does.
        video: Colour as AV1 video instead of pictures in the table.
    """
    key, depth_key = 'observation.images.exterior_1_left', 'observation.depth.exterior_1_left'
    h, w = episodes[0].rgb.shape[1:3]
    fps = episodes[0].fps
    rows: list[dict[str, Any]] = []
    meta: list[dict[str, Any]] = []
    texts = sorted({e.text for e in episodes})
    for index, e in enumerate(episodes):
        start = len(rows)
        for i in range(len(e.rgb)):
            row = {
                'timestamp': i / fps,
                'frame_index': i,
                'episode_index': index,
                'index': start + i,
                'task_index': texts.index(e.text),
                'observation.state.cartesian_position': six(e.flange[i]),
                'observation.state.gripper_position': [1.0 - float(e.opening[i])],
                'camera_extrinsics.exterior_1_left': six(e.base_from_camera),
                depth_key: {'bytes': png(millimetres(e.depth[i])), 'path': None},
            }
            if not video:
                row[key] = {'bytes': png(e.rgb[i]), 'path': f'frame-{i:06d}.png'}
            rows.append(row)
        entry = {
            'episode_index': index,
            'tasks': [e.text],
            'length': len(e.rgb),
            'data/chunk_index': 0,
            'data/file_index': 0,
            'dataset_from_index': start,
            'dataset_to_index': len(rows),
            'meta/episodes/chunk_index': 0,
            'meta/episodes/file_index': 0,
        }
        if video:
            entry |= {
                f'videos/{key}/chunk_index': 0,
                f'videos/{key}/file_index': 0,
                f'videos/{key}/from_timestamp': start / fps,
                f'videos/{key}/to_timestamp': len(rows) / fps,
            }
        meta.append(entry)
    image = {'shape': [h, w, 3], 'names': ['height', 'width', 'channels']}
    features = {
        'timestamp': {'dtype': 'float32', 'shape': [1], 'names': None},
        'observation.state.cartesian_position': {'dtype': 'float32', 'shape': [6], 'names': None},
        'observation.state.gripper_position': {'dtype': 'float32', 'shape': [1], 'names': None},
        'camera_extrinsics.exterior_1_left': {'dtype': 'float32', 'shape': [6], 'names': None},
        key: {'dtype': 'video' if video else 'image', **image},
        depth_key: {'dtype': 'image', 'shape': [h, w, 1], 'info': {'is_depth_map': True}},
    }
    info = {
        'codebase_version': 'v3.0',
        'robot_type': 'Franka',
        'total_episodes': len(episodes),
        'total_frames': len(rows),
        'total_tasks': len(texts),
        'chunks_size': 1000,
        'fps': int(fps),
        'splits': {'train': f'0:{len(episodes)}'},
        'data_path': 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet',
        'video_path': 'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4',
        'features': features,
    }
    for folder in ('meta/episodes/chunk-000', 'data/chunk-000'):
        (root / folder).mkdir(parents=True)
    (root / 'meta' / 'info.json').write_text(json.dumps(info, indent=4))
    # LeRobot writes a pandas table whose index holds the texts.
    tasks = pa.table({'task_index': range(len(texts)), '__index_level_0__': texts})
    pq.write_table(tasks, root / 'meta' / 'tasks.parquet')
    pq.write_table(pa.Table.from_pylist(meta), root / 'meta/episodes/chunk-000/file-000.parquet')
    pq.write_table(pa.Table.from_pylist(rows), root / 'data/chunk-000/file-000.parquet')
    if video:
        frames = [f for e in episodes for f in e.rgb]
        write_av1(root / 'videos' / key / 'chunk-000' / 'file-000.mp4', frames)
    c = episodes[0].camera
    return {'intrinsics': [c.fx, c.fy, c.cx, c.cy], 'depth': depth_key}


def write_droid(root: Path, e: Recording, annotations: bool = True) -> Path:
    """Write one raw DROID episode and the later annotations; return the folder of the episode."""
    folder = root / 'LAB' / 'success' / '2023-05-04' / 'Thu_May__4_10:11:12_2023'
    folder.mkdir(parents=True)
    meta = {
        'uuid': EPISODE_ID,
        'lab': 'LAB',
        'success': True,
        'scene_id': 7,
        'current_task': 'Move object into or out of container',
        'trajectory_length': len(e.rgb),
        'wrist_cam_serial': '11111111',
        'ext1_cam_serial': SERIAL,
        'ext2_cam_serial': '33333333',
        'ext1_mp4_path': f'success/2023-05-04/x/recordings/MP4/{SERIAL}.mp4',
    }
    (folder / f'metadata_{EPISODE_ID}.json').write_text(json.dumps(meta))
    n = len(e.rgb)
    with h5py.File(folder / 'trajectory.h5', 'w') as file:
        state = file.create_group('observation/robot_state')
        state['cartesian_position'] = [six(p) for p in e.flange]
        state['gripper_position'] = 1.0 - e.opening
        # What was recorded at first is known to be noisy: here it is 4 cm off.
        noisy = np.array(six(e.base_from_camera)) + np.array([0.04, 0, 0, 0, 0, 0])
        file[f'observation/camera_extrinsics/{SERIAL}_left'] = np.tile(noisy, (n, 1))
    write_av1(folder / 'recordings' / 'MP4' / f'{SERIAL}.mp4', e.rgb)
    depth = folder / 'recordings' / 'Depth' / SERIAL
    depth.mkdir(parents=True)
    for i in range(n):
        (depth / f'{i}.png').write_bytes(png(millimetres(e.depth[i])))
    if annotations:
        notes, c = root / 'annotations', e.camera
        notes.mkdir()
        cameras = {SERIAL: [c.fx, c.cx, c.fy, c.cy]}
        (notes / 'intrinsics.json').write_text(json.dumps({EPISODE_ID: cameras}))
        poses = {EPISODE_ID: {SERIAL: six(e.base_from_camera), 'relative_path': 'LAB/success/x'}}
        (notes / 'cam2base_extrinsic_superset.json').write_text(json.dumps(poses))
        texts = {f'language_instruction{i}': f'{e.text} ({i})' for i in (1, 2, 3)}
        (notes / 'droid_language_annotations.json').write_text(json.dumps({EPISODE_ID: texts}))
    return folder


def write_agibot(
    root: Path, e: Recording, actions: Sequence[tuple[int, int, str, str]], task: int = 327
) -> Path:
    """Write one episode of AgiBot World in which the right arm moves and the left one rests.

    Args:
        root: Folder of the data set.
        e: What was recorded.
        actions: start_frame, end_frame, action_text and skill of every sub-task.
        task: Its number; the episode is 648642.

    Returns:
        Its folder below ``observations``.
    """
    episode, n = 648642, len(e.rgb)
    seen = root / 'observations' / str(task) / str(episode)
    (seen / 'depth').mkdir(parents=True)
    write_av1(seen / 'videos' / 'head_color.mp4', e.rgb)
    for i in range(n):
        (seen / 'depth' / f'head_depth_{i:06d}.png').write_bytes(png(millimetres(e.depth[i])))
    config = [
        dict(zip(('start_frame', 'end_frame', 'action_text', 'skill'), a, strict=True))
        for a in actions
    ]
    label = {
        'episode_id': episode,
        'label_info': {'action_config': config},
        'task_name': 'Tidy the table',
        'init_scene_text': 'Things stand on a table.',
    }
    (root / 'task_info').mkdir()
    (root / 'task_info' / f'task_{task}.json').write_text(json.dumps([label]))
    camera = root / 'parameters' / str(task) / str(episode) / 'camera'
    camera.mkdir(parents=True)
    c = e.camera
    lens = dict.fromkeys(('k1', 'k2', 'k3', 'p1', 'p2'), 0.0)
    intrinsic = {'fx': c.fx, 'fy': c.fy, 'ppx': c.cx, 'ppy': c.cy, **lens}
    (camera / 'head_intrinsic_params.json').write_text(json.dumps({'intrinsic': intrinsic}))
    pose = {
        'rotation_matrix': e.base_from_camera[:3, :3].tolist(),
        'translation_vector': e.base_from_camera[:3, 3].tolist(),
    }
    poses = [{'extrinsic': pose} for _ in range(n)]
    (camera / 'head_extrinsic_params_aligned.json').write_text(json.dumps(poses))
    stats = root / 'proprio_stats' / str(task) / str(episode)
    stats.mkdir(parents=True)
    quaternions = Rotation.from_matrix(e.flange[:, :3, :3]).as_quat()
    rest = np.tile([0.1, 0.6, 0.4], (n, 1))
    with h5py.File(stats / 'proprio_stats.h5', 'w') as file:
        file['timestamp'] = np.arange(n) * 33_333_333
        file['state/end/position'] = np.stack([rest, e.flange[:, :3, 3]], axis=1)
        file['state/end/orientation'] = np.stack(
            [np.tile([0.0, 0.0, 0.0, 1.0], (n, 1)), quaternions], axis=1
        )
        file['state/effector/position'] = np.stack([np.full(n, 120.0), 120 * e.opening], axis=1)
        file['action/effector/position'] = np.stack([np.zeros(n), 1.0 - e.opening], axis=1)
    return seen
