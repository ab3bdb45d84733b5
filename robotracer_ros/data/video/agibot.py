# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The layout of AgiBot World (Alpha and Beta), unpacked.

::

    task_info/task_<task>.json                   episodes with label_info.action_config: start_frame, end_frame,
                                                 action_text, skill
    observations/<task>/<episode>/videos/head_color.mp4
    observations/<task>/<episode>/depth/head_depth_<frame:06d>.png      16 bit, millimetres, 0 invalid
    parameters/<task>/<episode>/camera/head_intrinsic_params.json       intrinsic: fx, fy, ppx, ppy, k1 k2 p1 p2 k3
    parameters/<task>/<episode>/camera/head_extrinsic_params_aligned.json   list: extrinsic.rotation_matrix,
                                                 translation_vector (base_from_camera) of every frame
    proprio_stats/<task>/<episode>/proprio_stats.h5     state/end/position (N, 2, 3), state/end/orientation (N, 2, 4)
                                                 xyzw, action/effector/position (N, 2): 0 open, 1 closed; left, right

The archives of parameters unpack to ``<episode>/parameters/camera`` for some releases; both are read. Episodes with
dexterous hands have 12 numbers for the effectors and are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from robotracer_ros.data.files import Array, DatasetFileError, member, numbers, read_json, typed
from robotracer_ros.data.video.depth import DepthFolder
from robotracer_ros.data.video.episode import ArmMotion, Episode, SubTask
from robotracer_ros.data.video.frames import Excerpt, open_video
from robotracer_ros.data.video.hdf5 import hdf5_numbers, open_hdf5
from robotracer_ros.data.video.poses import pose_from_quaternion
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.transforms import make_transform

_FPS = 30.0
_FRAME_SLACK = 2
_LENS = ('k1', 'k2', 'p1', 'p2', 'k3')


@dataclass(frozen=True)
class AgibotOptions:
    """What the layout leaves open.

    Attributes:
        camera: Whose pictures; only the head camera has depth.
        depth_unit: Metres per step of the depth images.
        grip_offset: Where the fingers meet in the frame of the flange, metres.
    """

    camera: str = 'head'
    depth_unit: float = 1e-3
    grip_offset: tuple[float, ...] = (0.0, 0.0, 0.15)


@dataclass
class AgibotReader:
    """Reads episodes of AgiBot World.

    Attributes:
        root: Folder that holds ``task_info``, ``observations``, ``parameters`` and ``proprio_stats``.
        options: What the layout leaves open.
    """

    root: Path
    options: AgibotOptions = field(default_factory=AgibotOptions)

    def __post_init__(self) -> None:
        self._tasks: dict[str, dict[str, Mapping[str, Any]]] = {}

    def references(self) -> list[str]:
        """Return the episodes whose videos are there, as ``<task>/<episode>``.

        Raises:
            DatasetFileError: there is none.
        """
        folder = self.root / 'observations'
        found = sorted(
            f'{p.parent.name}/{p.name}'
            for p in folder.glob('*/*')
            if (p / 'videos').is_dir()
        )
        if not found:
            raise DatasetFileError(folder, '<task>/<episode>/videos', 'is missing: no episodes')
        return found

    def read(self, reference: str) -> Episode:
        """Read an episode; its frames are decoded later, on demand.

        Raises:
            DatasetFileError: a file of it is missing or broken.
            MissingPackageError: h5py, or the program that decodes its video, is not installed.
        """
        task, episode = reference.split('/')
        camera_name = self.options.camera
        seen = self.root / 'observations' / task / episode
        video = seen / 'videos' / f'{camera_name}_color.mp4'
        rgb = open_video(video)
        height, width = rgb.read(0).shape[:2]
        camera, lens = self._intrinsics(task, episode, width, height)
        arms = self._arms(task, episode)
        poses = self._extrinsics(task, episode, len(arms[0].opening))
        counts = {'video': len(rgb), 'arms': len(arms[0].opening), 'camera poses': len(poses)}
        if max(counts.values()) - min(counts.values()) > _FRAME_SLACK:
            raise DatasetFileError(video, '', f'numbers of frames differ: {counts}')
        n = min(counts.values())
        label = self._label(task, episode)
        return Episode(
            id=f'{task}-{episode}',
            layout='agibot',
            instructions=(str(label.get('task_name') or ''),),
            fps=_FPS,
            camera=camera,
            base_from_camera=poses[:n],
            rgb=Excerpt(rgb, 0, n),
            depth=DepthFolder(
                seen / 'depth', camera_name + '_depth_{index:06d}.png', camera, self.options.depth_unit
            ),
            arms=tuple(ArmMotion(a.name, a.flange[:n], a.opening[:n], a.grip_offset) for a in arms),
            subtasks=self._subtasks(task, label, n),
            path=str(seen),
            extra={
                'task': task,
                'task_name': str(label.get('task_name') or ''),
                'scene': str(label.get('init_scene_text') or ''),
                'distortion': lens,
            },
        )

    def _label(self, task: str, episode: str) -> Mapping[str, Any]:
        """Return what ``task_info`` says of an episode."""
        path = self._label_path(task)
        if task not in self._tasks:
            data = read_json(path)
            if not isinstance(data, list):
                raise DatasetFileError(path, '', f'holds a {type(data).__name__}: must be a list')
            self._tasks[task] = {
                str(member(item, path, 'episode_id')): typed(dict, data, path, i)
                for i, item in enumerate(data)
            }
        if episode not in self._tasks[task]:
            raise DatasetFileError(path, f'episode_id {episode}', 'is missing')
        return self._tasks[task][episode]

    def _label_path(self, task: str) -> Path:
        return self.root / 'task_info' / f'task_{task}.json'

    def _subtasks(self, task: str, label: Mapping[str, Any], frames: int) -> tuple[SubTask, ...]:
        path = self._label_path(task)
        found = []
        for i, part in enumerate(typed(list, label, path, 'label_info', 'action_config')):
            where = f'episode_id {label["episode_id"]}, action_config[{i}]'
            start, end = (typed(int, part, path, k) for k in ('start_frame', 'end_frame'))
            if not 0 <= start < end <= frames + _FRAME_SLACK:
                raise DatasetFileError(
                    path, where, f'reaches from frame {start} to {end}: the video has {frames}'
                )
            text, skill = typed(str, part, path, 'action_text'), str(part.get('skill') or '')
            found.append(SubTask(start, min(end, frames), text, skill))
        return tuple(found)

    def _parameters(self, task: str, episode: str, name: str) -> Path:
        folder = self.root / 'parameters' / task / episode
        deep = folder / 'parameters' / 'camera' / name
        return deep if deep.exists() else folder / 'camera' / name

    def _intrinsics(
        self, task: str, episode: str, width: int, height: int
    ) -> tuple[CameraModel, list[float]]:
        """Return the pinhole camera and the five numbers of its lens."""
        path = self._parameters(task, episode, f'{self.options.camera}_intrinsic_params.json')
        data = member(read_json(path), path, 'intrinsic')
        values = []
        for key in ('fx', 'fy', 'ppx', 'ppy'):
            values.append(float(numbers(member(data, path, key), (), path, f'intrinsic.{key}')))
        fx, fy, cx, cy = values
        if not (fx > 0 and fy > 0 and 0 < cx < width and 0 < cy < height):
            raise DatasetFileError(
                path, 'intrinsic', f'{values} does not fit images of {width}x{height}'
            )
        lens = [float(numbers(data.get(k, 0.0), (), path, f'intrinsic.{k}')) for k in _LENS]
        return CameraModel(width, height, fx, fy, cx, cy), lens

    def _extrinsics(self, task: str, episode: str, frames: int) -> Array:
        """Return base_from_camera (N, 4, 4); one entry stands for a camera that does not move."""
        path = self._parameters(task, episode, f'{self.options.camera}_extrinsic_params_aligned.json')
        data = read_json(path)
        entries = data if isinstance(data, list) else [data]
        poses = []
        for i in range(len(entries)):
            at = f'[{i}].extrinsic'
            entry = member(entries, path, i, 'extrinsic')
            r = numbers(member(entry, path, 'rotation_matrix'), (3, 3), path, f'{at}.rotation_matrix')
            t = numbers(member(entry, path, 'translation_vector'), (3,), path, f'{at}.translation_vector')
            if not np.allclose(r @ r.T, np.eye(3), atol=1e-3):
                raise DatasetFileError(path, f'{at}.rotation_matrix', 'is no rotation')
            poses.append(make_transform(r, t))
        if not poses:
            raise DatasetFileError(path, '', 'holds no camera pose')
        return np.stack(poses * frames if len(poses) == 1 else poses)

    def _arms(self, task: str, episode: str) -> tuple[ArmMotion, ...]:
        path = self.root / 'proprio_stats' / task / episode / 'proprio_stats.h5'
        with open_hdf5(path) as file:
            position = hdf5_numbers(file, 'state/end/position', (None, 2, 3), path)
            turn = hdf5_numbers(file, 'state/end/orientation', (None, 2, 4), path)
            grip = hdf5_numbers(file, 'action/effector/position', (None, 2), path)
        if not len(position) == len(turn) == len(grip) or not len(grip):
            raise DatasetFileError(
                path,
                'state/end, action/effector',
                f'have {len(position)}, {len(turn)} and {len(grip)} rows: must be equal and > 0',
            )
        arms = []
        for side, name in enumerate(('left', 'right')):
            flange = pose_from_quaternion(
                np.concatenate([position[:, side], turn[:, side]], axis=1),
                path,
                'state/end/orientation',
            )
            # The state counts millimetres of the linkage; the command is documented: 0 open, 1 closed.
            opening = np.clip(1.0 - grip[:, side], 0.0, 1.0)
            arms.append(
                ArmMotion(name, flange, opening, np.asarray(self.options.grip_offset, dtype=float))
            )
        return tuple(arms)
