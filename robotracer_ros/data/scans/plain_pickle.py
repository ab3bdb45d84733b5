# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pickles of plain data: containers, numbers, text and NumPy arrays; everything else is refused unopened.

EmbodiedScan publishes its annotations as pickles, and a pickle can name any function of any module to be called while
it is read. Here only what makes arrays may be named.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy._core import multiarray, numeric

from robotracer_ros.data.files import DatasetFileError


def _latin1_bytes(text: str, encoding: str) -> bytes:
    """Return the bytes that protocols below 3 write as text."""
    if encoding != 'latin1':
        raise ValueError(f"bytes written as text of encoding '{encoding}'")
    return text.encode('latin1')


#: NumPy renamed its core in version 2; files carry either name
_ALLOWED: dict[tuple[str, str], Any] = {
    ('numpy', 'ndarray'): np.ndarray,
    ('numpy', 'dtype'): np.dtype,
    ('_codecs', 'encode'): _latin1_bytes,
    **{
        (f'numpy.{core}.multiarray', name): getattr(multiarray, name)
        for core in ('core', '_core')
        for name in ('_reconstruct', 'scalar')
    },
    **{
        (f'numpy.{core}.numeric', '_frombuffer'): vars(numeric)['_frombuffer']
        for core in ('core', '_core')
    },
}  # fmt: skip


class _Forbidden(Exception):
    """The pickle names something that is not plain data."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _Forbidden(f'{module}.{name}') from None


def read_plain_pickle(path: Path) -> Any:
    """Read a pickle that holds nothing but plain data and NumPy arrays.

    Raises:
        DatasetFileError: it cannot be read, or it names anything else.
    """
    try:
        with path.open('rb') as file:
            return _Unpickler(file, encoding='latin1').load()
    except _Forbidden as error:
        raise DatasetFileError(
            path, '', f"names '{error}': only plain data and NumPy arrays are read from pickles"
        ) from error
    except OSError as error:
        raise DatasetFileError(path, '', f'cannot be read: {error}') from error
    # Broken pickles end in whatever the broken bytes ask for.
    except Exception as error:
        raise DatasetFileError(path, '', f'is no pickle of plain data: {error}') from error
