# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The files of TraceSpatial-Bench: the data set, its pictures, and files of answers.

A data set is a folder with ``trajectory_dataset.json`` and the pictures under ``raw_data/``. A file of answers has one
JSON object a line (it may be packed, ``.gz``): a sample's fields, ``question_id`` instead of ``id``, and
``model_prediction``. Where the data set is there, the number and the answer suffice.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Mapping, Sequence
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
from robotracer_ros.data.image_files import BROKEN, decode_depth, decode_image

DATASET = 'trajectory_dataset.json'
PICTURES = 'raw_data'
DESTINATION = 'destination|direction'
#: image sizes of the official data and of TraceSpatial-Sim (width, height); a sample's follows from its principal point
GRIDS = ((512, 384), (384, 512), (640, 480), (320, 240))
#: how far a principal point may lie from the middle of its image, share of width and height
_OFF_CENTRE = 0.1
_ORTHONORMAL = 1e-3
_LFS = b'version https://git-lfs'


@dataclass(frozen=True)
class Box:
    """The destination: an oriented box in the camera's optical frame, metres.

    Attributes:
        center: (3,).
        extent: (3,) full side lengths.
        rotation: (3, 3) camera_from_box.
    """

    center: Array
    extent: Array
    rotation: Array

    def corners(self) -> Array:
        """Return the corners (8, 3)."""
        signs = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
        return (signs * self.extent) @ self.rotation.T + self.center

    def distances(self, points: Array) -> Array:
        """Return the distances (N,) of points (N, 3) to the box, 0 inside."""
        local = (points - self.center) @ self.rotation
        outside = np.maximum(np.abs(local) - self.extent / 2, 0.0)
        return np.asarray(np.linalg.norm(outside, axis=1))


@dataclass(frozen=True)
class Sample:
    """One question with its truth; camera frame, metres.

    Attributes:
        id: Number in the data set.
        image_path, depth_path, mask_path: Below ``raw_data/``.
        intrinsics: (3, 3) pixels of the depth image.
        prompt: The whole instruction.
        target, destination: What is moved, and where to.
        trajectory: (N, 3) one way that would do, N >= 2.
        box: Where it has to end; None when the line has none.
    """

    id: int
    image_path: str
    depth_path: str
    mask_path: str
    intrinsics: Array
    prompt: str
    target: str
    destination: str
    trajectory: Array
    box: Box | None

    def project(self, points: Array) -> Array:
        """Project points (N, 3) of the camera frame to pixels (N, 2); depths next to 0 become 1e-6 m, as officially."""
        z = np.where(np.abs(points[:, 2]) < 1e-6, 1e-6, points[:, 2])
        k = self.intrinsics
        return np.stack(
            [points[:, 0] * k[0, 0] / z + k[0, 2], points[:, 1] * k[1, 1] / z + k[1, 2]], axis=1
        )

    def lift(self, points: Array, size: tuple[int, int]) -> Array:
        """Lift points (N, 3) as (x, y, d), x and y in 0..1 of the image size, to metres (N, 3)."""
        k = self.intrinsics
        x = (points[:, 0] * size[0] - k[0, 2]) * points[:, 2] / k[0, 0]
        y = (points[:, 1] * size[1] - k[1, 2]) * points[:, 2] / k[1, 1]
        return np.stack([x, y, points[:, 2]], axis=1)

    def inferred_size(self, path: Path) -> tuple[int, int]:
        """Return the known image size (width, height) that fits the principal point.

        Raises:
            DatasetFileError: none of ``GRIDS`` does.
        """
        cx, cy = self.intrinsics[0, 2], self.intrinsics[1, 2]
        off = [max(abs(cx / w - 0.5), abs(cy / h - 0.5)) for w, h in GRIDS]
        best = int(np.argmin(off))
        if off[best] > _OFF_CENTRE:
            raise DatasetFileError(
                path,
                f'sample {self.id}.gt_depth_intrinsics',
                f'principal point ({cx:.1f}, {cy:.1f}) is not in the middle of any known image size '
                f'({", ".join(f"{w}x{h}" for w, h in GRIDS)}): name the folder of the data set',
            )
        return GRIDS[best]


@dataclass(frozen=True)
class Answer:
    """What a model wrote about a sample.

    Attributes:
        sample: The question.
        text: Empty when there is no answer.
        null: The file holds null and no text, which the official code treats otherwise than an empty text.
    """

    sample: Sample
    text: str
    null: bool = False


@dataclass(frozen=True)
class Answers:
    """A file of answers."""

    path: Path
    answers: tuple[Answer, ...]

    @property
    def name(self) -> str:
        """File name without endings, e.g. ``RoboTracer_Intrinsics_Depth_3D``."""
        return self.path.name.removesuffix('.gz').removesuffix('.jsonl').removesuffix('.json')


@dataclass(frozen=True)
class Frame:
    """The pictures of a sample.

    Attributes:
        depth: (Hd, Wd) metres, 0 invalid.
        mask: (Hm, Wm) uint8 as stored, first channel; its values mean different things to different steps.
        grey: (Hm, Wm) uint8 brightness of the mask, other than ``mask`` for colour and palettes.
        size: Width and height of the colour image.
    """

    depth: NDArray[np.float32]
    mask: NDArray[np.uint8]
    grey: NDArray[np.uint8]
    size: tuple[int, int]


@dataclass(frozen=True)
class Dataset:
    """A folder with samples and pictures."""

    folder: Path
    samples: tuple[Sample, ...]

    def path(self, relative: str) -> Path:
        """Return where a picture lies. Raises DatasetFileError when that is outside of the folder."""
        root = (self.folder / PICTURES).resolve()
        path = self.folder / PICTURES / relative
        # Links inside (as hub downloads have) may lead elsewhere; names may not.
        if Path(relative).is_absolute() or '..' in Path(relative).parts:
            raise DatasetFileError(path, '', f'lies outside of {root}')
        return path

    def frame(self, sample: Sample) -> Frame:
        """Read the pictures of a sample. Raises DatasetFileError."""
        depth = decode_depth(*self._read(sample.depth_path), '')
        image = decode_image(*self._read(sample.image_path), '')
        mask, grey = _decode_mask(*self._read(sample.mask_path))
        return Frame(depth, mask, grey, image.size)

    def rgb(self, sample: Sample) -> NDArray[np.uint8]:
        """Read the colour image (H, W, 3) of a sample. Raises DatasetFileError."""
        return np.asarray(decode_image(*self._read(sample.image_path), ''))

    def depth(self, sample: Sample) -> NDArray[np.float32]:
        """Read the depth (H, W) of a sample in metres, 0 invalid. Raises DatasetFileError."""
        return decode_depth(*self._read(sample.depth_path), '')

    def _read(self, relative: str) -> tuple[bytes, Path]:
        path = self.path(relative)
        data = read_bytes(path)
        if data.startswith(_LFS):
            raise DatasetFileError(path, '', "is a Git LFS pointer and no picture: run 'git lfs pull'")
        return data, path


def load_dataset(folder: str | Path) -> Dataset:
    """Read ``trajectory_dataset.json``; pictures are read when they are needed.

    Raises:
        DatasetFileError: a file is missing or broken, or a field has a wrong type, shape or value; it names the sample.
    """
    root = Path(folder)
    path = root / DATASET
    data = read_json(path)
    if not isinstance(data, list) or not data:
        raise DatasetFileError(path, '', f'holds {shorten(data)}: must be a list of samples')
    samples = tuple(_sample(entry, path, 'id', f'entry {i}') for i, entry in enumerate(data))
    _no_repeats([s.id for s in samples], path)
    if not (root / PICTURES).is_dir():
        raise DatasetFileError(root / PICTURES, '', 'is no folder: pictures are expected there')
    return Dataset(root, samples)


def load_answers(path: str | Path, dataset: Dataset | None = None, partial: bool = False) -> Answers:
    """Read a file of answers.

    Args:
        path: JSON lines, packed when the name ends in ``.gz``.
        dataset: Where the truth is taken from; a line that says otherwise is an error. None: the lines hold it.
        partial: Let samples of the data set be without an answer.

    Raises:
        DatasetFileError: the file is missing or cut off, a line is no JSON object, a field is missing or wrong, a
            sample is answered twice, is not in the data set, or has no answer.
    """
    file = Path(path)
    known = {s.id: s for s in dataset.samples} if dataset else {}
    answers: list[Answer] = []
    for number, entry in _lines(file):
        where = f'line {number}'
        if 'model_prediction' not in entry:
            raise DatasetFileError(file, f'{where}.model_prediction', 'is missing')
        null = entry['model_prediction'] is None
        text = '' if null else entry['model_prediction']
        if not isinstance(text, str):
            raise DatasetFileError(
                file, f'{where}.model_prediction', f'is {shorten(text)}: must be text or null'
            )
        if dataset is None:
            key = 'question_id' if 'question_id' in entry else 'id'
            answers.append(Answer(_sample(entry, file, key, where), text, null))
            continue
        number_of = typed(int, entry, file, 'question_id' if 'question_id' in entry else 'id')
        if number_of not in known:
            raise DatasetFileError(file, where, f'sample {number_of} is not in {dataset.folder}')
        _same_truth(entry, known[number_of], file, where)
        answers.append(Answer(known[number_of], text, null))
    if not answers:
        raise DatasetFileError(file, '', 'holds no answers')
    _no_repeats([a.sample.id for a in answers], file)
    missing = sorted(set(known) - {a.sample.id for a in answers})
    if missing and not partial:
        raise DatasetFileError(
            file,
            '',
            f'holds no answer to {len(missing)} of {len(known)} samples, the first is {missing[0]}: '
            'give all, or --partial to score what is there',
        )
    return Answers(file, tuple(answers))


def _lines(path: Path) -> list[tuple[int, Mapping[str, Any]]]:
    data = read_bytes(path)
    if path.name.endswith('.gz'):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise DatasetFileError(path, '', f'cannot be unpacked: {error}') from error
    try:
        text = data.decode('utf-8')
    except UnicodeDecodeError as error:
        raise DatasetFileError(path, '', f'is not UTF-8: {error}') from error
    found: list[tuple[int, Mapping[str, Any]]] = []
    # Only \n ends a line: an answer may hold other characters that Python takes for ends.
    for number, line in enumerate(text.split('\n'), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise DatasetFileError(path, f'line {number}', f'is no JSON (cut off?): {error}') from error
        if not isinstance(entry, dict):
            raise DatasetFileError(path, f'line {number}', f'is {shorten(entry)}: must be an object')
        found.append((number, entry))
    return found


def _sample(entry: Any, path: Path, key: str, where: str) -> Sample:
    """Make a sample of a JSON object. Raises DatasetFileError."""
    if not isinstance(entry, dict):
        raise DatasetFileError(path, where, f'is {shorten(entry)}: must be an object')
    number = typed(int, {where: entry}, path, where, key)
    name = f'sample {number}'

    def text(field: str) -> str:
        return typed(str, {name: entry}, path, name, field)

    return Sample(
        number,
        text('image_path'),
        text('gt_depth_path'),
        text('mask_path'),
        _intrinsics(member({name: entry}, path, name, 'gt_depth_intrinsics'), path, name),
        text('prompt'),
        text('target_object'),
        text(DESTINATION if DESTINATION in entry else 'destination_direction'),
        _trajectory(member({name: entry}, path, name, 'trajectory'), path, name),
        _box(entry, path, name),
    )


def _intrinsics(value: Any, path: Path, name: str) -> Array:
    field = f'{name}.gt_depth_intrinsics'
    size = len(value) if isinstance(value, Sequence) else 0
    k = numbers(value, (4, 4) if size == 4 else (3, 3), path, field)[:3, :3]
    if k[0, 0] <= 0 or k[1, 1] <= 0:
        raise DatasetFileError(path, field, f'focal lengths {k[0, 0]}, {k[1, 1]} px: must be > 0')
    return k


def _trajectory(value: Any, path: Path, name: str) -> Array:
    trajectory = numbers(value, (None, 3), path, f'{name}.trajectory')
    if len(trajectory) < 2:
        raise DatasetFileError(path, f'{name}.trajectory', 'has 1 point: must be at least 2')
    return trajectory


def _box(entry: Mapping[str, Any], path: Path, name: str) -> Box | None:
    if any(entry.get(k) is None for k in ('bbox_center', 'bbox_extent', 'bbox_rotation')):
        return None
    box = Box(
        numbers(entry['bbox_center'], (3,), path, f'{name}.bbox_center'),
        numbers(entry['bbox_extent'], (3,), path, f'{name}.bbox_extent'),
        numbers(entry['bbox_rotation'], (3, 3), path, f'{name}.bbox_rotation'),
    )
    if (box.extent < 0).any():
        raise DatasetFileError(path, f'{name}.bbox_extent', f'{box.extent.tolist()}: must be >= 0')
    if np.abs(box.rotation @ box.rotation.T - np.eye(3)).max() > _ORTHONORMAL:
        raise DatasetFileError(path, f'{name}.bbox_rotation', 'is no rotation matrix')
    return box


def _same_truth(entry: Mapping[str, Any], truth: Sample, path: Path, where: str) -> None:
    """Raise DatasetFileError when a line states another truth than the data set."""
    if 'trajectory' not in entry:
        return
    said = _sample(entry, path, 'question_id' if 'question_id' in entry else 'id', where)
    pairs = [('trajectory', said.trajectory, truth.trajectory)]
    pairs.append(('gt_depth_intrinsics', said.intrinsics, truth.intrinsics))
    if said.box is not None and truth.box is not None:
        pairs += [
            ('bbox_center', said.box.center, truth.box.center),
            ('bbox_extent', said.box.extent, truth.box.extent),
            ('bbox_rotation', said.box.rotation, truth.box.rotation),
        ]
    for field, a, b in pairs:
        if a.shape != b.shape or not np.allclose(a, b, rtol=0, atol=1e-6):
            raise DatasetFileError(
                path, f'sample {truth.id}.{field}', 'is another than in the data set: other versions?'
            )


def _no_repeats(ids: Sequence[int], path: Path) -> None:
    seen: set[int] = set()
    for i in ids:
        if i in seen:
            raise DatasetFileError(path, f'sample {i}', 'is there twice')
        seen.add(i)


def _decode_mask(data: bytes, path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Decode a mask to its stored values (first channel) and its brightness, both (H, W)."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            stored = np.asarray(image)
            grey = np.asarray(image.convert('L'))
    except BROKEN as error:
        raise DatasetFileError(path, '', f'cannot be read as an image: {error}') from error
    if stored.ndim == 3:
        stored = stored[:, :, 0]
    return stored.astype(np.uint8), grey
