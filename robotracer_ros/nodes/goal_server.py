# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The actions of the planner node: goal messages in, feedback and a filled result out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node

from robotracer_ros.errors import CancelledError
from robotracer_ros.geometry.trace import Trace
from robotracer_ros.nodes.conversions import (
    correction_to_msg,
    figures_to_msg,
    plan_to_tool_path,
    plan_to_trajectory,
    trace_to_msg,
)
from robotracer_ros.nodes.execution import GoalFeedback, GoalRun, Options, Outcome

#: returns the trace of a goal message; calls its second argument all the time, which raises when
#: nobody waits any more
GetTrace = Callable[[Any, Callable[[], None]], Trace]
#: carries a goal out with the planner of that name; returns when it is done
Work = Callable[[GoalRun, str], Outcome]


class GoalServer:
    """Serves actions that end with a motion. Callbacks only hand over; a thread per goal works.

    Args:
        node: Owner.
        work: Called in the goal's own thread.
        base_frame: Frame of plans in results.
    """

    def __init__(self, node: Node, work: Work, base_frame: str) -> None:
        self._node, self._work, self._base_frame = node, work, base_frame
        self._group = ReentrantCallbackGroup()  # goal callbacks wait for their worker
        self._servers: list[ActionServer] = []
        self._closing = threading.Event()
        self._answered = threading.Condition()
        self._answering = 0

    def serve(self, kind: Any, name: str, get_trace: GetTrace, has_tracing: bool = False) -> None:
        """Offer an action.

        Args:
            kind: Action type.
            name: Of the action, below the node's name.
            get_trace: Finds the trace of a goal.
            has_tracing: Finding it takes time, and the result says what was found.
        """
        def execute(handle: ServerGoalHandle) -> Any:
            goal = handle.request
            options = Options(bool(goal.plan_only), bool(goal.allow_partial),
                              float(goal.max_tcp_speed))
            run = GoalRun(lambda check: get_trace(goal, check), options,
                          self._feedback(handle, kind.Feedback), has_tracing=has_tracing)
            result = self._conclude(handle, run, kind.Result())
            if has_tracing and run.outcome.trace is not None:
                result.trace = trace_to_msg(run.outcome.trace)
            return result

        self._servers.append(ActionServer(
            self._node, kind, f'~/{name}', execute_callback=execute, callback_group=self._group,
            # A goal that cannot be taken is accepted and ended at once: only a result carries a
            # number and a reason.
            goal_callback=lambda _: GoalResponse.ACCEPT,
            handle_accepted_callback=self._accepted, cancel_callback=self._cancelled))

    def silence(self) -> None:
        """Send no more feedback."""
        self._closing.set()

    def wait_answered(self, timeout_s: float) -> None:
        """Wait until every goal has its result."""
        with self._answered:
            self._answered.wait_for(lambda: self._answering == 0, timeout_s)
        time.sleep(0.1)  # rclpy sends a result only after its callback has returned

    def _accepted(self, handle: ServerGoalHandle) -> None:
        handle.robotracer_run = None
        handle.robotracer_cancel = threading.Event()
        handle.execute()

    def _cancelled(self, handle: ServerGoalHandle) -> CancelResponse:
        # Set by _accepted, which rclpy awaits before it looks at the next request of this server.
        handle.robotracer_cancel.set()
        run: GoalRun | None = handle.robotracer_run
        if run is not None:
            run.stop(CancelledError(f'cancelled by the client in phase {run.phase.name}'))
        return CancelResponse.ACCEPT

    def _feedback(self, handle: ServerGoalHandle, kind: Any) -> Callable[[GoalFeedback], None]:
        def publish(feedback: GoalFeedback) -> None:
            if handle.is_active and not self._closing.is_set():
                handle.publish_feedback(kind(
                    phase=int(feedback.phase), progress=float(min(1.0, feedback.progress)),
                    tracking_error=float(feedback.tracking_error),
                    clearance=float(feedback.clearance)))
        return publish

    def _conclude(self, handle: ServerGoalHandle, run: GoalRun, result: Any) -> Any:
        """Start the worker of a goal, wait for it, fill the result and set the goal's state."""
        with self._answered:
            self._answering += 1
        try:
            return self._answer(handle, run, result)
        finally:
            with self._answered:
                self._answering -= 1
                self._answered.notify_all()

    def _answer(self, handle: ServerGoalHandle, run: GoalRun, result: Any) -> Any:
        handle.robotracer_run = run
        if handle.robotracer_cancel.is_set():  # cancelled before there was anything to stop
            run.stop(CancelledError('cancelled by the client before it began'))
        threading.Thread(target=self._work, args=(run, handle.request.planner), name='goal',
                         daemon=True).start()
        run.done.wait()
        outcome = run.outcome
        self._fill(result, outcome)
        if outcome.error is None:
            handle.succeed()
        elif isinstance(outcome.error, CancelledError) and handle.robotracer_cancel.is_set():
            _set_cancelled(handle)
        else:
            handle.abort()
        return result

    def _fill(self, result: Any, outcome: Outcome) -> None:
        error, plan, figures = outcome.error, outcome.plan, outcome.figures
        if error is not None:
            result.error_code, result.error_msg = error.code, str(error)
        elif plan is not None and plan.partial_reason:
            result.error_msg = (f'partial: the plan ends before trace point '
                                f'{plan.failed_waypoint}: {plan.partial_reason}')
        result.failed_waypoint = outcome.failed_waypoint
        if plan is not None:
            frame, stamp = self._base_frame, outcome.planned_at_ns
            result.corrections = [correction_to_msg(c) for c in plan.corrections]
            result.tool_path = plan_to_tool_path(plan, frame, stamp)
            result.trajectory, result.phases = plan_to_trajectory(plan, frame, stamp)
        result.figures = figures_to_msg(
            plan, planning_time_s=outcome.planning_time_s,
            tracking_error_rms=figures.tracking_rms, tracking_error_max=figures.tracking_max,
            execution_time_s=figures.execution_time_s, recheck_rate=outcome.recheck_rate_hz,
            recheck_max_gap=outcome.recheck_max_gap_s)


def _set_cancelled(handle: ServerGoalHandle) -> None:
    # rclpy turns the goal to CANCELING only after our cancel callback has returned.
    deadline = time.monotonic() + 2.0
    while not handle.is_cancel_requested and time.monotonic() < deadline:
        time.sleep(0.005)
    if handle.is_cancel_requested:
        handle.canceled()
    else:
        handle.abort()
