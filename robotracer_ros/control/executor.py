# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Execute a plan step by step through a controller: motions, jaw moves, checks in between, one way to stop."""

from __future__ import annotations

import bisect
import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from robotracer_ros.control.base import Controller, Execution, RobotPort, Tracking
from robotracer_ros.control.monitor import MAX_CLOSING_M, MIN_OBJECT_M, GraspMonitor
from robotracer_ros.errors import CancelledError, GraspFailedError, RobotracerError
from robotracer_ros.planning.base import Grip, Motion, Phase, TimedPlan


@dataclass(frozen=True)
class Progress:
    """Where an execution is.

    Attributes:
        step: Index into the plan's steps.
        phase: Phase of that step, STOPPING while the robot is brought to rest.
        time_s: Seconds into the step, on its own time axis; 0 while the jaws move.
        progress: 0..1 of the whole motion's time.
        tracking_error: Largest joint error now, rad.
    """

    step: int
    phase: Phase
    time_s: float
    progress: float
    tracking_error: float


@dataclass
class ExecutionFigures:
    """What was measured; also filled when the execution ends early.

    Attributes:
        execution_time_s: From the first command to the end, in the robot's time.
        tracking_rms, tracking_max: Joint error, rad; NaN when nothing moved.
        stalls: Times at which commands came too late and the arm began to brake by itself.
        slowest_rate: Smallest speed relative to the plan's that a motion was run at.
        step_times_s: Seconds of every finished step.
        grasp_opening: Jaw opening at which the object was held, metres; NaN without a grasp.
    """

    execution_time_s: float = math.nan
    tracking_rms: float = math.nan
    tracking_max: float = math.nan
    stalls: int = 0
    slowest_rate: float = 1.0
    step_times_s: list[float] = field(default_factory=list)
    grasp_opening: float = math.nan


class PlanExecutor:
    """Execute one plan, once.

    Args:
        controller: Connected controller.
        port: The same port, for its clock and the jaws.
        plan: The plan.
        min_object_m: Jaws that stop at least this far above the commanded opening hold something, metres.
        max_closing_m: Jaws that close this much further while carrying, and do not rest again, have lost it, metres.
        grip_timeout_s: Time for one jaw move.
        on_progress: Called about every ``tick_s`` from the thread that runs the plan.
        tick_s: Time between two looks (wall time).
    """

    def __init__(self, controller: Controller, port: RobotPort, plan: TimedPlan, *, min_object_m: float = MIN_OBJECT_M,
                 max_closing_m: float = MAX_CLOSING_M, grip_timeout_s: float = 4.0,
                 on_progress: Callable[[Progress], None] | None = None, tick_s: float = 0.02) -> None:
        self._controller, self._port, self.plan = controller, port, plan
        self._grasp = GraspMonitor(min_object_m, max_closing_m)
        self._grip_timeout_s, self._tick_s = grip_timeout_s, tick_s
        self._on_progress = on_progress or (lambda _: None)
        self._lock = threading.Lock()
        self._stop_error: RobotracerError | None = None
        self._execution: Execution | None = None
        self._step = 0
        self._backwards = False
        self._tracked: list[Tracking] = []
        self._visited: deque[tuple[float, int, float]] = deque(maxlen=256)
        self.figures = ExecutionFigures()
        lengths = [float(s.times[-1]) if isinstance(s, Motion) else 0.0 for s in plan.steps]
        self._done_before = [sum(lengths[:i]) for i in range(len(lengths))]
        self._total = max(sum(lengths), 1e-9)

    def stop(self, error: RobotracerError) -> None:
        """Bring the robot to rest and make :meth:`run` raise ``error``; the first error counts. Returns at once."""
        with self._lock:
            if self._stop_error is None:
                self._stop_error = error
            execution = self._execution
        if execution is not None:
            execution.cancel()

    def cancel(self) -> None:
        """Stop because the client asked for it."""
        self.stop(CancelledError(f'cancelled by the client in phase {self.phase.name}'))

    @property
    def phase(self) -> Phase:
        """Phase of the step under way."""
        return self.plan.steps[min(self._step, len(self.plan.steps) - 1)].phase

    @property
    def held(self) -> float | None:
        """Jaw opening (m) at which something is held, None when nothing is."""
        return self._grasp.opening

    @property
    def position(self) -> tuple[int, float]:
        """Index of the step under way, and seconds into it on its own time axis."""
        with self._lock:
            step, execution = self._step, self._execution
        return step, self._on_plan(step, execution.time_s) if execution is not None else 0.0

    def _on_plan(self, step: int, time_s: float) -> float:
        """Return the time on the plan's step of a time of the motion under way, which may lead back."""
        motion = self.plan.steps[step]
        if self._backwards and isinstance(motion, Motion):
            return float(motion.times[-1]) - time_s
        return time_s

    def position_at(self, now_s: float) -> tuple[int, float]:
        """Return :attr:`position` as it was at a time of the robot's clock, such as the stamp of an image.

        Between two remembered moments of a motion the way is interpolated, and after the newest
        one the motion is taken to have gone on: on a busy machine moments are remembered seldom,
        while the arm moves all the same. A time before the start gives the start; of times long ago
        only the oldest that is remembered is known.
        """
        with self._lock:
            visited = list(self._visited)
        after = bisect.bisect_right(visited, now_s, key=lambda v: v[0])
        if after == 0:
            return visited[0][1:] if visited else (0, 0.0)
        if after < len(visited):
            later, later_step, later_time_s = visited[after]
            into = now_s - (later - later_time_s)
            if later_step != visited[after - 1][1] and into >= 0.0 < later_time_s:
                # The first remembered moment of a motion may come well after its beginning.
                return later_step, into
        when, step, time_s = visited[after - 1]
        motion = self.plan.steps[step]
        if not isinstance(motion, Motion):
            return step, time_s
        if after < len(visited) and visited[after][1] == step:
            later, _, later_time_s = visited[after]
            share = (now_s - when) / max(later - when, 1e-9)
            return step, time_s + share * (later_time_s - time_s)
        return step, min(time_s + now_s - when, max(time_s, float(motion.times[-1])))

    @property
    def waypoint(self) -> int:
        """Index of the trace point that the robot heads for, -1 outside the trace."""
        step, time_s = self.position
        motion = self.plan.steps[step]
        if not isinstance(motion, Motion):
            return -1
        later = motion.times.searchsorted(time_s)
        return int(motion.waypoints[min(int(later), len(motion.waypoints) - 1)])

    def run(self) -> ExecutionFigures:
        """Execute all steps; return the figures. The robot rests when this returns or raises.

        Raises:
            ControllerRefusedError, ControllerLostError, TrackingError: as the controller says.
            GraspFailedError, ObjectDroppedError: the jaws hold nothing.
            RobotracerError: the error given to :meth:`stop`.
        """
        begin = self._port.now_s()
        try:
            for index, step in enumerate(self.plan.steps):
                with self._lock:
                    self._step = index
                self._check_stop()
                step_begin = self._port.now_s()
                if isinstance(step, Motion):
                    self._move(index, step)
                else:
                    self._grip(index, step)
                self.figures.step_times_s.append(self._port.now_s() - step_begin)
            self._check_stop()
        finally:
            self._summarise(self._port.now_s() - begin)
        return self.figures

    # -- inside -----------------------------------------------------------------------------------

    def _check_stop(self) -> None:
        if self._stop_error is not None:
            raise self._stop_error

    def _stopped(self) -> bool:
        return self._stop_error is not None

    def _report(self, index: int, time_s: float, tracking_error: float) -> None:
        with self._lock:
            self._visited.append((self._port.now_s(), index, time_s))
        phase = Phase.STOPPING if self._stopped() else self.plan.steps[index].phase
        done = (self._done_before[index] + time_s) / self._total
        self._on_progress(Progress(index, phase, time_s, done, tracking_error))

    def _move(self, index: int, motion: Motion) -> None:
        execution = self._controller.execute(self.plan.joint_names, motion)
        with self._lock:
            self._execution = execution
            stopped = self._stop_error is not None
        if stopped:  # between the check above and the start of the motion
            execution.cancel()
        try:
            while not execution.wait(self._tick_s):
                if not self._stopped():
                    self._watch_grasp()
                self._report(index, self._on_plan(index, execution.time_s), execution.tracking_error)
        except BaseException:
            # Whoever fails here (a callback, the grasp check), the arm must not go on without us.
            execution.cancel()
            execution.wait(10.0)
            raise
        finally:
            self._tracked.append(execution.tracking)
            with self._lock:
                self._execution = None
        self._conclude(execution)
        self._watch_grasp()
        self._report(index, self._on_plan(index, float(motion.times[-1])), execution.tracking_error)

    def _conclude(self, execution: Execution) -> None:
        try:
            execution.result()
        except CancelledError:
            self._check_stop()
            raise
        # A stop that was asked for at the very end of a motion still ends the plan, before its next step.

    def _watch_grasp(self) -> None:
        if self._grasp.holding:
            # In this order: an opening may be newer than its time, never older.
            measured = self._port.gripper_measured_s()
            self._grasp.check(self._port.gripper_opening(), measured)

    def _grip(self, index: int, grip: Grip) -> None:
        self._report(index, 0.0, 0.0)
        try:
            reached = self._controller.grip(grip.opening, grip.force, self._grip_timeout_s, self._stopped)
        except CancelledError:
            self._check_stop()
            raise
        if grip.grasping:
            try:
                self._grasp.closed(grip.opening, reached, grip.width)
            except GraspFailedError as e:
                self._back_off(index, e)
                raise
            self.figures.grasp_opening = reached
        else:
            self._grasp.released()

    def _back_off(self, index: int, failed: GraspFailedError) -> None:
        """Open the jaws and go back the way the hand came in: closed around something that is not
        what was planned for, or on nothing, they are of no use here.

        Raises:
            GraspFailedError: that did not work either; says why.
        """
        try:
            for step in reversed(self.plan.steps[:index]):
                if isinstance(step, Grip):
                    self._controller.grip(step.opening, step.force, self._grip_timeout_s, self._stopped)
                    break
            approach = self.plan.steps[index - 1] if index else None
            if isinstance(approach, Motion) and approach.phase == Phase.GRASP:
                with self._lock:
                    self._step, self._backwards = index - 1, True
                self._move(index - 1, approach.reversed())
        except RobotracerError as e:
            if self._stop_error is not None:
                raise self._stop_error from failed
            raise GraspFailedError(f'{failed}; the hand could not back off: {e}', **failed.details) from e

    def _summarise(self, seconds: float) -> None:
        self.figures.execution_time_s = seconds
        tracked = [t for t in self._tracked if t.samples]
        if tracked:
            count = sum(t.samples for t in tracked)
            self.figures.tracking_rms = math.sqrt(sum(t.rms**2 * t.samples for t in tracked) / count)
            self.figures.tracking_max = max(t.maximum for t in tracked)
        self.figures.stalls = sum(t.stalls for t in self._tracked)
        self.figures.slowest_rate = min((t.rate for t in self._tracked), default=1.0)
