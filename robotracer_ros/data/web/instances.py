# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Boxes, masks and depth to things in space, and what is not believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from robotracer_ros.data.rejection import Rejected
from robotracer_ros.data.web.config import WebConfig
from robotracer_ros.data.web.perception import Detection
from robotracer_ros.geometry.camera import CameraModel

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Instance:
    """A thing in a picture.

    Attributes:
        id: Unique in the picture.
        label: What kind of thing it is.
        score: Of the detection.
        mask: (H, W) its largest piece.
        points: (N, 3) its visible surface in the optical frame, metres, without stray points at its edges.
        uvd: A point of it that is seen, nearest to the middle of the mask: u, v in 0..1000, d in metres, rounded.
        caption: A sentence about it, or empty.
    """

    id: str
    label: str
    score: float
    mask: Mask
    points: NDArray[np.float32]
    uvd: tuple[float, float, float]
    caption: str = ''

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Column and row of the first and last pixel of the mask, the last not included."""
        rows, columns = np.nonzero(self.mask)
        return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1

    @property
    def centre(self) -> NDArray[np.float64]:
        """(3,) middle of the visible surface, metres."""
        return np.asarray(np.median(self.points, axis=0), dtype=float)


def instances_of(
    detections: Sequence[Detection],
    masks: Mask,
    depth: NDArray[np.float32],
    camera: CameraModel,
    config: WebConfig,
) -> tuple[list[Instance], list[tuple[Detection, Rejected]]]:
    """Lift detections to things; return them, best first, and why others were left out.

    Args:
        detections: (K) boxes.
        masks: (K, H, W) one per box.
        depth: (H, W) metres.
        camera: Of the picture.
        config: Limits.
    """
    found: list[Instance] = []
    rejected: list[tuple[Detection, Rejected]] = []
    cloud = camera.depth_to_points(depth)
    for k in sorted(range(len(detections)), key=lambda k: -detections[k].score):
        detection = detections[k]
        lifted = _lift(detection, masks[k], cloud, camera, config, f'{_word(detection.label)}_{k}')
        if isinstance(lifted, Instance) and any(
            _iou(lifted.mask, other.mask) > config.max_mask_iou for other in found
        ):
            lifted = Rejected('double', detection.label)
        if isinstance(lifted, Instance):
            found.append(lifted)
        else:
            rejected.append((detection, lifted))
    return found, rejected


def _lift(
    detection: Detection,
    mask: Mask,
    cloud: NDArray[np.float32],
    camera: CameraModel,
    config: WebConfig,
    name: str,
) -> Instance | Rejected:
    piece = largest_piece(mask)
    share = float(piece.mean())
    if not config.min_area <= share <= config.max_area:
        return Rejected('area', f'{detection.label}: {share:.4f} of the picture')
    overlap = box_iou(detection.box, _box(piece))
    if overlap < config.min_box_iou:
        return Rejected('mask and box differ', f'{detection.label}: overlap {overlap:.2f}')
    points = cloud[piece]
    valid = np.isfinite(points[:, 2])
    if valid.mean() < config.min_valid_depth:
        return Rejected('no depth', f'{detection.label}: {valid.mean():.2f} of its pixels')
    z = points[valid, 2]
    middle = float(np.median(z))
    if middle > config.max_depth:
        return Rejected('far', f'{detection.label}: {middle:.1f} m')
    # Estimated depth runs from a thing's edge to what is behind it: points far from the bulk are not the thing.
    spread = max(4 * float(np.median(np.abs(z - middle))), 0.03 * middle)
    core = np.zeros(piece.shape, dtype=bool)
    rows, columns = np.nonzero(piece)
    near = np.abs(points[:, 2] - middle) <= spread  # NaN is not
    core[rows[near], columns[near]] = True
    r, c = _central_pixel(core)
    u, v = camera.pixels_to_uv((c, r))
    uvd = (float(round(u)), float(round(v)), round(float(cloud[r, c, 2]), 3))
    return Instance(name, detection.label, detection.score, piece, cloud[core], uvd)


def largest_piece(mask: Mask) -> Mask:
    """Return the largest connected piece of a mask."""
    labels, count = ndimage.label(mask)
    if count <= 1:
        return np.asarray(mask, dtype=bool)
    return np.asarray(labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1)


def box_iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the overlap of two boxes x0, y0, x1, y1: shared area over joint area."""
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(w, 0.0) * max(h, 0.0)
    joint = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return float(shared / joint) if joint > 0 else 0.0


def _iou(a: Mask, b: Mask) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


def _box(mask: Mask) -> tuple[float, float, float, float]:
    rows, columns = np.nonzero(mask)
    return float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)


def _central_pixel(mask: Mask) -> tuple[int, int]:
    """Return row and column of the pixel of a mask that is nearest to its middle."""
    rows, columns = np.nonzero(mask)
    k = int(np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2))
    return int(rows[k]), int(columns[k])


def _word(label: str) -> str:
    return '_'.join(label.split()) or 'thing'
