# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Recheck what remains of a running plan against fresh depth, at a promised rate."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from robotracer_ros.control.executor import PlanExecutor
from robotracer_ros.errors import PathBlockedError, StaleInputError
from robotracer_ros.nodes.diagnostics import Meter, Window, as_error
from robotracer_ros.planning.base import Planner

if TYPE_CHECKING:
    from robotracer_ros.nodes.scene_input import SceneInput

#: how often is looked for a new image once the last one is checked, seconds of wall time
_LOOK_S = 0.01


@dataclass(frozen=True)
class RecheckRules:
    """Limits of the rechecks.

    Attributes:
        period_s: Shortest time between the beginnings of two checks, seconds of wall time.
        max_gap_s: Longest time without a finished check, seconds of the robot's clock.
        min_clearance_m: The motion is stopped when an obstacle is nearer, metres.
        confirmations: Checks in a row that must find it so.
    """

    period_s: float
    max_gap_s: float
    min_clearance_m: float
    confirmations: int


@dataclass
class RecheckFigures:
    """Figures of the rechecks, shared by all goals of a node for its diagnostics."""

    rate: Meter = field(default_factory=Meter)
    duration_s: Window = field(default_factory=Window)
    clearance: float = math.nan


class PathWatch:
    """Recheck the remaining path in a thread of its own; stop the robot when it is blocked.

    Each new depth image is checked once, unless they come faster than the period. Time counts by
    the robot's clock: it says how far the arm has moved unseen.

    Args:
        executor: The running plan.
        planner: Who planned it.
        scene: Fresh depth.
        rules: Limits.
        figures: Updated with every check.
        now_s: The robot's clock, seconds.
    """

    def __init__(
        self,
        executor: PlanExecutor,
        planner: Planner,
        scene: SceneInput,
        rules: RecheckRules,
        figures: RecheckFigures,
        now_s: Callable[[], float],
    ) -> None:
        self._executor, self._planner, self._scene = executor, planner, scene
        self._rules, self._figures, self._now_s = rules, figures, now_s
        self._end = threading.Event()
        self._begun = self._checked = now_s()
        self._ended = math.nan
        self._count, self._longest = 0, 0.0
        self._seen_ns = 0
        self._near = 0
        self.clearance = math.nan
        figures.clearance = math.nan
        self._thread = threading.Thread(target=self._loop, name='path watch', daemon=True)

    def __enter__(self) -> PathWatch:
        self._begun = self._checked = self._now_s()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = self._now_s()
        self._end.set()
        self._thread.join()

    @property
    def rate_hz(self) -> float:
        """Finished checks per second of the motion; NaN before its end."""
        return self._count / max(self._ended - self._begun, 1e-9)

    @property
    def max_gap_s(self) -> float:
        """Longest time of the motion without a finished check, seconds; NaN before its end."""
        return max(self._ended - self._checked, self._longest)

    def check_alive(self) -> None:
        """Stop the robot when no check was finished for too long; called by the execution."""
        gap = self._now_s() - self._checked
        if gap > self._rules.max_gap_s:
            self._executor.stop(
                StaleInputError(
                    f'the remaining path was last checked against fresh depth {gap:.2f} s ago, '
                    f'limit {self._rules.max_gap_s:.2f} s',
                    gap_s=gap,
                )
            )

    def _loop(self) -> None:
        while not self._end.is_set():
            begin = time.monotonic()
            try:
                fresh = self._check()
            except Exception as e:  # whatever fails here, the path is no longer known to be free
                self._executor.stop(as_error(e))
                return
            took = time.monotonic() - begin
            if fresh:
                self._figures.duration_s.add(took)
            self._end.wait(max(0.0, self._rules.period_s - took) if fresh else _LOOK_S)

    def _check(self) -> bool:
        """Check the newest image; return whether there was a new one."""
        view = self._scene.view()
        if view.stamp_ns == self._seen_ns:
            return False  # its age limit is the scene's, the gap is check_alive's
        self._seen_ns = view.stamp_ns
        # The image shows the robot where it was at its stamp: there it must be told from obstacles.
        step, time_s = self._executor.position_at(view.stamp_ns * 1e-9)
        clearance = float(
            self._planner.clearance(
                self._executor.plan, step, time_s, view.depth, view.camera, view.base_from_camera
            )
        )
        self._note_finished()
        self.clearance = self._figures.clearance = clearance
        limit = self._rules.min_clearance_m
        self._near = self._near + 1 if not clearance >= limit else 0
        if self._near >= self._rules.confirmations:
            waypoint = self._executor.waypoint
            self._executor.stop(
                PathBlockedError(
                    f'an obstacle is {clearance * 1e3:.1f} mm from the remaining path in phase '
                    f'{self._executor.phase.name} (next waypoint {waypoint}), limit '
                    f'{limit * 1e3:.1f} mm',
                    clearance=clearance,
                    limit=limit,
                    waypoint=waypoint,
                )
            )
        return True

    def _note_finished(self) -> None:
        self._figures.rate.tick()
        if self._end.is_set():
            return  # too late to say anything about the motion
        now = self._now_s()
        self._longest = max(self._longest, now - self._checked)
        self._checked = now
        self._count += 1
