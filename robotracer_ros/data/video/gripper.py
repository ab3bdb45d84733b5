# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""When a gripper holds something: closing and opening events of a noisy opening signal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class GripperConfig:
    """How closings are found.

    The opening is judged relative to its own range within the recording: fingers that stop at a thick thing close
    just as much as fingers that meet.

    Attributes:
        close_below: A closing begins where the relative opening falls below this.
        open_above: It ends where the relative opening rises above this.
        min_range: Range of the opening (0..1) below which nothing was gripped.
        min_closed_s: Shorter closings are noise.
        min_open_s: Shorter openings between two closings are noise.
    """

    close_below: float = 0.35
    open_above: float = 0.6
    min_range: float = 0.08
    min_closed_s: float = 0.3
    min_open_s: float = 0.3


@dataclass(frozen=True)
class Closing:
    """A time during which the gripper is closed, frames ``start`` up to and without ``end``.

    Attributes:
        start, end: First closed frame and first open one after it.
        seen_closing: It was open before, so what it took was seen.
        seen_opening: It is open afterwards, so where it let go was seen.
    """

    start: int
    end: int
    seen_closing: bool
    seen_opening: bool


def closings(
    opening: NDArray[np.float64], fps: float, config: GripperConfig | None = None
) -> list[Closing]:
    """Find the times during which a gripper is closed.

    Args:
        opening: (N,) from 0 (closed) to 1 (open).
        fps: Frames per second.
        config: Thresholds.
    """
    c = config or GripperConfig()
    if len(opening) == 0:
        return []
    # Single outliers of a sensor must not set the range.
    low, high = (float(x) for x in np.percentile(opening, (2, 98)))
    if high - low < c.min_range:
        return []
    relative = (opening - low) / (high - low)
    closed = np.zeros(len(opening), dtype=bool)
    state = bool(relative[0] < c.close_below)
    for i, x in enumerate(relative):
        state = x <= c.open_above if state else x < c.close_below
        closed[i] = state
    # Openings first: a flutter in the middle must not make one long closing two short ones.
    _drop_short(closed, False, round(c.min_open_s * fps))
    _drop_short(closed, True, round(c.min_closed_s * fps))
    return [
        Closing(a, b, seen_closing=a > 0, seen_opening=b < len(closed))
        for a, b in runs(closed, True)
    ]


def runs(flags: NDArray[np.bool_], value: bool) -> list[tuple[int, int]]:
    """Return start and end of every run of a value."""
    padded = np.concatenate([[False], flags == value, [False]])
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _drop_short(flags: NDArray[np.bool_], value: bool, length: int) -> None:
    """Invert runs of a value that are shorter than a length and have a neighbour on both sides."""
    for a, b in runs(flags, value):
        if b - a < length and (value or (a > 0 and b < len(flags))):
            flags[a:b] = not value
