# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The planner node: actions in, checked motion out, one goal at a time, at rest when in doubt."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.executors import MultiThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from visualization_msgs.msg import MarkerArray

from robotracer_msgs.action import ExecuteInstruction, FollowTrace
from robotracer_msgs.msg import Trace as TraceMsg
from robotracer_msgs.srv import PredictTrace
from robotracer_ros.control.base import Controller
from robotracer_ros.errors import (
    BusyError,
    CancelledError,
    ControllerLostError,
    NotActiveError,
    PreemptedError,
    RefusedWhileMovingError,
    RobotracerError,
    TracerBackendError,
    TracerTimeoutError,
    error_from_code,
)
from robotracer_ros.geometry.trace import Trace
from robotracer_ros.nodes.conversions import (
    correction_to_msg,
    figures_to_msg,
    kind_from_msg,
    plan_to_tool_path,
    plan_to_trajectory,
    trace_from_msg,
    trace_to_msg,
)
from robotracer_ros.nodes.diagnostics import (
    DiagnosticsPublisher,
    ErrorLog,
    Level,
    Status,
)
from robotracer_ros.nodes.execution import (
    GoalFeedback,
    GoalRun,
    HeldObject,
    Options,
    Outcome,
    RecheckFigures,
    Rules,
)
from robotracer_ros.nodes.parameters import NodeParameters
from robotracer_ros.nodes.planner_parameters import NODE_NAME, PARAMETERS, plugin_option_specs
from robotracer_ros.nodes.plugin_set import PluginSet
from robotracer_ros.nodes.plugins import Role, check_plugin
from robotracer_ros.nodes.qos import make_qos
from robotracer_ros.nodes.robot_port import TopicRobotPort
from robotracer_ros.nodes.runner import run_node
from robotracer_ros.nodes.scene_input import DepthView, SceneInput
from robotracer_ros.nodes.stamps import s_to_duration
from robotracer_ros.planning.base import Planner, TimedPlan
from robotracer_ros.tracer.base import check_instruction
from robotracer_ros.viz.markers import plan_markers

PlanListener = Callable[[Trace, TimedPlan, DepthView, Planner], None]

#: longest wait for a stopped goal to end: brake, settle, and a planner that cannot be interrupted
_STOP_S = 15.0


class PlannerNode(LifecycleNode):
    """Plan along traces and move the robot. Callbacks only hand over; a thread per goal works.

    ``plan_listeners`` are called with (trace, plan, depth view, planner) for every finished plan,
    in the goal's thread and before anything moves: the place for recorders.
    """

    def __init__(self, **node_options: Any) -> None:
        super().__init__(NODE_NAME, **node_options)
        self._p = NodeParameters(self, PARAMETERS)
        specs, self._unavailable = plugin_option_specs()
        self._p.declare(specs)
        self._p.add_check(self._check_change)
        self.plan_listeners: list[PlanListener] = []
        self._plugins = PluginSet(self._p)
        self._markers: Any = None
        self._port: TopicRobotPort | None = None
        self._scene: SceneInput | None = None
        self._active = False
        self._closing = threading.Event()
        self._slot = threading.Condition()
        self._current: GoalRun | None = None
        self._swapping = False
        self._answering = 0
        self._errors = ErrorLog()
        self._recheck = RecheckFigures()
        self._held = HeldObject()
        self._ended: dict[str, int] = {'succeeded': 0, 'failed': 0, 'refused': 0}
        self._last_outcome: Outcome | None = None
        waiting = ReentrantCallbackGroup()  # goal callbacks wait for their worker
        self._predict = self.create_client(
            PredictTrace, self._p.string('predict_trace_service'),
            callback_group=MutuallyExclusiveCallbackGroup())
        self._servers = [
            self._action(FollowTrace, 'follow_trace', self._follow, waiting),
            self._action(ExecuteInstruction, 'execute_instruction', self._instruct, waiting)]
        if self._p.flag('follow_topic'):
            self.create_subscription(TraceMsg, '~/trace', self._on_trace, make_qos(depth=1),
                                     callback_group=MutuallyExclusiveCallbackGroup())
        self._diagnostics = DiagnosticsPublisher(
            self, [self._report_goal, self._report_inputs, self._report_recheck],
            self._p.number('diagnostics.period_s'), MutuallyExclusiveCallbackGroup())
        for name, why in self._unavailable.items():
            self.get_logger().debug(f'plugin {name} is not available: {why}')

    # -- lifecycle --------------------------------------------------------------------------------

    def autostart(self) -> None:
        """Configure and activate when the parameter says so."""
        if self._p.flag('autostart') and (
                self.trigger_configure() == TransitionCallbackReturn.SUCCESS):
            self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load plugins, subscribe to camera and robot."""
        try:
            self._plugins.load()
            self._port = TopicRobotPort(self, self._p)
            self._scene = SceneInput(self, self._p)
            self._markers = self.create_lifecycle_publisher(
                MarkerArray, '~/markers', make_qos('reliable', 'volatile', 5))
        except RobotracerError as e:
            self._fault(e, 'configure failed')
            self._release()
            return TransitionCallbackReturn.FAILURE
        self._errors.clear()
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take goals. The robot is not touched before the first one moves."""
        self._active = True
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the robot and take no more goals."""
        self._active = False
        stopped = self._stop_current(CancelledError('the planner node was deactivated'))
        self._plugins.disconnect()
        result = super().on_deactivate(state)
        return result if stopped else TransitionCallbackReturn.ERROR

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free plugins and subscriptions."""
        self._release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the robot and free everything."""
        self.stop_robot('the planner node shuts down')
        self._release()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the robot, free everything, be unconfigured."""
        self.stop_robot('the planner node failed')
        self._release()
        return super().on_error(state)

    def stop_robot(self, why: str) -> None:
        """End the running goal with the robot at rest; returns when it rests."""
        self._active = False
        self._stop_current(CancelledError(f'cancelled: {why}'))
        self._plugins.disconnect()

    def halt(self) -> None:
        """Stop the robot and give clients their results; called while the executor still spins."""
        self._closing.set()
        self.stop_robot('the planner node shuts down')
        with self._slot:
            self._slot.wait_for(lambda: self._answering == 0, 1.0)
        time.sleep(0.1)  # rclpy sends a result only after its callback has returned

    def _release(self) -> None:
        self._plugins.close()
        if self._scene is not None:
            self._scene.close()
        if self._port is not None:
            self._port.close()
        if self._markers is not None:
            self.destroy_lifecycle_publisher(self._markers)
        self._scene = self._port = self._markers = None

    # -- one goal at a time -----------------------------------------------------------------------

    def _enter(self, run: GoalRun) -> None:
        """Make a goal the current one. Raises NotActiveError, BusyError, or what stopped it."""
        with self._slot:
            while True:
                if not self._active:
                    raise NotActiveError('the planner node is not active: configure and activate '
                                         'it first')
                run.check()
                if self._current is None and not self._swapping:
                    self._current = run
                    return
                if self._current is not None:
                    if not self._p.flag('preempt'):
                        raise BusyError('another goal is running, in phase '
                                        f'{self._current.phase.name}; set preempt to replace it')
                    self._current.stop(PreemptedError('a newer goal replaced this one in phase '
                                                      f'{self._current.phase.name}'))
                self._slot.wait(0.05)

    def _leave(self, run: GoalRun) -> None:
        with self._slot:
            if self._current is run:
                self._current = None
            self._slot.notify_all()

    def _stop_current(self, error: RobotracerError) -> bool:
        """Stop the running goal; return whether it ended in time."""
        with self._slot:
            run = self._current
        if run is None:
            return True
        run.stop(error)
        return run.done.wait(_STOP_S)

    def _work(self, run: GoalRun, planner_name: str) -> Outcome:
        """Carry a goal out, in the worker's thread."""
        try:
            self._enter(run)
        except RobotracerError as e:
            run.outcome.error = e
            self._ended['refused'] += 1
            run.done.set()
            return run.outcome
        try:
            port, scene = self._port, self._scene
            assert port is not None and scene is not None  # active implies configured

            def controller() -> Controller:
                port.check_commands()
                return self._plugins.controller(port)

            outcome = run.run(lambda: self._plugins.planner(planner_name), controller, port, scene,
                              self._rules(), self._recheck, self._publish_plan, self._held)
            if isinstance(outcome.error, ControllerLostError):
                self._plugins.disconnect()
            self._last_outcome = outcome
            self._ended['failed' if outcome.error else 'succeeded'] += 1
            if outcome.error is None:
                self._errors.clear()
            else:
                self._fault(outcome.error, f'goal ended in phase {run.phase.name}')
            return outcome
        finally:
            self._leave(run)
            run.done.set()

    def _rules(self) -> Rules:
        number = self._p.number
        return Rules(
            max_tcp_speed=number('max_tcp_speed'), max_trace_age_s=number('max_trace_age_s'),
            max_state_age_s=number('robot.max_state_age_s'),
            recheck_period_s=1.0 / number('recheck.rate_hz'),
            recheck_max_gap_s=number('recheck.max_gap_s'),
            min_clearance_m=number('recheck.min_clearance_m'),
            confirmations=self._p.integer('recheck.confirmations'),
            min_object_m=number('grasp.min_object_m'), max_closing_m=number('grasp.max_closing_m'),
            grip_timeout_s=number('grasp.timeout_s'),
            feedback_period_s=number('feedback_period_s'))

    def _publish_plan(self, trace: Trace, plan: TimedPlan, view: DepthView,
                      planner: Planner) -> None:
        """Show a finished plan to those who look, and hand it to the listeners."""
        for listener in (self._show_plan, *self.plan_listeners):
            try:
                listener(trace, plan, view, planner)
            except Exception as e:  # a picture that fails must not fail the motion
                self.get_logger().error(f'plan listener failed: {type(e).__name__}: {e}')

    def _show_plan(self, trace: Trace, plan: TimedPlan, view: DepthView, planner: Planner) -> None:
        if self._markers is not None and self._markers.get_subscription_count():
            self._markers.publish(plan_markers(plan, self._p.string('base_frame'), view.stamp_ns))

    # -- actions ----------------------------------------------------------------------------------

    def _action(self, kind: Any, name: str, execute: Callable[[ServerGoalHandle], Any],
                group: ReentrantCallbackGroup) -> ActionServer:
        return ActionServer(
            self, kind, f'~/{name}', execute_callback=execute, callback_group=group,
            # A goal that cannot be taken is accepted and ended at once: only a result carries a
            # number and a reason.
            goal_callback=lambda _: GoalResponse.ACCEPT,
            handle_accepted_callback=self._accepted, cancel_callback=self._cancelled)

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

    def _follow(self, handle: ServerGoalHandle) -> FollowTrace.Result:
        goal = handle.request
        run = GoalRun(lambda _: trace_from_msg(goal.trace), _options(goal),
                      self._feedback(handle, FollowTrace.Feedback))
        return self._conclude(handle, run, goal.planner, FollowTrace.Result())

    def _instruct(self, handle: ServerGoalHandle) -> ExecuteInstruction.Result:
        goal = handle.request
        run = GoalRun(lambda check: self._ask_tracer(goal, check), _options(goal),
                      self._feedback(handle, ExecuteInstruction.Feedback), has_tracing=True)
        result = self._conclude(handle, run, goal.planner, ExecuteInstruction.Result())
        if run.outcome.trace is not None:
            result.trace = trace_to_msg(run.outcome.trace)
        return result

    def _feedback(self, handle: ServerGoalHandle, kind: Any) -> Callable[[GoalFeedback], None]:
        def publish(feedback: GoalFeedback) -> None:
            if handle.is_active and not self._closing.is_set():
                handle.publish_feedback(kind(
                    phase=int(feedback.phase), progress=float(min(1.0, feedback.progress)),
                    tracking_error=float(feedback.tracking_error),
                    clearance=float(feedback.clearance)))
        return publish

    def _conclude(self, handle: ServerGoalHandle, run: GoalRun, planner: str, result: Any) -> Any:
        """Start the worker of a goal, wait for it, fill the result and set the goal's state."""
        with self._slot:
            self._answering += 1
        try:
            return self._answer(handle, run, planner, result)
        finally:
            with self._slot:
                self._answering -= 1
                self._slot.notify_all()

    def _answer(self, handle: ServerGoalHandle, run: GoalRun, planner: str, result: Any) -> Any:
        handle.robotracer_run = run
        if handle.robotracer_cancel.is_set():  # cancelled before there was anything to stop
            run.stop(CancelledError('cancelled by the client before it began'))
        worker = threading.Thread(target=self._work, args=(run, planner), name='goal', daemon=True)
        worker.start()
        run.done.wait()
        outcome = run.outcome
        self._fill(result, outcome)
        if outcome.error is None:
            handle.succeed()
        elif isinstance(outcome.error, CancelledError) and handle.robotracer_cancel.is_set():
            self._set_cancelled(handle)
        else:
            handle.abort()
        return result

    def _set_cancelled(self, handle: ServerGoalHandle) -> None:
        # rclpy turns the goal to CANCELING only after our cancel callback has returned.
        deadline = time.monotonic() + 2.0
        while not handle.is_cancel_requested and time.monotonic() < deadline:
            time.sleep(0.005)
        if handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.abort()

    def _fill(self, result: Any, outcome: Outcome) -> None:
        error, plan, figures = outcome.error, outcome.plan, outcome.figures
        if error is not None:
            result.error_code, result.error_msg = error.code, str(error)
        result.failed_waypoint = outcome.failed_waypoint
        if plan is not None:
            frame = self._p.string('base_frame')
            stamp = outcome.planned_at_ns
            result.corrections = [correction_to_msg(c) for c in plan.corrections]
            result.tool_path = plan_to_tool_path(plan, frame, stamp)
            result.trajectory, result.phases = plan_to_trajectory(plan, frame, stamp)
        result.figures = figures_to_msg(
            plan, planning_time_s=outcome.planning_time_s,
            tracking_error_rms=figures.tracking_rms, tracking_error_max=figures.tracking_max,
            execution_time_s=figures.execution_time_s)

    # -- the tracer -------------------------------------------------------------------------------

    def _ask_tracer(self, goal: ExecuteInstruction.Goal, check: Callable[[], None]) -> Trace:
        """Ask the perception node for a trace; the goal's thread waits, the executor answers."""
        request = PredictTrace.Request(
            instruction=check_instruction(goal.instruction), kind=int(kind_from_msg(goal.kind)))
        timeout_s = self._p.number('trace_timeout_s')
        request.timeout = s_to_duration(timeout_s)
        service = self._predict.srv_name
        deadline = time.monotonic() + 2.0
        while not self._predict.service_is_ready():
            check()
            if time.monotonic() > deadline:
                raise TracerBackendError(f"no perception node answers on service '{service}' "
                                         'within 2 s: is it running and active?')
            time.sleep(0.02)
        answered = threading.Event()
        future = self._predict.call_async(request)
        future.add_done_callback(lambda _: answered.set())
        # The service keeps the deadline itself; the margin is for its way here.
        deadline = time.monotonic() + timeout_s + 2.0
        try:
            while not answered.wait(0.01):
                check()
                if time.monotonic() > deadline:
                    raise TracerTimeoutError(f"service '{service}' did not answer within "
                                             f'{timeout_s + 2.0:.1f} s', timeout_s=timeout_s)
        finally:
            self._predict.remove_pending_request(future)
        response = future.result()
        if not response.success:
            raise error_from_code(response.error_code, response.error_msg)
        return trace_from_msg(response.trace)

    # -- traces from the topic --------------------------------------------------------------------

    def _on_trace(self, msg: TraceMsg) -> None:
        def work() -> None:
            run = GoalRun(lambda _: trace_from_msg(msg), Options(), lambda _: None)
            outcome = self._work(run, '')
            if outcome.error is not None:
                self.get_logger().warning(f'trace from the topic not followed: '
                                          f'{outcome.error.name}: {outcome.error}')
        threading.Thread(target=work, name='trace goal', daemon=True).start()

    # -- parameters -------------------------------------------------------------------------------

    def _check_change(self, new: dict[str, Any]) -> None:
        """Swap plugins when parameters of theirs change. Raises when moving or not loadable."""
        changes = {n: v for n, v in new.items()
                   if n.startswith(('planner.', 'controller.')) and v != self._p[n]}
        if not changes:
            return
        for role in (Role.PLANNER, Role.CONTROLLER):
            if f'{role.value}.plugin' in changes:
                check_plugin(role, str(changes[f'{role.value}.plugin']))
        with self._slot:
            if self._current is not None or self._swapping:
                phase = self._current.phase.name if self._current is not None else 'PLANNING'
                raise RefusedWhileMovingError(
                    f'{", ".join(sorted(changes))} cannot change while a goal is running (phase '
                    f'{phase}): cancel it or wait for its end')
            self._swapping = True
        try:
            self._plugins.swap(changes)
        finally:
            with self._slot:
                self._swapping = False
                self._slot.notify_all()

    # -- diagnostics ------------------------------------------------------------------------------

    def _fault(self, error: RobotracerError, what: str) -> None:
        self._errors.record(error)
        text = f'{what}: {error.name} ({error.code}): {error}'
        if error.__cause__ is not None and error.code == RobotracerError.code:
            # A fault of ours: the place where it happened is what a report needs.
            self.get_logger().error('\n'.join([text, *traceback.format_exception(error.__cause__)]))
        else:
            self.get_logger().warning(text)

    def _report_goal(self) -> tuple[str, Status]:
        run, last = self._current, self._last_outcome
        status = Status(message='idle' if run is None else run.phase.name, values={
            'active': self._active, 'phase': run.phase.name if run is not None else 'NONE',
            'planner.plugin': self._p.string('planner.plugin'),
            'controller.plugin': self._p.string('controller.plugin'), **self._ended})
        if last is not None:
            status.values.update({
                'planning_time_s': last.planning_time_s,
                'execution_time_s': last.figures.execution_time_s,
                'tracking_error_max': last.figures.tracking_max, 'stalls': last.figures.stalls,
                'slowest_rate': last.figures.slowest_rate})
        for name, why in self._unavailable.items():
            status.values[f'unavailable {name}'] = why
        self._errors.report(status)
        return 'goal', status

    def _report_inputs(self) -> tuple[str, Status]:
        port, scene = self._port, self._scene
        if port is None or scene is None:
            return 'inputs', Status(Level.STALE, 'not configured')
        status = Status(values={
            'joint_states_hz': port.rate.rate_hz, 'joint_states_age_s': port.state_age_s,
            'joint_states_bad': port.bad, 'depth_hz': scene.depth_rate.rate_hz,
            'depth_age_s': scene.depth_age_s, 'trajectories_sent': port.sent})
        if port.state_age_s > self._p.number('robot.max_state_age_s'):
            status.raise_to(Level.WARN, 'joint states are missing or old')
        if scene.depth_age_s > self._p.number('depth.max_age_s'):
            status.raise_to(Level.WARN, 'depth is missing or old')
        return 'inputs', status

    def _report_recheck(self) -> tuple[str, Status]:
        figures = self._recheck
        return 'recheck', Status(values={
            'count': figures.rate.count, 'rate_hz': figures.rate.rate_hz,
            'clearance_m': figures.clearance, **figures.duration_s.figures('duration_s')})


def _options(goal: Any) -> Options:
    return Options(bool(goal.plan_only), bool(goal.allow_partial), float(goal.max_tcp_speed))


def main(args: Sequence[str] | None = None) -> int:
    """Run the planner node as a process; at its end the robot is at rest."""
    return run_node(PlannerNode, args, lambda: MultiThreadedExecutor(num_threads=6))


if __name__ == '__main__':
    sys.exit(main())
