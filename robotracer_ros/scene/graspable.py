# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Which things must not be grasped: what depth alone says about size, and about being fixed.

A hand that closes on something fixed presses on it with its whole force before anything can be
noticed. So what may be fixed is refused before the hand goes there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from robotracer_ros.errors import NoGraspError, ObjectNotFoundError
from robotracer_ros.scene.base import ObjectSegment

#: a panel is this many times as high and as long as it is thick
_PANEL_RATIO = 2.5
#: what hides a part of a thing is this much nearer to the camera, metres
_NEARER = 0.02
#: a point this near (px in a 320 px wide image) to a thing's outline lies on it
_OUTLINE_PX = 2
#: share of a thing's outline behind something nearer from which on its size counts as unknown
_HIDDEN_SHARE = 0.15


@dataclass(frozen=True)
class GraspLimits:
    """What may be grasped, metres.

    Attributes:
        max_length: Longest horizontal side; longer things are furniture.
        max_height: Highest thing.
        panel_thickness: Thinner things that stand upright count as partitions, which are fixed; 0
            lets everything pass.
        max_snap: Distance from what the first trace point shows to the thing that is taken for it.
    """

    max_length: float = 0.22
    max_height: float = 0.30
    panel_thickness: float = 0.030
    max_snap: float = 0.03


def demand_near(
    segment: ObjectSegment, pixel: NDArray[np.float64], seen: NDArray[np.float64], limit: float
) -> None:
    """Refuse a thing that is too far from what the first trace point shows.

    Args:
        segment: The thing that was found.
        pixel: (2,) column and row of the trace point.
        seen: (3,) surface point there.
        limit: Metres.

    Raises:
        ObjectNotFoundError: names distance and limit.
    """
    if segment.mask is not None:
        # At its outline the sensor may see what is behind the thing.
        column, row = (max(0, round(float(x))) for x in pixel)
        reach = round(_OUTLINE_PX * segment.mask.shape[1] / 320)
        near = segment.mask[
            max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1
        ]
        if near.any():
            return
    distance = float(np.linalg.norm(segment.points - seen, axis=1).min())
    if distance > limit:
        raise ObjectNotFoundError(
            f'trace point 0 lies on no object: the nearest one is {1e3 * distance:.0f} mm away, at '
            f'most {1e3 * limit:.0f} mm',
            waypoint=0,
            distance=distance,
            limit=limit,
        )


def demand_graspable(
    segment: ObjectSegment, depth: NDArray[np.float32], limits: GraspLimits
) -> None:
    """Refuse what is too large, or may be fixed.

    Args:
        segment: The thing at the first trace point.
        depth: (H, W) metres, the image it was found in.
        limits: What may be grasped.

    Raises:
        NoGraspError: names the size and the limit.
    """
    thick, length = np.sort(segment.box.extents[:2])
    height = float(segment.box.extents[2])
    size = f'{1e3 * length:.0f} x {1e3 * thick:.0f} x {1e3 * height:.0f} mm'
    extents = [float(e) for e in segment.box.extents]
    if length > limits.max_length:
        raise NoGraspError(
            f'the thing at trace point 0 is {1e3 * length:.0f} mm long ({size}): only things up to '
            f'{1e3 * limits.max_length:.0f} mm are grasped',
            waypoint=0,
            extents=extents,
        )
    if height > limits.max_height:
        raise NoGraspError(
            f'the thing at trace point 0 is {1e3 * height:.0f} mm high ({size}): only things up to '
            f'{1e3 * limits.max_height:.0f} mm are grasped',
            waypoint=0,
            extents=extents,
        )
    if thick >= limits.panel_thickness or height < _PANEL_RATIO * thick:
        return
    hidden = hidden_share(segment, depth)
    if length >= _PANEL_RATIO * thick or hidden > _HIDDEN_SHARE:
        part = f', {100 * hidden:.0f} % of its outline hidden' if hidden > _HIDDEN_SHARE else ''
        raise NoGraspError(
            f'the thing at trace point 0 ({size}{part}) cannot be told from a fixed partition: '
            f'upright things thinner than {1e3 * limits.panel_thickness:.0f} mm are not grasped',
            waypoint=0,
            extents=extents,
        )


def hidden_share(segment: ObjectSegment, depth: NDArray[np.float32]) -> float:
    """Return the share of a segment's outline beside which something nearer begins, so that it may
    go on behind that.
    """
    if segment.mask is None:
        return 0.0
    mask = segment.mask
    rim = mask & ~ndimage.binary_erosion(mask)
    known = np.where(depth > 0, depth, np.inf)
    nearest = ndimage.minimum_filter(np.where(mask, np.inf, known), 5)
    return float(np.mean(nearest[rim] < depth[rim] - _NEARER))
