# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pictures from strangers: size and format are checked before anything is unpacked."""

from __future__ import annotations

import base64
import binascii
import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from robotracer_ros.geometry.depth import decode_depth
from robotracer_ros.serving.refusal import Refusal

_DATA = 'data:'
_NPY = b'\x93NUMPY'
_NPY_TYPES = {'<f4': '32FC1', '<f8': '32FC1', '<u2': '16UC1'}


@dataclass(frozen=True)
class PictureLimits:
    """Limits of one picture.

    Attributes:
        max_pixels: Width times height.
        max_bytes: Of the packed picture.
    """

    max_pixels: int = 16_000_000
    max_bytes: int = 24 * 1024 * 1024


def from_base64(text: str, what: str) -> bytes:
    """Decode base64, with or without a ``data:`` head.

    Raises:
        Refusal: it is an address of something else, or no base64.
    """
    if text.startswith(_DATA):
        return from_data_uri(text, what)
    return _decoded(text, what)


def from_data_uri(uri: str, what: str) -> bytes:
    """Decode ``data:image/png;base64,...``; nothing is ever fetched.

    Raises:
        Refusal: it is another kind of address, or no base64.
    """
    head, comma, body = uri.partition(',')
    if not head.startswith(_DATA) or not comma or not head.endswith(';base64'):
        raise Refusal(
            400,
            'no_data_uri',
            f"{what} is '{uri[:60]}': only data:image/...;base64,... is read, no address is fetched",
        )
    return _decoded(body, what)


def colour(data: bytes, limits: PictureLimits, what: str = 'the image') -> NDArray[np.uint8]:
    """Unpack a PNG or JPEG to (H, W, 3). Raises Refusal."""
    with _opened(data, limits, what) as picture:
        try:
            return np.array(picture.convert('RGB'))
        except Exception as error:  # decoders raise whatever a broken file provokes
            raise _broken(what, error) from error


def depth(data: bytes, limits: PictureLimits, what: str = 'the depth') -> NDArray[np.float32] | None:
    """Unpack depth to metres (H, W), 0 where invalid; None when no pixel is valid.

    Read are 16-bit grey PNG in millimetres and .npy (float metres, or uint16 millimetres).

    Raises:
        Refusal: it is neither, broken, or too large.
    """
    if data.startswith(_NPY):
        metres = _depth_npy(data, limits, what)
    else:
        with _opened(data, limits, what) as picture:
            if picture.format != 'PNG' or not picture.mode.startswith('I'):
                raise Refusal(
                    400,
                    'bad_depth',
                    f'{what} is {picture.format} of mode {picture.mode}: must be a 16-bit grey PNG '
                    'in millimetres',
                )
            try:
                raw = np.array(picture)
            except Exception as error:  # decoders raise whatever a broken file provokes
                raise _broken(what, error) from error
        metres = decode_depth(np.clip(raw, 0, 65535).astype(np.uint16), '16UC1')
    return metres if metres.any() else None


def _decoded(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal(400, 'bad_base64', f'{what} is not base64: {error}') from error


def _opened(data: bytes, limits: PictureLimits, what: str) -> Image.Image:
    if len(data) > limits.max_bytes:
        raise Refusal(
            413, 'too_large', f'{what} has {len(data)} bytes: at most {limits.max_bytes}'
        )
    try:
        picture = Image.open(io.BytesIO(data), formats=('PNG', 'JPEG'))
    except Image.DecompressionBombError as error:
        raise _too_many_pixels(what, str(error), limits) from error
    except Exception as error:  # decoders raise whatever a broken file provokes
        raise _broken(what, error) from error
    if picture.width * picture.height > limits.max_pixels:
        size = f'{picture.width}x{picture.height}'
        picture.close()
        raise _too_many_pixels(what, size, limits)
    return picture


def _depth_npy(data: bytes, limits: PictureLimits, what: str) -> NDArray[np.float32]:
    """Read an array without pickles, and without trusting the size that its head names."""
    if len(data) > limits.max_bytes:
        raise Refusal(
            413, 'too_large', f'{what} has {len(data)} bytes: at most {limits.max_bytes}'
        )
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read(stream)
    except Exception as error:  # the head is a Python literal of the sender's
        raise _broken(what, error) from error
    encoding = _NPY_TYPES.get(dtype.str)
    if encoding is None or len(shape) != 2 or min(shape) < 1 or fortran:
        raise Refusal(
            400,
            'bad_depth',
            f'{what} holds {dtype} {shape}: must be (H, W) of float32, float64 or uint16',
        )
    if shape[0] * shape[1] > limits.max_pixels:
        raise _too_many_pixels(what, f'{shape[1]}x{shape[0]}', limits)
    body = data[stream.tell() :]
    if len(body) != shape[0] * shape[1] * dtype.itemsize:
        raise Refusal(400, 'bad_depth', f'{what} names {shape} and holds {len(body)} bytes')
    with np.errstate(over='ignore', invalid='ignore'):
        return decode_depth(np.frombuffer(body, dtype).reshape(shape), encoding)


def _broken(what: str, error: Exception) -> Refusal:
    return Refusal(400, 'bad_image', f'{what} cannot be read: {type(error).__name__}: {error}'[:300])


def _too_many_pixels(what: str, size: str, limits: PictureLimits) -> Refusal:
    return Refusal(
        413, 'too_many_pixels', f'{what} has too many pixels ({size}): at most {limits.max_pixels}'
    )


class Folder:
    """The only folder whose files a client may name.

    Args:
        root: It; links that lead out of it are not followed.
        max_bytes: Of a file.
    """

    def __init__(self, root: Path, max_bytes: int) -> None:
        self._root = root.resolve(strict=True)
        self._max_bytes = max_bytes

    def read(self, path: str, what: str) -> bytes:
        """Return the bytes of a regular file in the folder.

        Raises:
            Refusal: 403 for everything else, with the same words whether the file exists or not;
                413 when it is too large.
        """
        refused = Refusal(
            403, 'no_such_file', f"{what} '{path[:200]}' is no file inside the allowed folder"
        )
        try:
            real = (self._root / path).resolve(strict=True)
            if not real.is_relative_to(self._root):
                raise refused
            # Not blocking: a pipe must not hold the server. No link: what was checked was none.
            handle = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError, RuntimeError) as error:
            raise refused from error
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise refused
            with os.fdopen(handle, 'rb', closefd=False) as file:
                data = file.read(self._max_bytes + 1)
        finally:
            os.close(handle)
        if len(data) > self._max_bytes:
            raise Refusal(
                413, 'too_large', f"{what} '{path[:200]}' has more than {self._max_bytes} bytes"
            )
        return data
