# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Files of other people's data sets, read with typed errors that name the file, the field and the value."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from scipy.spatial.transform import Rotation

from robotracer_ros.errors import InvalidParameterError, MissingPackageError
from robotracer_ros.geometry.transforms import make_transform

Array = NDArray[np.float64]


class DatasetFileError(InvalidParameterError):
    """A file of a data set is missing, broken or not of the layout that was named.

    Args:
        path: The file.
        field: What in it, empty for the file itself.
        problem: What is wrong, with the value and what it must be.
    """

    def __init__(self, path: Path, field: str, problem: str) -> None:
        super().__init__(
            f"'{path}'{f', {field}' if field else ''}: {problem}",
            path=str(path),
            field=field,
            problem=problem,
        )


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises DatasetFileError."""
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise DatasetFileError(path, '', f'cannot be read as JSON: {error}') from error


def member(data: Any, path: Path, *keys: str | int) -> Any:
    """Return ``data[key][key]...``. Raises DatasetFileError naming the first key that is missing."""
    for i, key in enumerate(keys):
        name = '.'.join(str(k) for k in keys[: i + 1])
        if isinstance(data, list) and isinstance(key, int):
            present = 0 <= key < len(data)
        elif isinstance(data, Mapping):
            present = key in data
        else:
            raise DatasetFileError(
                path, name, f'stands in a {type(data).__name__}, not in a list or an object'
            )
        if not present:
            raise DatasetFileError(path, name, 'is missing')
        data = data[key]
    return data


def numbers(value: Any, shape: tuple[int | None, ...], path: Path, field: str) -> Array:
    """Return an array of finite numbers of a shape, None meaning any length. Raises DatasetFileError."""
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise DatasetFileError(path, field, f'{shorten(value)} are not numbers') from error
    want = '(' + ', '.join('N' if n is None else str(n) for n in shape) + ')'
    if array.ndim != len(shape) or any(
        n is not None and n != m for n, m in zip(shape, array.shape, strict=False)
    ):
        raise DatasetFileError(path, field, f'has shape {array.shape}: must be {want}')
    if not np.isfinite(array).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise DatasetFileError(path, field, f'holds {array[index]} at {index}: must be finite')
    return array


def shorten(value: Any, limit: int = 80) -> str:
    """Return the text of a value, cut off."""
    text = repr(value)
    return text if len(text) <= limit else text[:limit] + '...'


@contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """Open an HDF5 file for reading.

    Raises:
        MissingPackageError: h5py is not installed.
        DatasetFileError: the file is missing or is no HDF5 file.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingPackageError(
            "HDF5 files need the package 'h5py': pip install 'robotracer_ros[video]'"
        ) from error
    try:
        file = h5py.File(path, 'r')
    except OSError as error:
        raise DatasetFileError(path, '', f'cannot be read as HDF5: {error}') from error
    with file:
        yield file


def hdf5_numbers(file: Any, name: str, shape: tuple[int | None, ...], path: Path) -> Array:
    """Return a data set of an open HDF5 file as finite numbers. Raises DatasetFileError."""
    if name not in file or not hasattr(file[name], 'dtype'):
        raise DatasetFileError(path, name, 'is missing')
    try:
        return numbers(file[name][...], shape, path, name)
    except OSError as error:  # a damaged chunk
        raise DatasetFileError(path, name, f'cannot be read: {error}') from error


def read_depth_png(path: Path, size: tuple[int, int], unit: float = 1e-3) -> NDArray[np.float32]:
    """Read a 16-bit depth image as (H, W) metres, 0 invalid.

    Args:
        path: The PNG file.
        size: Width and height it must have, pixels.
        unit: Metres per step.

    Raises:
        DatasetFileError: missing, broken, not 16 bit, or of another size.
    """
    try:
        with Image.open(path) as image:
            raw = np.asarray(image)
    except (OSError, UnidentifiedImageError) as error:
        raise DatasetFileError(path, '', f'cannot be read as an image: {error}') from error
    if raw.ndim != 2 or raw.dtype not in (np.uint16, np.int32):
        raise DatasetFileError(
            path, '', f'holds {raw.dtype} {raw.shape}: depth must be one channel of 16 bit'
        )
    if raw.shape != (size[1], size[0]):
        raise DatasetFileError(
            path,
            '',
            f'is {raw.shape[1]}x{raw.shape[0]}: the colour frames are {size[0]}x{size[1]}',
        )
    return raw.astype(np.float32) * np.float32(unit)


def pose_from_euler(xyz_rpy: Array) -> Array:
    """Return (..., 4, 4) transforms of (..., 6) numbers: metres, then rotations about fixed x, y, z, rad."""
    flat = np.asarray(xyz_rpy, dtype=float).reshape(-1, 6)
    rotations = Rotation.from_euler('xyz', flat[:, 3:]).as_matrix()
    poses = np.stack([make_transform(r, t) for r, t in zip(rotations, flat[:, :3], strict=True)])
    return poses.reshape(*np.shape(xyz_rpy)[:-1], 4, 4)


def pose_from_quaternion(xyz_xyzw: Array, path: Path, field: str) -> Array:
    """Return (..., 4, 4) transforms of (..., 7) numbers: metres, then a quaternion x, y, z, w.

    Raises:
        DatasetFileError: a quaternion has no length near 1.
    """
    flat = np.asarray(xyz_xyzw, dtype=float).reshape(-1, 7)
    length = np.linalg.norm(flat[:, 3:], axis=1)
    wrong = np.flatnonzero(np.abs(length - 1) > 0.05)
    if len(wrong):
        i = int(wrong[0])
        raise DatasetFileError(
            path, field, f'row {i} is a quaternion of length {length[i]:.3g}: must be 1'
        )
    rotations = Rotation.from_quat(flat[:, 3:]).as_matrix()
    poses = np.stack([make_transform(r, t) for r, t in zip(rotations, flat[:, :3], strict=True)])
    return poses.reshape(*np.shape(xyz_xyzw)[:-1], 4, 4)
