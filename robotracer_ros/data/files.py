# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Files of other people's data sets, read with typed errors that name the file, the field and the value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.errors import InvalidParameterError

Array = NDArray[np.float64]
T = TypeVar('T')


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


def read_bytes(path: Path) -> bytes:
    """Read a file whole. Raises DatasetFileError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetFileError(path, '', f'cannot be read: {error}') from error


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


def typed(kind: type[T], data: Any, path: Path, *keys: str | int) -> T:
    """Return ``data[key][key]...`` when it is a list, dict, str or int (whole numbers of any kind).

    Raises:
        DatasetFileError: it is missing or something else.
    """
    value = member(data, path, *keys)
    # As pickles and tables have them, too: numbers of NumPy, and floats without a fraction.
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if kind is int and (whole or (isinstance(value, (float, np.floating)) and value.is_integer())):
        return int(value)  # type: ignore[return-value]
    if kind is int or not isinstance(value, kind):
        name = '.'.join(str(k) for k in keys)
        raise DatasetFileError(path, name, f'is {shorten(value)}: must be of type {kind.__name__}')
    return value


def numbers(value: Any, shape: tuple[int | None, ...], path: Path, field: str) -> Array:
    """Return an array of finite numbers of a shape, None meaning any length. Raises DatasetFileError."""
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError, OverflowError) as error:
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
