# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Frames of videos: AV1 without further packages, other codecs with the program ffmpeg, broken files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from recordings import write_av1

from robotracer_ros.data.files import DatasetFileError
from robotracer_ros.data.video.frames import (
    Av1Video,
    Excerpt,
    FfmpegVideo,
    Pictures,
    frame_count,
    open_video,
    video_codec,
)
from robotracer_ros.errors import MissingPackageError

FILES = Path(__file__).parent / 'files'
#: written by SVT-AV1 with LeRobot's options (-g 2 -crf 30 -pix_fmt yuv420p), and by x264
AV1, H264 = FILES / 'svtav1.mp4', FILES / 'h264.mp4'


def pattern(k: int) -> NDArray[np.uint8]:
    """Return frame ``k`` of both files before it was encoded."""
    x, y = np.meshgrid(np.arange(96), np.arange(72))
    frame = np.stack([40 + 2 * x, 60 + 3 * y, np.full_like(x, 20 * k + 30)], -1).astype(np.uint8)
    frame[20:36, 4 * k + 8 : 4 * k + 24] = (200, 40, 60)
    return frame


def off(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Return the mean difference of two pictures."""
    return float(np.abs(a.astype(int) - b).mean())


def test_av1_of_svt_is_read_in_any_order() -> None:
    """Neighbouring frames of the pattern differ by 10 and more; what coding costs is below 4."""
    video = open_video(AV1)
    assert isinstance(video, Av1Video) and len(video) == 9
    for k in (8, 0, 5, 4, 1):
        picture = video.read(k)
        assert picture.shape == (72, 96, 3)
        assert off(picture, pattern(k)) < 4 < 9 < off(picture, pattern(max(0, k - 1) or 8))


def test_a_file_that_is_written_here_is_like_one_of_lerobot(tmp_path: Path) -> None:
    """The fixtures of the other tests come from Pillow; codec, count and frames are the same to the reader."""
    path = tmp_path / 'v.mp4'
    write_av1(path, [pattern(k) for k in range(9)])
    assert video_codec(path) == video_codec(AV1) == 'av01'
    assert frame_count(path) == frame_count(AV1) == 9
    assert off(open_video(path).read(6), open_video(AV1).read(6)) < 4


def test_parts_of_a_file_count_from_zero() -> None:
    """LeRobot puts many episodes into one file."""
    part = Excerpt(open_video(AV1), 3, 4)
    assert len(part) == 4
    assert off(part.read(1), pattern(4)) < 4


def test_other_codecs_name_the_program_that_decodes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ffmpeg the error says what to install."""
    monkeypatch.setenv('PATH', '')
    assert video_codec(H264) == 'avc1' and frame_count(H264) == 9
    with pytest.raises(MissingPackageError, match=r"h264\.mp4' holds 'avc1'.*'ffmpeg'"):
        open_video(H264)


@pytest.mark.skipif(shutil.which('ffmpeg') is None, reason='needs the program ffmpeg')
def test_h264_with_ffmpeg() -> None:
    """The frame asked for, and an error beyond the last one."""
    video = open_video(H264)
    assert isinstance(video, FfmpegVideo) and len(video) == 9
    for k in (7, 0):
        assert off(video.read(k), pattern(k)) < 4
    with pytest.raises(DatasetFileError, match='frame 9'):
        video.read(9)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda b: b[: len(b) // 2], 'cut off|moov, is missing|moov: is missing'),
        (lambda b: b'', 'moov: is missing'),
        (lambda b: b'<html>not found</html>', 'ftyp: is missing'),
        (lambda b: b.replace(b'vide', b'soun'), 'has no video track'),
        (lambda b: b.replace(b'stsz', b'xxxx'), 'sizes of its frames'),
    ],
)
def test_broken_containers(tmp_path: Path, change: object, message: str) -> None:
    """The error names the file and the part of it."""
    path = tmp_path / 'broken.mp4'
    path.write_bytes(change(AV1.read_bytes()))  # type: ignore[operator]
    with pytest.raises(DatasetFileError, match=f'broken.mp4.*({message})'):
        open_video(path)


def test_damaged_frames(tmp_path: Path) -> None:
    """The container is whole and the pictures in it are not."""
    data = bytearray(AV1.read_bytes())
    at = data.index(b'mdat') + 4
    data[at : at + 1500] = bytes(1500)
    path = tmp_path / 'damaged.mp4'
    path.write_bytes(data)
    with pytest.raises(DatasetFileError, match=r'damaged\.mp4'):
        open_video(path).read(0)


def test_missing_files_and_frames(tmp_path: Path) -> None:
    """Names what is missing."""
    with pytest.raises(DatasetFileError, match=r'nowhere\.mp4.*cannot be read'):
        open_video(tmp_path / 'nowhere.mp4')
    with pytest.raises(DatasetFileError, match=r'frame 9.*there are 9'):
        open_video(AV1).read(9)
    with pytest.raises(DatasetFileError, match=r'camera\[1\]: cannot be read as an image'):
        Pictures([b'', b'abc'], Path('x.parquet'), 'camera').read(1)
