# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Frames of videos, without a GPL or LGPL library in the tree.

* AV1 in MP4, what LeRobot writes: an AV1 image sequence (AVIF) and an AV1 video differ in the names of a brand and of
  a handler in the container, so a copy in memory with these two names changed is decoded by Pillow, whose wheels
  bring libavif and dav1d (both BSD). Any frame can be read at once.
* Every other codec (H.264 of DROID): the program ``ffmpeg`` of the user's system, run as a process, when it is there.
"""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from robotracer_ros.data.files import DatasetFileError
from robotracer_ros.data.image_files import decode_image
from robotracer_ros.errors import MissingPackageError

Rgb = NDArray[np.uint8]

#: boxes of the container that hold further boxes
_NESTING = (b'moov', b'trak', b'mdia', b'minf', b'stbl')
#: seconds that ffmpeg may take for the frames of one request
_FFMPEG_S = 300.0
#: larger files are refused: they are read into memory (LeRobot cuts its files at 200 to 500 MB)
_MAX_BYTES = 2**31


class Frames(Protocol):
    """Colour frames of a recording, by index."""

    def __len__(self) -> int:
        """Return the number of frames."""

    def read(self, index: int) -> Rgb:
        """Return frame ``index`` as (H, W, 3). Raises DatasetFileError."""


class Pictures:
    """Frames that are stored as encoded pictures, PNG or JPEG.

    Args:
        encoded: Their bytes.
        path: The file that they come from, for messages.
        field: What they are in it.
    """

    def __init__(self, encoded: Sequence[bytes], path: Path, field: str) -> None:
        self._encoded = encoded
        self._path = path
        self._field = field

    def __len__(self) -> int:
        return len(self._encoded)

    def read(self, index: int) -> Rgb:
        """Return frame ``index`` as (H, W, 3). Raises DatasetFileError."""
        return np.asarray(decode_image(self._encoded[index], self._path, f'{self._field}[{index}]'))


class Excerpt:
    """Some consecutive frames of a longer video, as LeRobot puts many episodes into one file.

    Args:
        frames: The video.
        start: Its frame that becomes number 0.
        length: How many.
    """

    def __init__(self, frames: Frames, start: int, length: int) -> None:
        self._frames, self._start, self._length = frames, start, length

    def __len__(self) -> int:
        return self._length

    def read(self, index: int) -> Rgb:
        """Return frame ``index`` as (H, W, 3). Raises DatasetFileError."""
        return self._frames.read(self._start + index)


def open_video(path: Path) -> Frames:
    """Open an MP4 file.

    Raises:
        DatasetFileError: the file is missing, no MP4 file or too large.
        MissingPackageError: its codec needs the program ``ffmpeg``, which is not on the PATH.
    """
    codec = video_codec(path)
    if codec == 'av01':
        return Av1Video(path)
    if shutil.which('ffmpeg') is None:
        raise MissingPackageError(
            f"'{path}' holds '{codec}' video: only AV1 is decoded without the program 'ffmpeg'; install it "
            "(apt-get install ffmpeg), or convert the file to AV1",
            path=str(path),
            codec=codec,
        )
    return FfmpegVideo(path)


def video_codec(path: Path) -> str:
    """Return the four characters that name the codec of the first video track. Raises DatasetFileError."""
    return _video_track(path)[0]


def frame_count(path: Path) -> int:
    """Return the number of frames of the first video track from its sample table. Raises DatasetFileError."""
    return _video_track(path)[1]


class Av1Video:
    """AV1 in MP4, decoded by Pillow.

    Args:
        path: The file.

    Raises:
        DatasetFileError: the file cannot be decoded.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        at, moov = _moov(path)
        data = bytearray(path.read_bytes())
        data[8:12] = b'avis'
        for kind, start, _ in _boxes(moov, path):
            if kind == b'edts':  # presentation edits do not concern single frames
                data[at + start - 4 : at + start] = b'free'
            if kind == b'hdlr' and moov[start + 8 : start + 12] == b'vide':
                data[at + start + 8 : at + start + 12] = b'pict'
        try:
            self._image = Image.open(io.BytesIO(bytes(data)), formats=['AVIF'])
            self._length = int(getattr(self._image, 'n_frames', 1))
        except (OSError, ValueError, SyntaxError, RuntimeError) as error:
            raise DatasetFileError(path, '', f'cannot be decoded as AV1: {error}') from error

    def __len__(self) -> int:
        return self._length

    def read(self, index: int) -> Rgb:
        """Return frame ``index`` as (H, W, 3). Raises DatasetFileError."""
        if not 0 <= index < self._length:
            raise DatasetFileError(
                self._path, f'frame {index}', f'does not exist: there are {self._length}'
            )
        try:
            self._image.seek(index)
            return np.asarray(self._image.convert('RGB'))
        except (OSError, ValueError, EOFError, RuntimeError) as error:  # of the decoder
            raise DatasetFileError(
                self._path, f'frame {index}', f'cannot be decoded: {error}'
            ) from error


class FfmpegVideo:
    """Any video that the program ``ffmpeg`` decodes; every read decodes from the start.

    Args:
        path: The file.

    Raises:
        DatasetFileError: the container cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._length = frame_count(path)

    def __len__(self) -> int:
        return self._length

    def read(self, index: int) -> Rgb:
        """Return frame ``index`` as (H, W, 3). Raises DatasetFileError."""
        # The name of a file, also where it looks like one of ffmpeg's protocols.
        command = ['ffmpeg', '-v', 'error', '-nostdin', '-i', f'file:{self._path}']
        command += ['-vf', f'select=eq(n\\,{index})', '-frames:v', '1']
        command += ['-f', 'image2pipe', '-c:v', 'png', '-']
        try:
            done = subprocess.run(command, capture_output=True, timeout=_FFMPEG_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise DatasetFileError(
                self._path, f'frame {index}', f'ffmpeg took longer than {_FFMPEG_S:g} s'
            ) from error
        if done.returncode or not done.stdout:
            reason = done.stderr.decode(errors='replace').strip() or 'no such frame'
            raise DatasetFileError(self._path, f'frame {index}', f'ffmpeg: {reason}')
        return np.asarray(decode_image(done.stdout, self._path, f'frame {index}'))


def _moov(path: Path) -> tuple[int, bytes]:
    """Return where the content of the ``moov`` box begins and the content, without reading the pictures."""
    try:
        with path.open('rb') as file:
            size = file.seek(0, 2)
            if size > _MAX_BYTES:
                raise DatasetFileError(path, '', f'has {size} bytes: at most {_MAX_BYTES}')
            start, first = 0, True
            while start + 8 <= size:
                file.seek(start)
                head = file.read(16)
                if first and head[4:8] != b'ftyp':
                    raise DatasetFileError(
                        path, 'ftyp', f'is missing: the file begins with {head[:8]!r}'
                    )
                first = False
                header, length = _box_size(head, size - start)
                if length < header or start + length > size:
                    raise _broken(path, head[4:8], length, start, size)
                if head[4:8] == b'moov':
                    file.seek(start + header)
                    return start + header, file.read(length - header)
                start += length
    except OSError as error:
        raise DatasetFileError(path, '', f'cannot be read: {error}') from error
    raise DatasetFileError(path, 'moov', 'is missing: no MP4 file, or cut off')


def _video_track(path: Path) -> tuple[str, int]:
    """Return codec and number of frames of the first video track."""
    moov = _moov(path)[1]
    for kind, start, end in _boxes(moov, path):
        if kind != b'trak':
            continue
        inside = {k: moov[a:b] for k, a, b in reversed(_boxes(moov, path, start, end))}
        if inside.get(b'hdlr', b'')[8:12] != b'vide':
            continue
        entry, sizes = inside.get(b'stsd', b''), inside.get(b'stsz', b'')
        if len(entry) < 16 or len(sizes) < 12:
            raise DatasetFileError(path, 'stbl', 'lacks the description or the sizes of its frames')
        return entry[12:16].decode('latin-1'), int(struct.unpack('>I', sizes[8:12])[0])
    raise DatasetFileError(path, 'moov', 'has no video track')


def _boxes(
    data: bytes, path: Path, start: int = 0, end: int | None = None, depth: int = 0
) -> list[tuple[bytes, int, int]]:
    """List kind, start and end of the content of the boxes of a container, parents before children."""
    found: list[tuple[bytes, int, int]] = []
    end = len(data) if end is None else end
    while start + 8 <= end:
        kind = data[start + 4 : start + 8]
        header, length = _box_size(data[start : start + 16], end - start)
        if length < header or start + length > end:
            raise _broken(path, kind, length, start, end)
        found.append((kind, start + header, start + length))
        if kind in _NESTING and depth < len(_NESTING):
            found += _boxes(data, path, start + header, start + length, depth + 1)
        start += length
    return found


def _box_size(head: bytes, left: int) -> tuple[int, int]:
    """Return the lengths of a box's header and of the whole box."""
    length = struct.unpack('>I', head[:4])[0]
    if length == 1 and len(head) == 16:
        return 16, struct.unpack('>Q', head[8:16])[0]
    return 8, left if length == 0 else length


def _broken(path: Path, kind: bytes, length: int, start: int, end: int) -> DatasetFileError:
    name = kind.decode('latin-1')
    return DatasetFileError(
        path, name, f'claims {length} bytes at {start} of {end}: broken or cut off'
    )
