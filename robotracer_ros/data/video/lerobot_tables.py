# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Columns of LeRobot's parquet files as numbers, pictures and poses, with typed errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from robotracer_ros.data.files import Array, DatasetFileError, numbers
from robotracer_ros.data.rows import import_pyarrow
from robotracer_ros.data.video.lerobot_keys import PoseFormat
from robotracer_ros.data.video.poses import pose_from_euler, pose_from_quaternion
from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.geometry.transforms import invert

#: how many numbers make a pose
_NUMBERS = {'xyz_rpy': 6, 'xyz_xyzw': 7, 'matrix': 16}


def read_table(
    path: Path, columns: list[str] | None = None, filters: list[Any] | None = None
) -> Any:
    """Read a parquet file. Raises DatasetFileError."""
    pa = import_pyarrow()
    present = schema(path)
    missing = [c for c in columns or [] if c not in present]
    if missing:
        raise DatasetFileError(path, missing[0], f'is missing: there are {", ".join(present)}')
    try:
        return pa.parquet.read_table(path, columns=columns, filters=filters)
    except (OSError, pa.ArrowException) as error:
        raise DatasetFileError(path, '', f'cannot be read as parquet: {error}') from error


def schema(path: Path) -> list[str]:
    """Return the names of a parquet file's columns. Raises DatasetFileError."""
    pa = import_pyarrow()
    try:
        return list(pa.parquet.read_schema(path).names)
    except (OSError, pa.ArrowException) as error:
        raise DatasetFileError(path, '', f'cannot be read as parquet: {error}') from error


def column(table: Any, key: str, path: Path) -> Array:
    """Return a feature as (N, K) numbers."""
    values = table[key].to_pylist()
    if values and not isinstance(values[0], list):
        values = [[v] for v in values]
    if len({len(v) for v in values}) != 1:
        raise DatasetFileError(path, key, 'has rows of different lengths')
    return numbers(values, (None, len(values[0])), path, key)


def pictures(table: Any, key: str, path: Path) -> list[bytes]:
    """Return the encoded pictures of a feature. Raises DatasetFileError."""
    encoded = []
    for i, value in enumerate(table[key].to_pylist()):
        data = value.get('bytes') if isinstance(value, dict) else value
        if not isinstance(data, bytes):
            raise DatasetFileError(path, f'{key}[{i}]', 'holds no bytes of a picture')
        encoded.append(data)
    return encoded


def poses(values: Array, form: PoseFormat, path: Path, key: str) -> Array:
    """Return (N, 4, 4) transforms."""
    if form not in _NUMBERS:
        raise InvalidParameterError(f"pose format '{form}': must be one of {', '.join(_NUMBERS)}")
    values = numbers(values, (None, _NUMBERS[form]), path, key)
    if form == 'xyz_rpy':
        return pose_from_euler(values)
    if form == 'xyz_xyzw':
        return pose_from_quaternion(values, path, key)
    poses = values.reshape(-1, 4, 4)
    for i, pose in enumerate(poses):
        if not np.allclose(invert(pose) @ pose, np.eye(4), atol=1e-3):
            raise DatasetFileError(path, key, f'row {i} is no rigid transform')
    return poses
