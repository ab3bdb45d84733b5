# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Data sets of HDF5 files, read with typed errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from robotracer_ros.data.files import Array, DatasetFileError, numbers
from robotracer_ros.errors import MissingPackageError


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
