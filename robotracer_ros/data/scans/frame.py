# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A frame of a scanned room: what every layout is read into."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from robotracer_ros.data.files import DatasetFileError, shorten
from robotracer_ros.geometry.camera import CameraModel

Array = NDArray[np.float64]

#: colour and depth may see this much (pixels of the colour image) more or less than each other
_GRID_SLACK = 4.0
#: a rotation matrix may be this far from orthonormal
_ROTATION_SLACK = 1e-2


@dataclass(frozen=True)
class ScanBox:
    """An annotated thing.

    Attributes:
        id: Stable within the scan.
        label: What people call it, in lower case; empty where only its box is known.
        pose: (4, 4) world_from_box; the box's own z is the axis nearest to vertical, pointing up.
        extents: (3,) full sides along its own axes, metres.
    """

    id: str
    label: str
    pose: Array
    extents: Array


@dataclass(frozen=True)
class ScanFrame:
    """One picture of a scan with all that is known of it.

    Attributes:
        dataset: Name of the layout.
        scan: Id of the scan.
        name: Of the frame in the scan.
        image: (H, W, 3) uint8, upright, resampled to the pixel grid of the depth.
        depth: (H, W) metres along the optical axis, 0 invalid.
        camera: Intrinsics of both.
        world_from_camera: (4, 4) pose of the optical frame in a world whose z points up.
        boxes: Annotated things; not all of them are in the picture.
        dropped: Ids of annotations that are no boxes: numbers not finite, sides not positive.
    """

    dataset: str
    scan: str
    name: str
    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    camera: CameraModel
    world_from_camera: Array
    boxes: tuple[ScanBox, ...]
    dropped: tuple[str, ...] = ()


class Scan(Protocol):
    """A scan on disk, opened."""

    @property
    def id(self) -> str:
        """Its name in the data set."""
        ...

    @property
    def names(self) -> list[str]:
        """Names of its frames in order."""
        ...

    def read(self, name: str) -> ScanFrame | None:
        """Read a frame; None when the data set itself says that it has no pose. Raises DatasetFileError."""
        ...


def make_box(box_id: str, label: str, centre: Array, sides: Array, rotation: Array) -> ScanBox | None:
    """Make a box with its vertical axis as z, or None when it is none.

    Args:
        box_id: Of the annotation.
        label: What people call it, or empty.
        centre: (3,) in a world whose z points up, metres.
        sides: (3,) full sides along the columns of ``rotation``, metres.
        rotation: (3, 3) world_from_box.
    """
    numbers = (centre, sides, rotation)
    if not all(np.isfinite(a).all() for a in numbers) or sides.min() <= 0:
        return None
    up = int(np.argmax(np.abs(rotation[2])))
    # The other two in cyclic order, so that the axes stay right-handed.
    order = [(up + 1) % 3, (up + 2) % 3, up]
    axes = rotation[:, order]
    if axes[2, 2] < 0:
        axes = axes * np.array([1.0, -1.0, -1.0])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = axes, centre
    return ScanBox(box_id, label, pose, np.array(sides, dtype=float)[order])


def check_rotation(matrix: Array, path: Path, field: str) -> Array:
    """Return a rotation (3, 3) when it is one. Raises DatasetFileError."""
    # Entries of a rotation are at most 1; larger ones could overflow below.
    largest = float(np.abs(matrix).max())
    if not largest <= 1.0 + _ROTATION_SLACK:
        raise DatasetFileError(path, field, f'is no rotation: it holds {largest:.3g}')
    error = float(np.abs(matrix @ matrix.T - np.eye(3)).max())
    if error > _ROTATION_SLACK or np.linalg.det(matrix) < 0:
        raise DatasetFileError(
            path,
            field,
            f'is no rotation: R R^T differs from 1 by {error:.3g}, determinant {np.linalg.det(matrix):.3g}',
        )
    return matrix


def check_camera(matrix: Array, size: tuple[int, int], path: Path, field: str) -> CameraModel:
    """Make a camera of an intrinsic matrix and an image size (width, height). Raises DatasetFileError."""
    fx, fy = float(matrix[0, 0]), float(matrix[1, 1])
    if not np.isfinite(matrix[:3, :3]).all():
        raise DatasetFileError(path, field, f'holds {shorten(matrix[:3, :3].tolist())}: must be finite')
    if fx <= 0 or fy <= 0:
        raise DatasetFileError(path, field, f'has focal lengths {fx:g}, {fy:g}: must be > 0 px')
    return CameraModel.from_matrix(matrix, *size)


def align(
    image: Image.Image, camera: CameraModel, onto: CameraModel, path: Path, field: str
) -> NDArray[np.uint8]:
    """Resample a colour image to the pixel grid of the depth camera at the same place, (H, W, 3).

    Raises:
        DatasetFileError: the depth camera sees more than the colour camera: they are not of one picture.
    """
    edges = []
    for size, other, f, g, c, d in (
        (onto.width, camera.width, onto.fx, camera.fx, onto.cx, camera.cx),
        (onto.height, camera.height, onto.fy, camera.fy, onto.cy, camera.cy),
    ):
        # Pixel k covers k - 0.5 .. k + 0.5; Pillow counts from the edge of the first.
        low, high = ((x - c) / f * g + d + 0.5 for x in (-0.5, size - 0.5))
        if low < -_GRID_SLACK or high > other + _GRID_SLACK:
            raise DatasetFileError(
                path,
                field,
                f'depth of {onto.width}x{onto.height} px reaches from {low:.1f} to {high:.1f} px of a colour image '
                f'of {camera.width}x{camera.height} px: intrinsics and sizes do not belong together',
            )
        edges.append((max(low, 0.0), min(high, float(other))))
    (left, right), (top, bottom) = edges
    small = image.resize(
        (onto.width, onto.height), Image.Resampling.BOX, box=(left, top, right, bottom)
    )
    return np.asarray(small)
