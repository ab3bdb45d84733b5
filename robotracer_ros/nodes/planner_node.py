# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The planner node: actions in, checked motion out, one goal at a time, at rest when in doubt."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.executors import MultiThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from visualization_msgs.msg import MarkerArray

from robotracer_msgs.action import ExecuteInstruction, FollowTrace
from robotracer_msgs.msg import Trace as TraceMsg
from robotracer_ros.control.base import Controller
from robotracer_ros.errors import CancelledError, ControllerLostError, RobotracerError
from robotracer_ros.geometry.trace import Trace
from robotracer_ros.nodes.conversions import trace_from_msg
from robotracer_ros.nodes.diagnostics import (
    DiagnosticsPublisher,
    ErrorLog,
    Level,
    Status,
)
from robotracer_ros.nodes.execution import (
    GoalRun,
    HeldObject,
    Options,
    Outcome,
    Rules,
)
from robotracer_ros.nodes.goal_server import GoalServer
from robotracer_ros.nodes.goal_slot import GoalSlot
from robotracer_ros.nodes.parameters import NodeParameters
from robotracer_ros.nodes.path_watch import RecheckFigures, RecheckRules
from robotracer_ros.nodes.planner_parameters import NODE_NAME, PARAMETERS, plugin_option_specs
from robotracer_ros.nodes.plugin_set import PluginSet
from robotracer_ros.nodes.plugins import Role, check_plugin
from robotracer_ros.nodes.qos import make_qos
from robotracer_ros.nodes.robot_port import TopicRobotPort
from robotracer_ros.nodes.runner import run_node
from robotracer_ros.nodes.scene_input import DepthView, SceneInput
from robotracer_ros.nodes.trace_client import TraceClient
from robotracer_ros.planning.base import Planner, TimedPlan
from robotracer_ros.viz.markers import plan_markers

PlanListener = Callable[[Trace, TimedPlan, DepthView, Planner], None]


class PlannerNode(LifecycleNode):
    """Plan along traces and move the robot.

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
        self._slot = GoalSlot(lambda: self._p.flag('preempt'))
        self._errors = ErrorLog()
        self._recheck = RecheckFigures()
        self._held = HeldObject()
        self._ended: dict[str, int] = {'succeeded': 0, 'failed': 0, 'refused': 0}
        self._last_outcome: Outcome | None = None
        self._tracer = TraceClient(self, self._p.string('predict_trace_service'))
        self._goals = GoalServer(self, self._work, self._p.string('base_frame'))
        self._goals.serve(FollowTrace, 'follow_trace', lambda goal, _: trace_from_msg(goal.trace))
        self._goals.serve(ExecuteInstruction, 'execute_instruction', self._ask_tracer,
                          has_tracing=True)
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
        self._slot.open()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the robot and take no more goals."""
        stopped = self._slot.close(CancelledError('the planner node was deactivated'))
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
        self._slot.close(CancelledError(f'cancelled: {why}'))
        self._plugins.disconnect()

    def halt(self) -> None:
        """Stop the robot and give clients their results; called while the executor still spins."""
        self._goals.silence()
        self.stop_robot('the planner node shuts down')
        self._goals.wait_answered(1.0)

    def _release(self) -> None:
        self._plugins.close()
        if self._scene is not None:
            self._scene.close()
        if self._port is not None:
            self._port.close()
        if self._markers is not None:
            self.destroy_lifecycle_publisher(self._markers)
        self._scene = self._port = self._markers = None

    # -- goals ------------------------------------------------------------------------------------

    def _work(self, run: GoalRun, planner_name: str) -> Outcome:
        """Carry a goal out, in the worker's thread."""
        try:
            self._slot.enter(run)
        except RobotracerError as e:
            run.outcome.error = e
            self._ended['refused'] += 1
            run.done.set()
            return run.outcome
        try:
            port, scene = self._port, self._scene
            assert port is not None and scene is not None  # goals are taken only when configured

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
            self._slot.leave(run)
            run.done.set()

    def _rules(self) -> Rules:
        number = self._p.number
        return Rules(
            max_tcp_speed=number('max_tcp_speed'), max_trace_age_s=number('max_trace_age_s'),
            max_state_age_s=number('robot.max_state_age_s'),
            recheck=RecheckRules(
                period_s=1.0 / number('recheck.rate_hz'), max_gap_s=number('recheck.max_gap_s'),
                min_clearance_m=number('recheck.min_clearance_m'),
                confirmations=self._p.integer('recheck.confirmations')),
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

    # -- where traces come from -------------------------------------------------------------------

    def _ask_tracer(self, goal: ExecuteInstruction.Goal, check: Callable[[], None]) -> Trace:
        return self._tracer.ask(goal.instruction, goal.kind, self._p.number('trace_timeout_s'),
                                check)

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
        with self._slot.kept_empty(', '.join(sorted(changes))):
            self._plugins.swap(changes)

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
        run, last = self._slot.current, self._last_outcome
        status = Status(message='idle' if run is None else run.phase.name, values={
            'active': self._slot.is_open, 'phase': run.phase.name if run is not None else 'NONE',
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


def main(args: Sequence[str] | None = None) -> int:
    """Run the planner node as a process; at its end the robot is at rest."""
    return run_node(PlannerNode, args, lambda: MultiThreadedExecutor(num_threads=6))


if __name__ == '__main__':
    sys.exit(main())
