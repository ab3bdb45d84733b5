# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Send an instruction to the planner node and follow what becomes of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from action_msgs.msg import GoalStatus
from rclpy.action import ActionClient
from rclpy.action.client import ClientGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.task import Future

from robotracer_msgs.action import ExecuteInstruction
from robotracer_ros.planning.base import Phase


@dataclass(frozen=True)
class Progress:
    """One feedback of a running instruction."""

    phase: Phase
    progress: float
    tracking_error: float
    clearance: float


class InstructionClient:
    """One instruction at a time, from any thread; callbacks come from the node's executor.

    Args:
        node: Node that carries the action client.
        action: Name of the ExecuteInstruction action.
        on_progress: Called with each feedback.
    """

    def __init__(
        self,
        node: Node,
        action: str = '/planner/execute_instruction',
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._client = ActionClient(
            node, ExecuteInstruction, action, callback_group=ReentrantCallbackGroup()
        )
        self._on_progress = on_progress
        self._lock = threading.Lock()
        self._handle: ClientGoalHandle | None = None
        self._done = threading.Event()
        self._cancel_asked = False
        self._status = GoalStatus.STATUS_UNKNOWN
        self._result: ExecuteInstruction.Result | None = None

    def wait_for_server(self, timeout_s: float) -> bool:
        """Return whether a planner node answers within that time."""
        return bool(self._client.wait_for_server(timeout_sec=timeout_s))

    def send(self, instruction: str) -> None:
        """Send an instruction; :meth:`wait` gives its result."""
        with self._lock:
            self._done.clear()
            self._handle, self._result, self._cancel_asked = None, None, False
            self._status = GoalStatus.STATUS_UNKNOWN
        future = self._client.send_goal_async(
            ExecuteInstruction.Goal(instruction=instruction), feedback_callback=self._feedback
        )
        future.add_done_callback(self._accepted)

    def cancel(self) -> None:
        """Ask for the running instruction to be cancelled; the robot then comes to rest."""
        with self._lock:
            self._cancel_asked = True
            handle = self._handle
        if handle is not None:
            handle.cancel_goal_async()

    def wait(self, timeout_s: float) -> bool:
        """Wait at most that long; return whether the instruction has ended."""
        return self._done.wait(timeout_s)

    @property
    def result(self) -> ExecuteInstruction.Result | None:
        """The result, or None when the goal was rejected or has not ended."""
        return self._result

    @property
    def rejected(self) -> bool:
        """Whether the planner node did not take the goal: it is busy or not active."""
        return self._done.is_set() and self._result is None

    @property
    def succeeded(self) -> bool:
        """Whether the goal ended well."""
        return self._status == GoalStatus.STATUS_SUCCEEDED

    def _accepted(self, future: Future) -> None:
        handle = future.result()
        if not handle.accepted:
            self._done.set()
            return
        with self._lock:
            self._handle = handle
            cancel = self._cancel_asked
        if cancel:
            handle.cancel_goal_async()
        handle.get_result_async().add_done_callback(self._ended)

    def _ended(self, future: Future) -> None:
        response = future.result()
        self._status, self._result = response.status, response.result
        self._done.set()

    def _feedback(self, message: ExecuteInstruction.Impl.FeedbackMessage) -> None:
        if self._on_progress is not None:
            f = message.feedback
            self._on_progress(Progress(Phase(f.phase), f.progress, f.tracking_error, f.clearance))
