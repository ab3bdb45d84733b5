# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""CA-1M (Cubify Anything): one tar file per capture in the WebDataset manner, or the same unpacked.

The layout, as the data set's own reader and README tell it::

    VIDEO/world.gt/instances.json           boxes of the whole capture: id, category, caption, position, scale, R
    VIDEO/TIME.wide/image.png               colour, 1024x768 or turned
    VIDEO/TIME.wide/image/K.json            its intrinsics, 3x3
    VIDEO/TIME.wide/instances.json          boxes in this picture, in its camera frame; ids as in world.gt
    VIDEO/TIME.wide/T_gravity.json          3x3, camera_from_gravity: its second column points down
    VIDEO/TIME.gt/depth.png                 laser depth, 512x384 or turned, 16 bit, millimetres, 0 unknown
    VIDEO/TIME.gt/depth/K.json              its intrinsics
    VIDEO/TIME._wide/image/size             '[width, height]'; likewise _gt/depth/size

The pose in the laser scanner's frame (``gt/RT``) is not needed: boxes and gravity are given per picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.data.files import DatasetFileError, member, shorten
from robotracer_ros.data.files import numbers as finite_numbers
from robotracer_ros.data.image_files import decode_depth, decode_image
from robotracer_ros.data.scans.archive import Archive
from robotracer_ros.data.scans.frame import (
    ScanBox,
    ScanFrame,
    align,
    check_camera,
    check_rotation,
    make_box,
)
from robotracer_ros.data.scans.labels import clean_label

Array = NDArray[np.float64]

#: angle between gravity and the nearest axis of the median box at most, degrees
_MAX_TILT = 10.0


def find(root: Path) -> list[Path]:
    """Return the captures below a folder, or the one that a path names: tar files and unpacked folders, sorted.

    Raises:
        DatasetFileError: there is none.
    """
    if root.is_file():
        return [root]
    found = {p for p in root.rglob('ca1m-*.tar') if p.is_file()}
    found |= {p.parent for p in root.rglob('*.wide') if p.is_dir()}
    if not found:
        raise DatasetFileError(root, '', 'holds neither ca1m-*.tar nor folders with *.wide in them')
    return sorted(found)


class Ca1mScan:
    """A capture.

    Args:
        path: Tar file, or the folder VIDEO.
        labels: Names by video and instance id that go before those of the data set, for captures that are
            annotated without classes.

    Raises:
        DatasetFileError: the archive cannot be read or holds no frame.
    """

    def __init__(self, path: Path, labels: Mapping[str, Mapping[str, str]] | None = None) -> None:
        self._archive = Archive(path)
        frames: dict[str, str] = {}
        for name in self._archive.names:
            head, _, rest = name.partition('.')
            if rest == 'wide/image.png':
                frames[head.rpartition('/')[2]] = head
        if not frames:
            raise DatasetFileError(path, 'VIDEO/TIME.wide/image.png', 'no frame is there')
        self._frames = {k: frames[k] for k in sorted(frames, key=lambda k: (len(k), k))}
        self._video = next(iter(self._frames.values())).rpartition('/')[0]
        self._labels = (labels or {}).get(self.id, {})

    @property
    def id(self) -> str:
        """The id of the video."""
        return self._video.rpartition('/')[2]

    @property
    def names(self) -> list[str]:
        """Time stamps of the frames in order."""
        return list(self._frames)

    @cached_property
    def _world_labels(self) -> dict[str, str]:
        """Names of the instances of the whole capture; empty when it has no such file."""
        name = f'{self._video}/world.gt/instances.json'
        if name not in self._archive.names:
            return {}
        return {
            str(item['id']): _label(item) for item in self._instances(name, ('id', 'category'))
        }

    def _instances(self, name: str, fields: tuple[str, ...]) -> list[Any]:
        items = self._archive.json(name)
        if not isinstance(items, list):
            raise DatasetFileError(self._archive.path, name, f'is a {type(items).__name__}: must be a list')
        for i, item in enumerate(items):
            for field in fields:
                member(item, self._archive.path / name, field) if isinstance(item, dict) else member(
                    items, self._archive.path / name, i, field
                )
        return items

    def read(self, name: str) -> ScanFrame | None:
        """Read the frame of a time stamp. Raises DatasetFileError."""
        a, base = self._archive, self._frames[name]
        image = decode_image(a.read(f'{base}.wide/image.png'), a.path, f'{base}.wide/image.png')
        depth = decode_depth(a.read(f'{base}.gt/depth.png'), a.path, f'{base}.gt/depth.png')
        for field, size in (
            (f'{base}._wide/image/size', image.size),
            (f'{base}._gt/depth/size', (depth.shape[1], depth.shape[0])),
        ):
            self._check_size(field, size)
        colour = self._camera(f'{base}.wide/image/K.json', image.size)
        camera = self._camera(f'{base}.gt/depth/K.json', (depth.shape[1], depth.shape[0]))
        field = f'{base}.wide/T_gravity.json'
        gravity = check_rotation(self._matrix(field), a.path, field)
        down = gravity[:, 1] * (1.0 if gravity[1, 1] >= 0 else -1.0)
        pose = np.eye(4)
        pose[:3, :3] = _upright(down)
        boxes, dropped = self._boxes(f'{base}.wide/instances.json', pose)
        self._check_gravity(boxes, field)
        return ScanFrame(
            dataset='ca1m',
            scan=self.id,
            name=name,
            image=align(image, colour, camera, a.path, f'{base}.wide/image.png'),
            depth=depth,
            camera=camera,
            world_from_camera=pose,
            boxes=boxes,
            dropped=dropped,
        )

    def _boxes(self, name: str, pose: Array) -> tuple[tuple[ScanBox, ...], tuple[str, ...]]:
        boxes: list[ScanBox] = []
        dropped: list[str] = []
        for i, item in enumerate(self._instances(name, ('id', 'position', 'scale', 'R'))):
            key = str(item['id'])
            values = [
                self._numbers(item[f], shape, f'{name}[{i}].{f}')
                for f, shape in (('position', (3,)), ('scale', (3,)), ('R', (3, 3)))
            ]
            label = clean_label(self._labels.get(key)) or self._world_labels.get(key) or _label(item)
            box = make_box(key, label, pose[:3, :3] @ values[0], values[1], pose[:3, :3] @ values[2])
            if box is None:
                dropped.append(key)
            else:
                boxes.append(box)
        return tuple(boxes), tuple(dropped)

    def _numbers(self, value: Any, shape: tuple[int, ...], field: str) -> Array:
        """Return numbers of a shape; they need not be finite: such boxes are dropped, not refused."""
        try:
            array = np.asarray(value, dtype=float)
        except (TypeError, ValueError) as error:
            raise DatasetFileError(
                self._archive.path, field, f'{shorten(value)} are not numbers'
            ) from error
        if array.shape != shape:
            raise DatasetFileError(self._archive.path, field, f'has shape {array.shape}: must be {shape}')
        return array

    def _matrix(self, name: str) -> Array:
        # The official reader takes nine numbers in any nesting.
        value = self._archive.json(name)
        flat = np.asarray(value, dtype=float).ravel() if _is_numeric(value) else value
        return finite_numbers(flat, (9,), self._archive.path, name).reshape(3, 3)

    def _camera(self, name: str, size: tuple[int, int]) -> Any:
        return check_camera(self._matrix(name), size, self._archive.path, name)

    def _check_size(self, name: str, size: tuple[int, int]) -> None:
        """Compare an image's size with what is noted, where it is noted."""
        if name not in self._archive.names:
            return
        text = self._archive.read(name).decode('utf-8', 'replace')
        try:
            noted = tuple(int(x) for x in text.strip().strip('[]()').split(','))
        except ValueError as error:
            raise DatasetFileError(
                self._archive.path, name, f'{shorten(text)}: must be [width, height]'
            ) from error
        if noted != size:
            raise DatasetFileError(
                self._archive.path, name, f'{noted}, but the image has {size[0]}x{size[1]} px'
            )

    def _check_gravity(self, boxes: tuple[ScanBox, ...], field: str) -> None:
        """Refuse a gravity that the boxes, which stand upright, contradict."""
        if not boxes:
            return
        tilts = np.degrees(np.arccos(np.clip([b.pose[2, 2] for b in boxes], -1.0, 1.0)))
        if np.median(tilts) > _MAX_TILT:
            raise DatasetFileError(
                self._archive.path,
                field,
                f'the median box leans by {np.median(tilts):.1f} degrees: at most {_MAX_TILT:g}; '
                'gravity and boxes do not belong together',
            )


def _label(item: Mapping[str, Any]) -> str:
    """Return the name of an instance: its category, or where that says nothing a caption of a few words."""
    label = clean_label(str(item.get('category') or ''))
    if label:
        return label
    caption = clean_label(str(item.get('caption') or '').rstrip('.'))
    for article in ('a ', 'an ', 'the '):
        caption = caption.removeprefix(article)
    return caption if len(caption.split()) <= 4 else ''


def _is_numeric(value: Any) -> bool:
    try:
        np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        return False
    return True


def _upright(down: Array) -> Array:
    """Return world_from_camera (3, 3) for a unit vector (3,) that points down in the camera frame; x looks ahead."""
    up = -down / np.linalg.norm(down)
    ahead = np.array([0.0, 0.0, 1.0]) - up[2] * up
    if np.linalg.norm(ahead) < 1e-3:  # looking straight down: then what is up in the picture lies ahead
        ahead = np.array([0.0, -1.0, 0.0]) - (-up[1]) * up
    ahead = ahead / np.linalg.norm(ahead)
    return np.stack([ahead, np.cross(up, ahead), up])
