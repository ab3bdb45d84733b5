# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Move parallel jaws and wait until they rest."""

from __future__ import annotations

from collections.abc import Callable

from robotracer_ros.control.base import RobotPort
from robotracer_ros.errors import CancelledError, ControllerLostError

#: jaws that move less than this within ``_STILL_S`` rest, metres
_STILL_M = 0.0004
_STILL_S = 0.2
#: jaws that have not begun to move by then are not going to (they were there already, or hold something)
_BEGIN_S = 1.0
_TICK_S = 0.02


def move_jaws(port: RobotPort, opening: float, force: float, timeout_s: float, cancelled: Callable[[], bool]) -> float:
    """Command the jaws and return the full opening (metres) at which they come to rest.

    Rest is judged in the time of the measurements: jaws that are not heard of are not known to rest.

    Args:
        port: The robot.
        opening: Full opening, metres.
        force: Limit, newtons.
        timeout_s: Time to come to rest.
        cancelled: Asked all the time; when it says yes the jaws are held where they are.

    Raises:
        CancelledError: ``cancelled`` said yes.
        ControllerLostError: the jaws report no opening, or do not rest in time.
    """
    first = port.gripper_opening()
    if first is None:
        raise ControllerLostError('the jaws report no opening: is the gripper joint in the joint states?')
    if cancelled():
        raise CancelledError(f'cancelled before the jaws moved from {first * 1e3:.1f} mm')
    port.send_gripper(opening, force)
    start = port.now_s()
    moved = False
    still_since, still_at = start, first
    while True:
        port.sleep(_TICK_S)
        now = port.now_s()
        # In this order: an opening may be newer than its time, never older.
        measured = port.gripper_measured_s()
        reached = port.gripper_opening()
        if reached is None:
            raise ControllerLostError('the jaws stopped reporting their opening while they moved')
        if cancelled():
            port.send_gripper(reached, force)
            raise CancelledError(f'cancelled while the jaws moved, at {reached * 1e3:.1f} mm')
        moved = moved or abs(reached - first) > _STILL_M
        if abs(reached - still_at) > _STILL_M:
            still_since, still_at = max(measured, start), reached
        if measured - still_since >= _STILL_S and (moved or measured - start >= _BEGIN_S):
            return reached
        if now - start > timeout_s:
            raise ControllerLostError(f'the jaws still move after {timeout_s:.1f} s, at {reached * 1e3:.1f} mm on '
                                      f'the way to {opening * 1e3:.1f} mm')
