# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What every pipeline of the data engine makes: one image, what is known of it, and questions with their answers.

A pipeline (simulation, scans, video, web) makes :class:`Record` objects; :mod:`robotracer_ros.data.rows` says how one
becomes a row of a table, :mod:`robotracer_ros.data.shards` writes rows, and :mod:`robotracer_ros.data.dataset` runs
pipelines over many shards. Nothing here knows where a record comes from.

World coordinates are metres, z up. Where gravity is not known the world is the camera's optical frame and
``world_from_camera`` is None.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from robotracer_ros.data.task import Task
from robotracer_ros.geometry.camera import CameraModel

Source = Literal['sim', 'scan', 'video', 'web']

#: metres per step of a depth image
DEPTH_UNIT = 1e-3
#: pixel values of an image of masks: ``k`` is the (k - 1)-th entry of ``Record.objects``
MASK_NOTHING, MASK_TABLE, MASK_ROBOT = 0, 65534, 65535


@dataclass(frozen=True)
class Mention:
    """A coordinate tuple in an answer and what it means.

    Attributes:
        start, end: Its characters in the answer, parentheses included.
        object_id: The object that it lies on or rests on, or None for a place on the table or in the air.
        world: (3,) the exact point, metres; NaN where only the image is known.
        uvd: The same as written: u, v in 0..1000, d in metres (of the exact point also where only u and v are written;
            NaN where no depth is known).
    """

    start: int
    end: int
    object_id: str | None
    world: NDArray[np.float64]
    uvd: tuple[float, float, float]


@dataclass(frozen=True)
class Sample:
    """One question and its answer.

    Attributes:
        prompt, answer: The texts, answer with its tags.
        task_type: ``refer``, ``refer_free``, ``measure``, ``trace_3d``, ``trace_3d_think``, ``trace_2d`` or ``lift``;
            pipelines may add types (``choice``, ``fact``).
        mentions: Every coordinate tuple of the answer in order.
        target_ids: Ids of the objects that the question is about, first the one that it is mostly about.
        task: The task behind a trace, else None.
        metres: The length asked for when measuring, else None.
        relations: Names of the spatial relations in the question, for counts and for splits.
    """

    prompt: str
    answer: str
    task_type: str
    mentions: tuple[Mention, ...]
    target_ids: tuple[str, ...]
    task: Task | None = None
    metres: float | None = None
    relations: tuple[str, ...] = ()


@dataclass(frozen=True)
class ObjectEntry:
    """One thing in a picture, as far as it is known.

    Attributes:
        id: Unique in the record; samples and masks refer to it.
        name: What people call it: its kind or a caption.
        kind, color, size: Words, empty where not known.
        pose: (4, 4) world_from_object of its box, or None.
        extents: (3,) full side lengths of the box, metres, or None.
        box: u0, v0, u1, v1 of its visible part in 0..1000, or None.
    """

    id: str
    name: str
    kind: str = ''
    color: str = ''
    size: str = ''
    pose: NDArray[np.float64] | None = None
    extents: NDArray[np.float64] | None = None
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class Record:
    """An image with its questions: one row of a data set.

    Attributes:
        id: Unique in the data set, e.g. ``sim-2000``.
        source: The pipeline that made it.
        split: ``train`` or what is held out; one shard holds one split.
        image: Encoded colour image, PNG or JPEG.
        camera: Intrinsics of the image, measured or estimated; None when neither.
        samples: Questions about it.
        origin: Where the picture comes from: data set, file, frame.
        seed: Scene seed of a simulated picture.
        depth: 16-bit PNG of depth along the optical axis on the pixel grid of the image, 0 invalid.
        depth_unit: Metres per step of ``depth``.
        masks: 16-bit PNG, see ``MASK_NOTHING``.
        world_from_camera: (4, 4) pose of the optical frame, or None.
        objects: What is known to be in the picture.
        scale: Metric scale s* (mean distance of the valid depth points), or None.
        extra: Whatever a pipeline wants to keep, as JSON, e.g. the whole simulated scene.
    """

    id: str
    source: Source
    split: str
    image: bytes
    camera: CameraModel | None
    samples: tuple[Sample, ...]
    origin: str = ''
    seed: int | None = None
    depth: bytes | None = None
    depth_unit: float = DEPTH_UNIT
    masks: bytes | None = None
    world_from_camera: NDArray[np.float64] | None = None
    objects: tuple[ObjectEntry, ...] = ()
    scale: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def rgb(self) -> NDArray[np.uint8]:
        """Decode the colour image, (H, W, 3)."""
        with Image.open(io.BytesIO(self.image)) as image:
            return np.asarray(image.convert('RGB'))

    def depth_metres(self) -> NDArray[np.float32] | None:
        """Decode depth, (H, W) metres with 0 for invalid, or None."""
        if self.depth is None:
            return None
        return (decode_png16(self.depth) * float(self.depth_unit)).astype(np.float32)


def encode_rgb(rgb: NDArray[np.uint8], jpeg_quality: int | None = None) -> bytes:
    """Encode a colour image (H, W, 3): lossless PNG, or JPEG of a quality in 1..95."""
    out = io.BytesIO()
    if jpeg_quality is None:
        # Level 1 costs a third of the default's time for a tenth more bytes.
        Image.fromarray(rgb).save(out, 'PNG', compress_level=1)
    else:
        Image.fromarray(rgb).save(out, 'JPEG', quality=jpeg_quality)
    return out.getvalue()


def encode_depth(depth: NDArray[np.floating], unit: float = DEPTH_UNIT) -> bytes:
    """Encode depth (H, W) in metres as 16-bit PNG; what is not finite, not positive or too far becomes 0."""
    with np.errstate(invalid='ignore'):
        steps = np.rint(np.asarray(depth, dtype=np.float64) / unit)
        valid = np.isfinite(steps) & (steps > 0) & (steps <= np.iinfo(np.uint16).max)
    return encode_png16(np.where(valid, steps, 0).astype(np.uint16))


def metric_scale(depth: NDArray[np.floating], camera: CameraModel) -> float | None:
    """Return s*, the mean distance (m) of the valid depth points to the camera's centre, or None without any."""
    valid = depth > 0
    if not valid.any():
        return None
    return float((depth[valid] / camera.rays()[..., 2][valid]).mean())


def encode_png16(values: NDArray[np.uint16]) -> bytes:
    """Encode (H, W) 16-bit values as PNG."""
    out = io.BytesIO()
    Image.fromarray(values).save(out, 'PNG', compress_level=1)
    return out.getvalue()


def decode_png16(data: bytes) -> NDArray[np.uint16]:
    """Decode what :func:`encode_png16` encoded, (H, W)."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image).astype(np.uint16)


def relations_of(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Return every relation that samples speak of, those of their tasks included, with repetitions."""
    found: list[str] = []
    for s in samples:
        found += s.relations
        if s.task is not None and s.task.relation:
            found.append(s.task.relation)
    return tuple(found)
