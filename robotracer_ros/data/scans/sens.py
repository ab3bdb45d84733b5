# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""ScanNet's ``.sens`` files: a header, then colour (JPEG), depth (zlib) and pose of every frame."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.data.files import DatasetFileError

Array = NDArray[np.float64]

VERSION = 4
#: values of the compression fields that ScanNet uses
COLOR_JPEG, DEPTH_ZLIB = 2, 1
#: a frame's header: pose, two time stamps, two sizes
_FRAME = struct.Struct('<16f4Q')
_MAX_TEXT, _MAX_FRAMES, _MAX_BYTES = 4096, 10**6, 1 << 28


@dataclass(frozen=True)
class SensHeader:
    """What all frames of a file have in common.

    Attributes:
        intrinsic_color, intrinsic_depth: (4, 4), pixels.
        color_size, depth_size: Width and height, pixels.
        depth_shift: Steps of depth per metre.
        frames: How many.
    """

    intrinsic_color: Array
    intrinsic_depth: Array
    color_size: tuple[int, int]
    depth_size: tuple[int, int]
    depth_shift: float
    frames: int


class SensFile:
    """A ``.sens`` file; frames are read when they are asked for.

    Args:
        path: The file.

    Raises:
        DatasetFileError: it is missing, of another version or compression, or cut off.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open('rb') as file:
                self.header = self._header(file)
                self._offsets = self._index(file)
        except OSError as error:
            raise DatasetFileError(path, '', f'cannot be read: {error}') from error

    def _take(self, file: BinaryIO, n: int, field: str) -> bytes:
        data = file.read(n)
        if len(data) < n:
            raise DatasetFileError(self.path, field, f'is cut off: {len(data)} of {n} bytes')
        return data

    def _number(self, file: BinaryIO, kind: str, field: str) -> float:
        return float(struct.unpack(f'<{kind}', self._take(file, struct.calcsize(kind), field))[0])

    def _matrix(self, file: BinaryIO, field: str) -> Array:
        return np.array(struct.unpack('<16f', self._take(file, 64, field))).reshape(4, 4)

    def _header(self, file: BinaryIO) -> SensHeader:
        version = int(self._number(file, 'I', 'version'))
        if version != VERSION:
            raise DatasetFileError(self.path, 'version', f'{version}: must be {VERSION}')
        length = int(self._number(file, 'Q', 'length of the sensor name'))
        if length > _MAX_TEXT:
            raise DatasetFileError(
                self.path, 'length of the sensor name', f'{length}: at most {_MAX_TEXT} bytes'
            )
        self._take(file, length, 'sensor name')
        color = self._matrix(file, 'intrinsic_color')
        self._matrix(file, 'extrinsic_color')
        depth = self._matrix(file, 'intrinsic_depth')
        self._matrix(file, 'extrinsic_depth')
        for field, want in (('color compression', COLOR_JPEG), ('depth compression', DEPTH_ZLIB)):
            found = int(self._number(file, 'i', field))
            if found != want:
                raise DatasetFileError(self.path, field, f'{found}: must be {want}')
        sizes = [
            int(self._number(file, 'I', f))
            for f in ('color width', 'color height', 'depth width', 'depth height')
        ]
        if not all(1 <= s <= 1 << 14 for s in sizes):
            raise DatasetFileError(self.path, 'image sizes', f'{sizes}: must be in 1..16384 px')
        shift = self._number(file, 'f', 'depth shift')
        if not shift > 0 or not np.isfinite(shift):
            raise DatasetFileError(self.path, 'depth shift', f'{shift:g}: must be > 0')
        frames = int(self._number(file, 'Q', 'number of frames'))
        if frames > _MAX_FRAMES:
            raise DatasetFileError(self.path, 'number of frames', f'{frames}: at most {_MAX_FRAMES}')
        return SensHeader(
            color, depth, (sizes[0], sizes[1]), (sizes[2], sizes[3]), shift, frames
        )

    def _index(self, file: BinaryIO) -> list[int]:
        """Return where each frame begins; only their headers are read."""
        offsets = []
        end = self.path.stat().st_size
        for i in range(self.header.frames):
            offsets.append(file.tell())
            values = _FRAME.unpack(self._take(file, _FRAME.size, f'frame {i}'))
            color, depth = values[18:]
            if max(color, depth) > _MAX_BYTES or file.tell() + color + depth > end:
                raise DatasetFileError(
                    self.path,
                    f'frame {i}',
                    f'is cut off: {color} + {depth} bytes of images, {end - file.tell()} are there',
                )
            file.seek(color + depth, 1)
        return offsets

    def frame(self, index: int) -> tuple[Array, bytes, NDArray[np.float32]]:
        """Read a frame.

        Returns:
            camera_to_world (4, 4), which is not finite where tracking was lost; the colour image as JPEG; depth (H, W)
            in metres.

        Raises:
            DatasetFileError: the depth cannot be unpacked or has another size than the header says.
        """
        with self.path.open('rb') as file:
            file.seek(self._offsets[index])
            values = _FRAME.unpack(self._take(file, _FRAME.size, f'frame {index}'))
            color = self._take(file, values[18], f'frame {index} colour')
            packed = self._take(file, values[19], f'frame {index} depth')
        width, height = self.header.depth_size
        try:
            # No more than is wanted, whatever the packed bytes claim.
            unpacking = zlib.decompressobj()
            raw = unpacking.decompress(packed, 2 * width * height + 1)
            if not unpacking.eof and len(raw) <= 2 * width * height:
                raise zlib.error('its end is missing or broken')
        except zlib.error as error:
            raise DatasetFileError(
                self.path, f'frame {index} depth', f'cannot be unpacked: {error}'
            ) from error
        if len(raw) != 2 * width * height:
            raise DatasetFileError(
                self.path,
                f'frame {index} depth',
                f'has {_counted(len(raw), 2 * width * height)} bytes: must be {2 * width * height} for '
                f'{width}x{height} px',
            )
        depth = np.frombuffer(raw, '<u2').reshape(height, width)
        metres = depth.astype(np.float32) / np.float32(self.header.depth_shift)
        return np.array(values[:16]).reshape(4, 4), color, metres


def _counted(found: int, wanted: int) -> str:
    """Tell a number that was not counted further than one too many."""
    return f'more than {wanted}' if found > wanted else str(found)
