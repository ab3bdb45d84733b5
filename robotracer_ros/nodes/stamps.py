# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""ROS stamps and durations as integer nanoseconds and float seconds."""

from __future__ import annotations

import math

from builtin_interfaces.msg import Duration, Time

_NS = 1_000_000_000


def stamp_to_ns(stamp: Time) -> int:
    """Return a stamp in nanoseconds."""
    return int(stamp.sec) * _NS + int(stamp.nanosec)


def ns_to_stamp(ns: int) -> Time:
    """Return nanoseconds as a stamp."""
    sec, nanosec = divmod(int(ns), _NS)
    return Time(sec=sec, nanosec=nanosec)


def duration_to_s(duration: Duration) -> float:
    """Return a duration in seconds."""
    return int(duration.sec) + int(duration.nanosec) * 1e-9


def s_to_duration(seconds: float) -> Duration:
    """Return seconds as a duration, rounded to nanoseconds.

    Raises:
        ValueError: not finite.
    """
    if not math.isfinite(seconds):
        raise ValueError(f'a duration of {seconds} s cannot be written')
    sec, nanosec = divmod(round(seconds * _NS), _NS)
    return Duration(sec=sec, nanosec=nanosec)
