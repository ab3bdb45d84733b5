# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Public benchmarks as lists of questions: RefSpatial-Bench, Where2Place, ShareRobot, VABench-V.

* ``refspatial``: ``question.json`` with ``id``, ``prompt``, ``suffix``, ``mask_path``, in the folder itself or in each
  of ``Location``, ``Placement`` and ``Unseen``; pictures beside it.
* ``where2place``: ``point_questions.jsonl`` with ``question_id``, ``image``, ``text``; ``masks/`` by number.
* ``sharerobot``: JSON list with ``id``, ``instruction``, ``points`` in pixels, ``meta_data`` with ``original_width``
  and ``original_height``.
* ``vabench``: Parquet with ``problem``, ``answer`` (JSON with ``trajectory`` in pixels) and ``images``.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from robotracer_ros.data.files import (
    Array,
    DatasetFileError,
    member,
    numbers,
    read_bytes,
    read_json,
    shorten,
    typed,
)
from robotracer_ros.data.image_files import BROKEN, decode_image
from robotracer_ros.errors import InvalidParameterError, MissingPackageError

_PARTS = ('Location', 'Placement', 'Unseen')


@dataclass(frozen=True)
class Question:
    """A question with its truth: a mask that points have to lie in, or a way in the picture.

    Attributes:
        id: Unique in the benchmark, as files of answers name it.
        part: Part of the benchmark, empty when it has none.
        prompt: What is asked.
        size: Width and height of the picture, pixels.
        mask: File of the mask, or None.
        way: (N, 2) pixels, or None.
    """

    id: str
    part: str
    prompt: str
    size: tuple[int, int]
    mask: Path | None = None
    way: Array | None = None

    def mask_pixels(self) -> NDArray[np.bool_]:
        """Read the mask, (H, W). Raises DatasetFileError."""
        assert self.mask is not None
        return read_mask(self.mask)


def load(layout: str, path: str | Path) -> list[Question]:
    """Read the questions of a benchmark.

    Args:
        layout: One of ``LAYOUTS``.
        path: Folder or file of it.

    Raises:
        InvalidParameterError: no such layout.
        DatasetFileError: a file is missing or broken, or of another layout; it names the question and the field.
        MissingPackageError: reading Parquet needs pyarrow.
    """
    if layout not in LAYOUTS:
        raise InvalidParameterError(f"layout '{layout}': must be one of {', '.join(LAYOUTS)}")
    questions = list(LAYOUTS[layout](Path(path)))
    if not questions:
        raise DatasetFileError(Path(path), '', f'holds no questions of layout {layout}')
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            raise DatasetFileError(Path(path), f'question {question.id}', 'is there twice')
        seen.add(question.id)
    return questions


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Return where the brightness of a mask is above half, (H, W): JPEG masks have grey edges.

    Raises:
        DatasetFileError: missing or broken.
    """
    data = read_bytes(path)
    try:
        with Image.open(io.BytesIO(data)) as image:
            grey = np.asarray(image.convert('L'))
    except BROKEN as error:
        raise DatasetFileError(path, '', f'cannot be read as an image: {error}') from error
    # Some masks are 0 and 1.
    return np.asarray(grey > (127 if grey.max() > 1 else 0))


def _refspatial(folder: Path) -> Iterator[Question]:
    parts = [p for p in _PARTS if (folder / p).is_dir()]
    for part in parts or ['']:
        place = folder / part
        path = place / 'question.json'
        data = read_json(path)
        if not isinstance(data, list):
            raise DatasetFileError(path, '', f'holds {shorten(data)}: must be a list')
        name = part or (place.resolve().name if place.resolve().name in _PARTS else '')
        for number, entry in enumerate(data):
            at = f'question {number}'
            found = typed(int, {at: entry}, path, at, 'id')
            mask = _below(place, typed(str, {at: entry}, path, at, 'mask_path'), path, at)
            prompt = typed(str, {at: entry}, path, at, 'prompt')
            rule = entry.get('suffix', '')
            label = f'{part}/{found}' if part else str(found)
            yield Question(label, name, f'{prompt} {rule}'.strip(), _size(mask), mask)


def _where2place(folder: Path) -> Iterator[Question]:
    path = folder / 'point_questions.jsonl'
    for number, entry in _json_lines(path):
        at = f'line {number}'
        found = typed(int, {at: entry}, path, at, 'question_id')
        image = typed(str, {at: entry}, path, at, 'image')
        mask = _below(folder / 'masks', f'{found:02d}.jpg', path, at)
        if not mask.exists():  # or under the name of the picture
            mask = _below(folder / 'masks', Path(image).name, path, at)
        text = typed(str, {at: entry}, path, at, 'text')
        yield Question(str(found), str(entry.get('category', '')), text, _size(mask), mask)


def _sharerobot(path: Path) -> Iterator[Question]:
    data = read_json(path)
    if not isinstance(data, list):
        raise DatasetFileError(path, '', f'holds {shorten(data)}: must be a list')
    for number, entry in enumerate(data):
        at = f'entry {number}'
        size = tuple(
            typed(int, {at: entry}, path, at, 'meta_data', f'original_{side}')
            for side in ('width', 'height')
        )
        way = numbers(member({at: entry}, path, at, 'points'), (None, 2), path, f'{at}.points')
        part = str(entry['meta_data'].get('original_dataset', ''))
        text = typed(str, {at: entry}, path, at, 'instruction')
        name = str(member({at: entry}, path, at, 'id'))
        yield Question(name, part, text, _checked(size, path, at), way=_way(way, path, at))


def _vabench(path: Path) -> Iterator[Question]:
    try:
        import pyarrow.parquet as parquet
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"'{path}' needs the Python package 'pyarrow': pip install pyarrow", package='pyarrow'
        ) from error
    data = read_bytes(path)
    try:
        rows = parquet.read_table(io.BytesIO(data)).to_pylist()
    except (OSError, ValueError) as error:  # what Arrow raises is one of both
        raise DatasetFileError(path, '', f'cannot be read as Parquet: {error}') from error
    for number, row in enumerate(rows):
        at = f'row {number}'
        answer = typed(str, {at: row}, path, at, 'answer')
        try:
            truth = json.loads(answer[max(0, answer.find('{')) :])
        except ValueError as error:
            raise DatasetFileError(path, f'{at}.answer', f'is no JSON: {error}') from error
        way = numbers(
            member({at: truth}, path, at, 'trajectory'), (None, 2), path, f'{at}.answer.trajectory'
        )
        picture = member({at: row}, path, at, 'images', 0)
        # As datasets write it: the bytes, or a struct of bytes and path.
        encoded = picture.get('bytes') if isinstance(picture, Mapping) else picture
        if not isinstance(encoded, bytes):
            raise DatasetFileError(path, f'{at}.images', f'holds {shorten(picture)}: must be bytes')
        size = decode_image(encoded, path, f'{at}.images').size
        text = typed(str, {at: row}, path, at, 'problem')
        name = str(row.get('id', number))
        yield Question(name, '', text.strip(), size, way=_way(way, path, at))


def _json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(read_bytes(path).split(b'\n'), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError as error:
                raise DatasetFileError(path, f'line {number}', f'is no JSON: {error}') from error


def _below(folder: Path, name: str, path: Path, at: str) -> Path:
    if Path(name).is_absolute() or '..' in Path(name).parts:
        raise DatasetFileError(path, at, f"'{name}' lies outside of {folder}")
    return folder / name


def _size(mask: Path) -> tuple[int, int]:
    shape = read_mask(mask).shape
    return shape[1], shape[0]


def _checked(size: tuple[int, ...], path: Path, at: str) -> tuple[int, int]:
    width, height = size
    if width < 1 or height < 1:
        raise DatasetFileError(path, f'{at}.meta_data', f'size {width}x{height}: must be at least 1x1')
    return width, height


def _way(points: Array, path: Path, at: str) -> Array:
    if len(points) < 2:
        raise DatasetFileError(path, f'{at}', f'has a way of {len(points)} point: must be at least 2')
    return points


LAYOUTS: Mapping[str, Callable[[Path], Iterator[Question]]] = {
    'refspatial': _refspatial,
    'where2place': _where2place,
    'sharerobot': _sharerobot,
    'vabench': _vabench,
}
