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
MP4 files. The layout says nothing of poses, cameras or grippers: :class:`LeRobotKeys` names the features with them.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from robotracer_ros.data.rows import import_pyarrow
from robotracer_ros.data.video.episode import ArmMotion, DepthFrames, Episode
from robotracer_ros.data.video.files import (
    Array,
    DatasetFileError,
    member,
    numbers,
    pose_from_euler,
    pose_from_quaternion,
    read_json,
)
from robotracer_ros.data.video.frames import Excerpt, Frames, Pictures, open_video
from robotracer_ros.errors import InvalidParameterError, NoIntrinsicsError
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.transforms import invert

PoseFormat = Literal['xyz_rpy', 'xyz_xyzw', 'matrix']
_WIDTH = {'xyz_rpy': 6, 'xyz_xyzw': 7, 'matrix': 16}


@dataclass(frozen=True)
class ArmKeys:
    """Which features tell what an arm does.

    Attributes:
        name: ``left``, ``right``, or empty for the only arm.
        pose: Feature with base_from_flange.
        pose_columns: Which of its numbers, all when empty.
        pose_format: Metres and radians about fixed axes, metres and quaternion, or 4x4 row by row.
        gripper: Feature with the gripper's position.
        gripper_column: Which of its numbers.
        gripper_open, gripper_closed: Its values when open and when closed.
        grip_offset: Where the fingers meet in the frame of the flange, metres.
    """

    name: str = ''
    pose: str = 'observation.state.cartesian_position'
    pose_columns: tuple[int, ...] = ()
    pose_format: PoseFormat = 'xyz_rpy'
    gripper: str = 'observation.state.gripper_position'
    gripper_column: int = 0
    gripper_open: float = 0.0
    gripper_closed: float = 1.0
    grip_offset: tuple[float, ...] = (0.0, 0.0, 0.15)


@dataclass(frozen=True)
class LeRobotKeys:
    """Which features hold what. The defaults are those of the port of DROID (``lerobot/droid_1.0.1``).

    Attributes:
        camera: Feature with the colour frames.
        depth: Feature of dtype ``image`` with 16-bit depth aligned to them, or empty.
        depth_unit: Metres per step of it.
        intrinsics: fx, fy, cx, cy in pixels; the layout has no place for them.
        intrinsics_size: Width and height of the images that these belong to; those of the frames when empty.
        extrinsics: Feature with base_from_camera at every frame, or empty.
        base_from_camera: The same as numbers when the camera stands still and no feature tells.
        extrinsics_format: Of either.
        arms: One or two.
        instructions: Features with further wordings of the task.
    """

    camera: str = 'observation.images.exterior_1_left'
    depth: str = ''
    depth_unit: float = 1e-3
    intrinsics: tuple[float, ...] = ()
    intrinsics_size: tuple[int, ...] = ()
    extrinsics: str = 'camera_extrinsics.exterior_1_left'
    base_from_camera: tuple[float, ...] = ()
    extrinsics_format: PoseFormat = 'xyz_rpy'
    arms: tuple[ArmKeys, ...] = (ArmKeys(),)
    instructions: tuple[str, ...] = ()


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
        self._features: Mapping[str, Any] = member(self._info, self._info_path, 'features')
        for key in self._wanted():
            if key not in self._features:
                raise InvalidParameterError(
                    f"data set '{self.root}' has no feature '{key}': it has {', '.join(self._features)}"
                )
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
        length = int(member(row, meta, 'length'))
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
        table = _read_table(path)
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
            names = [n for n in _schema(path) if not n.startswith('stats/')]
            for row in _read_table(path, names).to_pylist():
                found[int(member(row, path, 'episode_index'))] = {**row, 'path': path}
        if not found:
            raise DatasetFileError(folder, 'chunk-*/file-*.parquet', 'is missing: no episodes')
        return dict(sorted(found.items()))

    def _data_path(self, row: Mapping[str, Any], meta: Path) -> Path:
        return self._path('data_path', row, meta, 'data')

    def _path(self, template: str, row: Mapping[str, Any], meta: Path, prefix: str, **more: str) -> Path:
        text = str(member(self._info, self._info_path, template))
        try:
            name = text.format(
                chunk_index=int(member(row, meta, f'{prefix}/chunk_index')),
                file_index=int(member(row, meta, f'{prefix}/file_index')),
                **more,
            )
        except (KeyError, IndexError, ValueError) as error:
            raise DatasetFileError(
                self._info_path, template, f"is '{text}': {error!r} in a version 3 path"
            ) from error
        path = (self.root / name).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise DatasetFileError(self._info_path, template, f"'{text}' leads out of the data set")
        return path

    def _table(self, path: Path, episode: int, length: int) -> Any:
        """Read the rows of an episode that are asked for."""
        wanted = [k for k in self._wanted() if self._features[k].get('dtype') != 'video']
        table = _read_table(
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
            begin = float(member(row, meta, f'videos/{key}/from_timestamp'))
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
            rgb = Pictures(_pictures(table, key, path), path, key)
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
            one = _poses(np.asarray(k.base_from_camera)[None], k.extrinsics_format, path, 'base_from_camera')
            return np.repeat(one, length, axis=0)
        return _poses(_column(table, k.extrinsics, path), k.extrinsics_format, path, k.extrinsics)

    def _depth(self, table: Any, path: Path, camera: CameraModel) -> DepthFrames | None:
        key = self.keys.depth
        if not key:
            return None
        if self._features[key].get('dtype') != 'image':
            raise InvalidParameterError(
                f"depth feature '{key}' has dtype '{self._features[key].get('dtype')}': only 16-bit images in the "
                'table are read, depth that was quantised into a video is not'
            )
        return _DepthPictures(_pictures(table, key, path), path, key, camera, self.keys.depth_unit)

    def _arm(self, arm: ArmKeys, table: Any, path: Path) -> ArmMotion:
        pose = _column(table, arm.pose, path)
        if arm.pose_columns:
            if max(arm.pose_columns) >= pose.shape[1]:
                raise InvalidParameterError(
                    f"pose_columns {list(arm.pose_columns)}: feature '{arm.pose}' has {pose.shape[1]} numbers"
                )
            pose = pose[:, list(arm.pose_columns)]
        raw = _column(table, arm.gripper, path)
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
            _poses(pose, arm.pose_format, path, arm.pose),
            np.clip(opening, 0.0, 1.0),
            np.asarray(arm.grip_offset, dtype=float),
        )

    def _instructions(self, table: Any, row: Mapping[str, Any], path: Path) -> tuple[str, ...]:
        index = table['task_index'][0].as_py()
        texts = [str(t) for t in row.get('tasks') or []] or [self._tasks.get(int(index), '')]
        texts += [str(table[key][0].as_py() or '') for key in self.keys.instructions]
        return tuple(dict.fromkeys(t.strip() for t in texts if t.strip()))


class _DepthPictures:
    """Depth that lies in the table as 16-bit pictures."""

    def __init__(
        self, encoded: Sequence[bytes], path: Path, field: str, camera: CameraModel, unit: float
    ) -> None:
        self._encoded, self._path, self._field = encoded, path, field
        self._shape, self._unit = (camera.height, camera.width), unit

    def read(self, index: int) -> NDArray[np.float32] | None:
        """Return frame ``index`` as (H, W) metres. Raises DatasetFileError."""
        name = f'{self._field}[{index}]'
        try:
            with Image.open(io.BytesIO(self._encoded[index])) as image:
                raw = np.asarray(image)
        except (OSError, UnidentifiedImageError) as error:
            raise DatasetFileError(self._path, name, f'is no picture: {error}') from error
        if raw.dtype not in (np.uint16, np.int32) or raw.shape != self._shape:
            raise DatasetFileError(
                self._path, name, f'is {raw.dtype} {raw.shape}: must be 16 bit {self._shape}'
            )
        return raw.astype(np.float32) * np.float32(self._unit)


def _read_table(
    path: Path, columns: list[str] | None = None, filters: list[Any] | None = None
) -> Any:
    """Read a parquet file. Raises DatasetFileError."""
    pa = import_pyarrow()
    present = _schema(path)
    missing = [c for c in columns or [] if c not in present]
    if missing:
        raise DatasetFileError(path, missing[0], f'is missing: there are {", ".join(present)}')
    try:
        return pa.parquet.read_table(path, columns=columns, filters=filters)
    except (OSError, pa.ArrowException) as error:
        raise DatasetFileError(path, '', f'cannot be read as parquet: {error}') from error


def _schema(path: Path) -> list[str]:
    pa = import_pyarrow()
    try:
        return list(pa.parquet.read_schema(path).names)
    except (OSError, pa.ArrowException) as error:
        raise DatasetFileError(path, '', f'cannot be read as parquet: {error}') from error


def _column(table: Any, key: str, path: Path) -> Array:
    """Return a feature as (N, K) numbers."""
    values = table[key].to_pylist()
    if values and not isinstance(values[0], list):
        values = [[v] for v in values]
    if len({len(v) for v in values}) != 1:
        raise DatasetFileError(path, key, 'has rows of different lengths')
    return numbers(values, (None, len(values[0])), path, key)


def _pictures(table: Any, key: str, path: Path) -> list[bytes]:
    encoded = []
    for i, value in enumerate(table[key].to_pylist()):
        data = value.get('bytes') if isinstance(value, dict) else value
        if not isinstance(data, bytes):
            raise DatasetFileError(path, f'{key}[{i}]', 'holds no bytes of a picture')
        encoded.append(data)
    return encoded


def _poses(values: Array, form: PoseFormat, path: Path, key: str) -> Array:
    """Return (N, 4, 4) transforms."""
    if form not in _WIDTH:
        raise InvalidParameterError(f"pose format '{form}': must be one of {', '.join(_WIDTH)}")
    values = numbers(values, (None, _WIDTH[form]), path, key)
    if form == 'xyz_rpy':
        return pose_from_euler(values)
    if form == 'xyz_xyzw':
        return pose_from_quaternion(values, path, key)
    poses = values.reshape(-1, 4, 4)
    for i, pose in enumerate(poses):
        if not np.allclose(invert(pose) @ pose, np.eye(4), atol=1e-3):
            raise DatasetFileError(path, key, f'row {i} is no rigid transform')
    return poses
