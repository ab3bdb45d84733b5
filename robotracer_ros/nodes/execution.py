# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""One goal from its trace to the robot at rest: wait for the trace, plan, execute.

Runs in a worker thread and knows nothing of actions, so an action, a topic or a test may start it.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from robotracer_ros.control.base import Controller, RobotPort
from robotracer_ros.control.executor import ExecutionFigures, PlanExecutor, Progress
from robotracer_ros.errors import (
    CancelledError,
    InvalidParameterError,
    NoJointStateError,
    ObjectDroppedError,
    RobotracerError,
    StaleTraceError,
    StartInCollisionError,
)
from robotracer_ros.geometry.trace import Trace
from robotracer_ros.nodes.diagnostics import as_error
from robotracer_ros.nodes.path_watch import PathWatch, RecheckFigures, RecheckRules
from robotracer_ros.nodes.scene_input import DepthView, SceneInput
from robotracer_ros.planning.base import Phase, Planner, PlanRequest, RobotState, TimedPlan


@dataclass(frozen=True)
class Rules:
    """Limits of one goal, from the node's parameters; seconds, metres, metres per second."""

    max_tcp_speed: float
    max_trace_age_s: float
    max_state_age_s: float
    recheck: RecheckRules
    min_object_m: float
    max_closing_m: float
    grip_timeout_s: float
    feedback_period_s: float


@dataclass(frozen=True)
class Options:
    """What the client of a goal may choose."""

    plan_only: bool = False
    allow_partial: bool = False
    max_tcp_speed: float = 0.0


@dataclass(frozen=True)
class GoalFeedback:
    """Where a goal is; ``clearance`` (m) is NaN before the first recheck."""

    phase: Phase
    progress: float = 0.0
    tracking_error: float = 0.0
    clearance: float = math.nan


@dataclass
class Outcome:
    """How a goal ended. ``error`` is None when it did what was asked."""

    error: RobotracerError | None = None
    trace: Trace | None = None
    plan: TimedPlan | None = None
    planned_at_ns: int = 0
    planning_time_s: float = math.nan
    figures: ExecutionFigures = field(default_factory=ExecutionFigures)
    recheck_rate_hz: float = math.nan
    recheck_max_gap_s: float = math.nan

    @property
    def failed_waypoint(self) -> int:
        """Index of the trace point where it failed (or where a partial plan ends), -1 otherwise."""
        if self.error is not None:
            waypoint = getattr(self.error, 'waypoint', self.error.details.get('waypoint', -1))
            return int(waypoint)
        return self.plan.failed_waypoint if self.plan is not None else -1


@dataclass
class HeldObject:
    """What a goal has left between the jaws, because it was stopped or its trace ended in the air.

    All goals of a node share it.
    The first thing that a new goal does is to open the jaws. Whatever hangs in them would fall, so
    that a person has to take it out first, or open the jaws where that does no harm.
    """

    opening: float | None = None

    def check(self, opening: float | None, tolerance_m: float) -> None:
        """Forget it when the jaws have moved since. Raises StartInCollisionError when they have not."""
        if self.opening is None:
            return
        if opening is not None and abs(opening - self.opening) > tolerance_m:
            self.opening = None
            return
        raise StartInCollisionError(
            f'the jaws still hold something, {self.opening * 1e3:.1f} mm wide, of an earlier '
            'goal: take it out, or open the jaws where it may fall, before the next goal',
            opening=self.opening)


class GoalRun:
    """One goal; :meth:`run` in a worker, :meth:`stop` from anywhere.

    Args:
        get_trace: Delivers the trace; is given ``check``, which raises once the goal is stopped,
            and must call it every few milliseconds while it waits.
        options: The client's choices.
        on_feedback: Called from the worker, at most every ``feedback_period_s`` within a phase.
        has_tracing: Whether fetching the trace is a phase of its own (an instruction).
    """

    def __init__(self, get_trace: Callable[[Callable[[], None]], Trace], options: Options,
                 on_feedback: Callable[[GoalFeedback], None], *, has_tracing: bool = False) -> None:
        self._get_trace, self._options = get_trace, options
        self._on_feedback = on_feedback
        self._has_tracing = has_tracing
        self._lock = threading.Lock()
        self._stop_error: RobotracerError | None = None
        self._executor: PlanExecutor | None = None
        self._fed: tuple[Phase, float] | None = None
        self.phase = Phase.TRACING if has_tracing else Phase.PLANNING
        self.done = threading.Event()
        self.outcome = Outcome()

    def stop(self, error: RobotracerError) -> None:
        """End the goal with ``error`` and the robot at rest; the first error counts. Returns at once."""
        with self._lock:
            if self._stop_error is None:
                self._stop_error = error
            executor = self._executor
        if executor is not None:
            executor.stop(error)

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stop_error is not None

    def check(self) -> None:
        """Raise the error of :meth:`stop`, if it was called."""
        if self._stop_error is not None:
            raise self._stop_error

    def run(self, planner: Callable[[], Planner], controller: Callable[[], Controller],
            port: RobotPort, scene: SceneInput, rules: Rules, recheck: RecheckFigures,
            on_plan: Callable[[Trace, TimedPlan, DepthView, Planner], None],
            held: HeldObject | None = None) -> Outcome:
        """Do the work; the outcome holds every error as a typed one. The robot rests afterwards.

        Args:
            planner: Returns the loaded planner.
            controller: Returns the controller, connected; called only when something will move.
            port: The robot.
            scene: Depth and transforms.
            rules: Limits.
            recheck: Figures to update.
            on_plan: Called with each finished plan before anything moves.
            held: What an earlier goal left between the jaws; updated.
        """
        self._held = held or HeldObject()
        try:
            self._run(planner, controller, port, scene, rules, recheck, on_plan)
        except Exception as e:  # the boundary: everything becomes a typed error in the result
            self.outcome.error = as_error(e)
            if self.outcome.error is not e:
                self.outcome.error.__cause__ = e
        return self.outcome

    # -- inside -----------------------------------------------------------------------------------

    def _feed(self, feedback: GoalFeedback, period_s: float = 0.0) -> None:
        now = time.monotonic()
        self.phase = feedback.phase
        if self._fed is None or self._fed[0] != feedback.phase or now - self._fed[1] >= period_s:
            self._fed = (feedback.phase, now)
            self._on_feedback(feedback)

    def _run(self, planner: Callable[[], Planner], controller: Callable[[], Controller],
             port: RobotPort, scene: SceneInput, rules: Rules, recheck: RecheckFigures,
             on_plan: Callable[[Trace, TimedPlan, DepthView, Planner], None]) -> None:
        out = self.outcome
        self.check()
        speed = tcp_speed(self._options.max_tcp_speed, rules.max_tcp_speed)
        if self._has_tracing:
            self._feed(GoalFeedback(Phase.TRACING))
        out.trace = trace = self._get_trace(self.check)
        self.check()
        self._feed(GoalFeedback(Phase.PLANNING))
        age = port.now_s() - trace.stamp_ns * 1e-9
        if age > rules.max_trace_age_s:
            raise StaleTraceError(f"the trace's image is {age:.2f} s old, limit "
                                  f'{rules.max_trace_age_s:.2f} s', age_s=age)
        state = fresh_state(port, rules.max_state_age_s)
        if not self._options.plan_only:
            self._held.check(port.gripper_opening(), rules.max_closing_m)
        base_from_trace = scene.base_from(trace.frame_id, trace.stamp_ns)
        view = scene.view()
        scene.check_same_camera(base_from_trace, view)
        used = planner()
        self.check()
        out.planned_at_ns = round(port.now_s() * 1e9)
        begin = time.monotonic()
        try:
            out.plan = plan = used.plan(PlanRequest(
                trace, view.base_from_camera, view.depth, view.camera, state,
                port.gripper_opening() or 0.0, speed, self._options.allow_partial,
                lambda: self.stopping))
        except CancelledError:
            self.check()  # why it was stopped
            raise
        finally:
            out.planning_time_s = time.monotonic() - begin
        self.check()
        on_plan(trace, plan, view, used)
        if not self._options.plan_only:
            self._execute(plan, used, controller(), port, scene, rules, recheck)

    def _execute(self, plan: TimedPlan, planner: Planner, controller: Controller, port: RobotPort,
                 scene: SceneInput, rules: Rules, recheck: RecheckFigures) -> None:
        watch: PathWatch | None = None

        def on_progress(progress: Progress) -> None:
            if watch is None:
                return
            watch.check_alive()
            self._feed(GoalFeedback(progress.phase, progress.progress, progress.tracking_error,
                                    watch.clearance), rules.feedback_period_s)

        executor = PlanExecutor(
            controller, port, plan, min_object_m=rules.min_object_m,
            max_closing_m=rules.max_closing_m, grip_timeout_s=rules.grip_timeout_s,
            on_progress=on_progress)
        self.outcome.figures = executor.figures
        with self._lock:
            self._executor = executor
        self.check()
        watch = PathWatch(executor, planner, scene, rules.recheck, recheck, port.now_s)
        try:
            with watch:
                executor.run()
        except RobotracerError as e:
            if executor.held is not None and not isinstance(e, ObjectDroppedError):
                e.args = (f'{e}; the jaws hold on to what they carry, {executor.held * 1e3:.1f} mm '
                          'wide',)
            raise
        finally:
            self.outcome.recheck_rate_hz = watch.rate_hz
            self.outcome.recheck_max_gap_s = watch.max_gap_s
            # A trace may also end in the air, with the object held there: no error, but the same.
            self._held.opening = executor.held


def tcp_speed(wanted: float, cap: float) -> float:
    """Return the speed of a goal: 0 means the cap, never more than it.

    Raises:
        InvalidParameterError: negative or not finite.
    """
    if not math.isfinite(wanted) or wanted < 0.0:
        raise InvalidParameterError(f'max_tcp_speed = {wanted} m/s: must be finite and >= 0')
    return min(wanted, cap) if wanted > 0.0 else cap


def fresh_state(port: RobotPort, max_age_s: float) -> RobotState:
    """Return the joint state. Raises NoJointStateError when it is missing or too old."""
    state = port.joint_state()
    if state is None:
        raise NoJointStateError('no joint state that holds all joints of the arm was received')
    age = port.now_s() - state.stamp_ns * 1e-9
    if age > max_age_s:
        raise NoJointStateError(f'the newest joint state is {age:.2f} s old, limit '
                                f'{max_age_s:.2f} s', age_s=age)
    return state
