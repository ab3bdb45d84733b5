# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""LeRobot data sets, version 3.

::

    meta/info.json                                    codebase_version, fps, features, data_path, video_path
    meta/tasks.parquet                                task_index, task (the index of a pandas table)
    meta/episodes/chunk-000/file-000.parquet          one row per episode: length, tasks, where its rows and frames are
    data/chunk-000/file-000.parquet                   one row per frame, many episodes per file
    videos/<key>/chunk-000/file-000.mp4               many episodes per file

Features of dtype ``image`` hold encoded pictures in the table (``bytes``, ``path``), features of dtype ``video`` lie in
MP4 files. The layout says nothing of poses, cameras or grippers:
:class:`~robotracer_ros.data.video.lerobot_keys.LeRobotKeys` names the features with them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from robotracer_ros.data.files import Array, DatasetFileError, member, numbers, read_json, typed
from robotracer_ros.data.video.depth import DepthPictures
from robotracer_ros.data.video.episode import ArmMotion, DepthFrames, Episode
from robotracer_ros.data.video.frames import Excerpt, Frames, Pictures, open_video
from robotracer_ros.data.video.lerobot_keys import ArmKeys, LeRobotKeys
from robotracer_ros.data.video.lerobot_tables import column, pictures, poses, read_table, schema
from robotracer_ros.errors import InvalidParameterError, NoIntrinsicsError
from robotracer_ros.geometry.camera import CameraModel


@dataclass
class _Open:
    """The video file that was opened last: neighbouring episodes share it."""

    path: Path | None = None
    frames: Frames | None = None


@dataclass
class LeRobotReader:
    """Reads the episodes of a LeRobot data set.

    Attributes:
        root: Its folder.
        keys: Which features hold what.

    Raises:
        DatasetFileError: the metadata are missing, broken or of another version.
        InvalidParameterError: a feature that ``keys`` names does not exist.
    """

    root: Path
    keys: LeRobotKeys = field(default_factory=LeRobotKeys)

    def __post_init__(self) -> None:
        self._info_path = self.root / 'meta' / 'info.json'
        self._info = read_json(self._info_path)
        version = str(member(self._info, self._info_path, 'codebase_version'))
        if not version.startswith('v3'):
            raise DatasetFileError(
                self._info_path,
                'codebase_version',
                f"is '{version}': must be v3.x (LeRobot's own converter makes v3.0 of older data sets)",
            )
        self._fps = float(numbers(member(self._info, self._info_path, 'fps'), (), self._info_path, 'fps'))
        if self._fps <= 0:
            raise DatasetFileError(self._info_path, 'fps', f'is {self._fps}: must be > 0')
        self._features = typed(dict, self._info, self._info_path, 'features')
        for key in self._wanted():
            if key not in self._features:
                raise InvalidParameterError(
                    f"data set '{self.root}' has no feature '{key}': it has {', '.join(self._features)}"
                )
            typed(dict, self._features, self._info_path, key)
        self._tasks = self._read_tasks()
        self._episodes = self._read_episodes()
        self._video = _Open()

    def references(self) -> list[str]:
        """Return the names of all episodes."""
        return [str(i) for i in self._episodes]

    def read(self, reference: str) -> Episode:
        """Read an episode; its frames are decoded later, on demand.

        Raises:
            DatasetFileError: a file of it is missing or broken.
            NoIntrinsicsError: ``keys`` names no intrinsics.
        """
        row = self._episodes[int(reference)]
        meta = row['path']
        path = self._data_path(row, meta)
        length = typed(int, row, meta, 'length')
        columns = self._table(path, int(reference), length)
        rgb, camera = self._frames(columns, row, path, length)
        return Episode(
            id=f'{self.root.name}-{int(reference):06d}',
            layout='lerobot',
            instructions=self._instructions(columns, row, path),
            fps=self._fps,
            camera=camera,
            base_from_camera=self._extrinsics(columns, path, length),
            rgb=rgb,
            depth=self._depth(columns, path, camera),
            arms=tuple(self._arm(arm, columns, path) for arm in self.keys.arms),
            path=f'{path} episode {reference}',
            extra={'robot_type': self._info.get('robot_type') or ''},
        )

    def _wanted(self) -> list[str]:
        k = self.keys
        names = [k.camera, k.depth, '' if k.base_from_camera else k.extrinsics, *k.instructions]
        for arm in k.arms:
            names += [arm.pose, arm.gripper]
        return [n for n in dict.fromkeys(names) if n]

    def _read_tasks(self) -> dict[int, str]:
        path = self.root / 'meta' / 'tasks.parquet'
        table = read_table(path)
        texts = [n for n in table.column_names if n != 'task_index']
        if 'task_index' not in table.column_names or len(texts) < 1:
            raise DatasetFileError(
                path, 'task_index', f'or the texts are missing: there are {table.column_names}'
            )
        name = 'task' if 'task' in texts else texts[0]
        rows = zip(table['task_index'].to_pylist(), table[name].to_pylist(), strict=True)
        return {int(i): str(text) for i, text in rows}

    def _read_episodes(self) -> dict[int, dict[str, Any]]:
        found: dict[int, dict[str, Any]] = {}
        folder = self.root / 'meta' / 'episodes'
        for path in sorted(folder.glob('chunk-*/file-*.parquet')):
            names = [n for n in schema(path) if not n.startswith('stats/')]
            for row in read_table(path, names).to_pylist():
                found[typed(int, row, path, 'episode_index')] = {**row, 'path': path}
        if not found:
            raise DatasetFileError(folder, 'chunk-*/file-*.parquet', 'is missing: no episodes')
        return dict(sorted(found.items()))

    def _data_path(self, row: Mapping[str, Any], meta: Path) -> Path:
        return self._path('data_path', row, meta, 'data')

    def _path(self, template: str, row: Mapping[str, Any], meta: Path, prefix: str, **more: str) -> Path:
        text = typed(str, self._info, self._info_path, template)
        try:
            name = text.format(
                chunk_index=typed(int, row, meta, f'{prefix}/chunk_index'),
                file_index=typed(int, row, meta, f'{prefix}/file_index'),
                **more,
            )
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise DatasetFileError(
                self._info_path, template, f"is '{text}': {error!r} in a version 3 path"
            ) from error
        # By its name alone: in a download of the hub every file is a link to a folder beside.
        path = Path(os.path.normpath(self.root / name))
        if not path.is_relative_to(os.path.normpath(self.root)):
            raise DatasetFileError(self._info_path, template, f"'{text}' leads out of the data set")
        return path

    def _table(self, path: Path, episode: int, length: int) -> Any:
        """Read the rows of an episode that are asked for."""
        wanted = [k for k in self._wanted() if self._features[k].get('dtype') != 'video']
        table = read_table(
            path, [*wanted, 'frame_index', 'task_index'], [('episode_index', '=', episode)]
        )
        if table.num_rows != length or length == 0:
            raise DatasetFileError(
                path, f'episode {episode}', f'has {table.num_rows} rows: its metadata say {length}'
            )
        if table['frame_index'].to_pylist() != list(range(length)):
            raise DatasetFileError(path, f'episode {episode}, frame_index', 'does not count from 0')
        return table

    def _frames(
        self, table: Any, row: Mapping[str, Any], path: Path, length: int
    ) -> tuple[Frames, CameraModel]:
        key = self.keys.camera
        rgb: Frames
        if self._features[key].get('dtype') == 'video':
            meta = row['path']
            file = self._path('video_path', row, meta, f'videos/{key}', video_key=key)
            at = f'videos/{key}/from_timestamp'
            begin = float(numbers(member(row, meta, at), (), meta, at))
            if self._video.path != file or self._video.frames is None:
                self._video = _Open(file, open_video(file))
            video = self._video.frames
            assert video is not None
            start = round(begin * self._fps)
            if start + length > len(video):
                raise DatasetFileError(
                    file,
                    key,
                    f'has {len(video)} frames: the episode needs {start} to {start + length}',
                )
            rgb = Excerpt(video, start, length)
        else:
            rgb = Pictures(pictures(table, key, path), path, key)
        height, width = rgb.read(0).shape[:2]
        return rgb, self._camera(width, height)

    def _camera(self, width: int, height: int) -> CameraModel:
        k = self.keys
        if len(k.intrinsics) != 4:
            raise NoIntrinsicsError(
                f'intrinsics {list(k.intrinsics)}: LeRobot data sets hold none, give fx, fy, cx, cy in the '
                'configuration'
            )
        size = k.intrinsics_size or (width, height)
        if len(size) != 2:
            raise InvalidParameterError(f'intrinsics_size {list(size)}: must be width and height')
        return CameraModel(int(size[0]), int(size[1]), *k.intrinsics).resized(width, height)

    def _extrinsics(self, table: Any, path: Path, length: int) -> Array:
        k = self.keys
        if k.base_from_camera:
            one = poses(np.asarray(k.base_from_camera)[None], k.extrinsics_format, path, 'base_from_camera')
            return np.repeat(one, length, axis=0)
        return poses(column(table, k.extrinsics, path), k.extrinsics_format, path, k.extrinsics)

    def _depth(self, table: Any, path: Path, camera: CameraModel) -> DepthFrames | None:
        key = self.keys.depth
        if not key:
            return None
        if self._features[key].get('dtype') != 'image':
            raise InvalidParameterError(
                f"depth feature '{key}' has dtype '{self._features[key].get('dtype')}': only 16-bit images in the "
                'table are read, depth that was quantised into a video is not'
            )
        return DepthPictures(pictures(table, key, path), path, key, camera, self.keys.depth_unit)

    def _arm(self, arm: ArmKeys, table: Any, path: Path) -> ArmMotion:
        pose = column(table, arm.pose, path)
        if arm.pose_columns:
            if max(arm.pose_columns) >= pose.shape[1]:
                raise InvalidParameterError(
                    f"pose_columns {list(arm.pose_columns)}: feature '{arm.pose}' has {pose.shape[1]} numbers"
                )
            pose = pose[:, list(arm.pose_columns)]
        raw = column(table, arm.gripper, path)
        if not 0 <= arm.gripper_column < raw.shape[1]:
            raise InvalidParameterError(
                f"gripper_column {arm.gripper_column}: feature '{arm.gripper}' has {raw.shape[1]} numbers"
            )
        if arm.gripper_open == arm.gripper_closed:
            raise InvalidParameterError(
                f'gripper_open and gripper_closed are both {arm.gripper_open}: they must differ'
            )
        opening = (raw[:, arm.gripper_column] - arm.gripper_closed) / (arm.gripper_open - arm.gripper_closed)
        return ArmMotion(
            arm.name,
            poses(pose, arm.pose_format, path, arm.pose),
            np.clip(opening, 0.0, 1.0),
            np.asarray(arm.grip_offset, dtype=float),
        )

    def _instructions(self, table: Any, row: Mapping[str, Any], path: Path) -> tuple[str, ...]:
        index = table['task_index'][0].as_py()
        texts = [str(t) for t in row.get('tasks') or []] or [self._tasks.get(int(index), '')]
        texts += [str(table[key][0].as_py() or '') for key in self.keys.instructions]
        return tuple(dict.fromkeys(t.strip() for t in texts if t.strip()))
