# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The perception node: camera topics and a sentence in, a trace out.

A lifecycle node. Configure loads the model, activate subscribes, cleanup frees the model. Images
are only stored by callbacks; a worker thread runs the tracer plugin on the newest matched set. The
newest request wins, a deadline holds, and every failure is a numbered error in the response and in
the diagnostics.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from builtin_interfaces.msg import Duration
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.task import Future
from sensor_msgs.msg import Image
from std_msgs.msg import String
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

from robotracer_msgs.msg import Trace as TraceMsg
from robotracer_msgs.srv import ListCheckpoints, Measure, PredictTrace, Refer
from robotracer_ros.errors import (
    InvalidParameterError,
    NotActiveError,
    RefusedWhileMovingError,
    RobotracerError,
    TracerCancelledError,
)
from robotracer_ros.geometry.trace import Trace, TraceKind
from robotracer_ros.nodes.conversions import (
    duration_to_s,
    kind_from_msg,
    ns_to_stamp,
    rgb_to_image,
    s_to_duration,
    trace_point_to_msg,
    trace_to_msg,
)
from robotracer_ros.nodes.diagnostics import (
    DiagnosticsPublisher,
    ErrorLog,
    Level,
    Status,
    Window,
    as_error,
)
from robotracer_ros.nodes.parameters import NodeParameters
from robotracer_ros.nodes.perception_inputs import CameraInputs
from robotracer_ros.nodes.perception_parameters import (
    NODE_NAME,
    PARAMETERS,
    tracer_option_specs,
)
from robotracer_ros.nodes.plugins import Role, check_plugin
from robotracer_ros.nodes.qos import make_qos
from robotracer_ros.nodes.runner import run_node
from robotracer_ros.nodes.tracer_slot import TracerSlot
from robotracer_ros.nodes.transforms import TransformListener, TransformTree, parse_extrinsics
from robotracer_ros.nodes.worker import Job, NewestWorker
from robotracer_ros.tracer.base import (
    Budget,
    LengthAnswer,
    Observation,
    PointAnswer,
    check_instruction,
)
from robotracer_ros.viz.markers import trace_markers
from robotracer_ros.viz.overlay import draw_trace

T = TypeVar('T')

MAX_TIMEOUT_S = 3600.0
_SUCCESS, _FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class PerceptionNode(LifecycleNode):
    """Runs a tracer plugin on the newest camera images.

    Args:
        **node_options: As of ``rclpy.node.Node``.

    Raises:
        InvalidParameterError: a parameter override is out of range.
    """

    def __init__(self, **node_options: Any) -> None:
        super().__init__(NODE_NAME, **node_options)
        self._p = NodeParameters(self, PARAMETERS)
        options, self._unavailable = tracer_option_specs()
        self._p.declare(options)
        self._p.add_check(self._check_change)
        self._p.on_change(self._on_change)

        number = self._p.number
        self._tree = TransformTree(number('tf.cache_s'), number('tf.max_gap_s'),
                                   number('tf.max_extrapolation_s'))
        for parent, child, pose in parse_extrinsics(self._p.strings('tf.extrinsics')):
            self._tree.set_static(parent, child, pose)
        # One group per role. Services wait for the worker, so none may block another.
        self._service_group = ReentrantCallbackGroup()
        self._camera_group = MutuallyExclusiveCallbackGroup()
        self._tf = TransformListener(self, self._tree, MutuallyExclusiveCallbackGroup())
        self._inputs = CameraInputs(self, self._p, self._tree, self._camera_group)
        self._slot = TracerSlot(self._p)
        self._worker: NewestWorker | None = None
        self._active = False
        self._trace_publisher: Any = None
        self._overlay_publisher: Any = None
        self._marker_publisher: Any = None
        self._errors = ErrorLog()
        self._latency = Window()
        self._inference = Window()
        self._answers = 0

        for kind, name, callback in (
                (PredictTrace, '~/predict_trace', self._on_predict),
                (Refer, '~/refer', self._on_refer), (Measure, '~/measure', self._on_measure),
                (ListCheckpoints, '~/list_checkpoints', self._on_list),
                (Trigger, '~/cancel', self._on_cancel)):
            self.create_service(kind, name, callback, callback_group=self._service_group)
        self.create_subscription(String, '~/instruction', self._on_instruction,
                                 make_qos('reliable', 'volatile', 1),
                                 callback_group=self._service_group)
        self._diagnostics = DiagnosticsPublisher(
            self, (self._inputs.report, self._report_tracer, self._report_transforms),
            number('diagnostics.period_s'), MutuallyExclusiveCallbackGroup())

    # -- lifecycle --------------------------------------------------------------------------------

    def autostart(self) -> None:
        """Configure and activate when the parameter ``autostart`` says so."""
        if self._p.flag('autostart') and self.trigger_configure() == _SUCCESS:
            self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and create the publishers."""
        done = self._transition('configure', self._configure)
        if done != _SUCCESS:
            self._transition('clean up', self._free)  # it can be tried again
        return done

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the camera and accept requests."""
        return self._transition('activate', lambda: self._activate(state))

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Cancel what runs and unsubscribe; the model stays loaded."""
        return self._transition('deactivate', lambda: self._deactivate(state))

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model."""
        return self._transition('cleanup', self._free)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free everything."""
        return self._transition('shutdown', self._free)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything, so that configure can be tried again."""
        return self._transition('recover', self._free)

    def close(self) -> None:
        """Free everything; for the end of the process."""
        self._active = False
        if self._worker is not None:
            self._worker.close()
            self._worker = None
        self._slot.close()

    def _transition(self, name: str, action: Callable[[], None]) -> TransitionCallbackReturn:
        # rclpy swallows exceptions of transitions without a word.
        try:
            action()
        except Exception as e:
            error = as_error(e)
            self._errors.record(error)
            self.get_logger().error(f'{name} failed: {error.name} ({error.code}): {error}')
            if error is not e or (e.__cause__ is not None and error.code == RobotracerError.code):
                # A fault of ours or of a plugin: a report needs the place where it happened.
                self.get_logger().error(traceback.format_exc())
            self._diagnostics.publish()
            return _FAILURE
        return _SUCCESS

    def _configure(self) -> None:
        start = time.monotonic()
        self._slot.load()
        self._worker = NewestWorker('tracer')
        self._trace_publisher = self.create_lifecycle_publisher(
            TraceMsg, '~/trace', make_qos('reliable', 'volatile', 10))
        self._overlay_publisher = self.create_lifecycle_publisher(
            Image, '~/overlay', make_qos('reliable', 'volatile', 1))
        self._marker_publisher = self.create_lifecycle_publisher(
            MarkerArray, '~/markers', make_qos('reliable', 'volatile', 5))
        self._errors.clear()
        self.get_logger().info(f'tracer {self._slot.tracer.model_name} loaded in '
                               f'{time.monotonic() - start:.2f} s')

    def _activate(self, state: LifecycleState) -> None:
        super().on_activate(state)
        self._inputs.open()
        self._active = True

    def _deactivate(self, state: LifecycleState) -> None:
        self._active = False
        if self._worker is not None:
            self._worker.cancel(NotActiveError('the perception node was deactivated'))
        self._inputs.close()
        super().on_deactivate(state)

    def _free(self) -> None:
        self._active = False
        self._inputs.close()
        if self._worker is not None and not self._worker.close():
            self.get_logger().warning('the tracer did not stop within 5 s; its thread is left')
        self._worker = None
        self._slot.close()
        for publisher in (self._trace_publisher, self._overlay_publisher,
                          self._marker_publisher):
            if publisher is not None:
                self.destroy_lifecycle_publisher(publisher)
        self._trace_publisher = self._overlay_publisher = self._marker_publisher = None

    # -- parameters -------------------------------------------------------------------------------

    def _check_change(self, new: dict[str, Any]) -> None:
        if not any(self._concerns_tracer(name, new) for name in new):
            return
        check_plugin(Role.TRACER, str(new.get('tracer.plugin', self._p['tracer.plugin'])))
        if not self._slot.loaded:
            return
        if self._worker is not None and self._worker.busy:
            raise RefusedWhileMovingError(
                f'{", ".join(sorted(new))}: a prediction is running; wait for it or call '
                f'{self.get_fully_qualified_name()}/cancel first')
        self._slot.stage(new)

    def _concerns_tracer(self, name: str, new: dict[str, Any]) -> bool:
        plugin = new.get('tracer.plugin', self._p['tracer.plugin'])
        return name in ('tracer.plugin', 'tracer.checkpoint') or name.startswith(f'tracer.{plugin}.')

    def _on_change(self, new: dict[str, Any]) -> None:
        if self._slot.commit():
            self._errors.clear()
            self.get_logger().info(f'tracer is now {self._slot.tracer.model_name}')

    # -- requests ---------------------------------------------------------------------------------

    def _submit(self, work: Callable[[Budget], T], timeout: Duration | None,
                after: Callable[[T], None] | None = None) -> tuple[Job[T], Future[None]]:
        """Hand work to the worker; the future is done when the job is settled.

        Raises:
            NotActiveError: the node is not active.
            InvalidParameterError: the timeout is negative or longer than an hour.
        """
        if not self._active or self._worker is None:
            raise NotActiveError(f'{self.get_fully_qualified_name()} is not active: configure and '
                                 'activate it first')
        seconds = duration_to_s(timeout) if timeout is not None else 0.0
        if not 0.0 <= seconds <= MAX_TIMEOUT_S:
            raise InvalidParameterError(
                f'timeout {seconds:g} s: must be in 0 to {MAX_TIMEOUT_S:g}; 0 is the default')
        future: Future[None] = Future(executor=self.executor)
        start = time.monotonic()

        def settled(job: Job[T]) -> None:
            self._note(job.error, time.monotonic() - start)
            future.set_result(None)
            # The executor looks at waiting coroutines only when something wakes it.
            if (executor := self.executor) is not None:
                executor.create_task(lambda: None)

        job = Job(work, seconds or self._p.number('tracer.timeout_s'), settled, after)
        self._worker.submit(job)
        return job, future

    def _note(self, error: RobotracerError | None, seconds: float) -> None:
        if error is not None:
            self._errors.record(error)
            self.get_logger().warning(f'{error.name} ({error.code}): {error}')
        else:
            self._answers += 1
            self._latency.add(seconds)
            self._errors.clear()

    def _refuse(self, error: BaseException) -> RobotracerError:
        typed = as_error(error)
        self._note(typed, 0.0)
        return typed

    def _observe(self, budget: Budget) -> Observation:
        wait_s = min(self._p.number('input_wait_s'), budget.remaining_s)
        tf_s = min(self._p.number('tf.timeout_s'), budget.remaining_s)
        return self._inputs.observe(wait_s, tf_s, budget)

    def _predict(self, instruction: str, kind: TraceKind, timeout: Duration | None,
                 given: PredictTrace.Request | None = None
                 ) -> tuple[Job[tuple[Trace, Observation]], Future[None]]:
        instruction = check_instruction(instruction)

        def work(budget: Budget) -> tuple[Trace, Observation]:
            if given is not None:
                depth = given.depth if len(given.depth.data) else None
                observation = self._inputs.assemble(
                    given.image, depth, given.camera_info,
                    min(self._p.number('tf.timeout_s'), budget.remaining_s))
            else:
                observation = self._observe(budget)
            trace = self._slot.tracer.predict(observation, instruction, kind=kind, budget=budget)
            budget.check()
            self._inference.add(trace.inference_time_s)
            self._trace_publisher.publish(trace_to_msg(trace))
            return trace, observation

        return self._submit(work, timeout, self._draw)

    def _draw(self, answer: tuple[Trace, Observation]) -> None:
        """Publish markers and overlay while somebody looks at them."""
        trace, observation = answer
        try:
            if self._wanted(self._marker_publisher):
                self._marker_publisher.publish(trace_markers(trace))
            if self._wanted(self._overlay_publisher):
                self._overlay_publisher.publish(rgb_to_image(
                    draw_trace(observation.rgb, trace), trace.frame_id, trace.stamp_ns))
        except Exception as e:  # a picture that fails must not end the worker
            self._errors.record(as_error(e))
            self.get_logger().error(f'picture of a trace: {type(e).__name__}: {e}')

    @staticmethod
    def _wanted(publisher: Any) -> bool:
        return publisher is not None and publisher.get_subscription_count() > 0

    def _on_instruction(self, msg: String) -> None:
        try:
            self._predict(msg.data, TraceKind(self._p.integer('tracer.kind')), None)
        except Exception as e:  # the boundary of a topic: diagnostics and the log carry the error
            self._refuse(e)

    async def _on_predict(self, request: PredictTrace.Request,
                          response: PredictTrace.Response) -> PredictTrace.Response:
        try:
            given = request if len(request.image.data) else None
            job, done = self._predict(request.instruction, kind_from_msg(request.kind),
                                      request.timeout, given)
        except Exception as e:
            return _fail(response, self._refuse(e))
        await done
        if job.error is not None or job.value is None:
            return _fail(response, as_error(job.error or RuntimeError('no answer')))
        response.trace = trace_to_msg(job.value[0])
        response.success = True
        return response

    async def _on_refer(self, request: Refer.Request, response: Refer.Response) -> Refer.Response:
        try:
            target = check_instruction(request.target)

            def work(budget: Budget) -> tuple[PointAnswer, Observation]:
                observation = self._observe(budget)
                return self._slot.tracer.refer(observation, target, budget=budget), observation
            job, done = self._submit(work, request.timeout)
        except Exception as e:
            return _fail(response, self._refuse(e))
        await done
        if job.error is not None or job.value is None:
            return _fail(response, as_error(job.error or RuntimeError('no answer')))
        answer, observation = job.value
        response.success = True
        response.header.frame_id = observation.frame_id
        response.header.stamp = ns_to_stamp(observation.stamp_ns)
        response.point = trace_point_to_msg(answer.point, observation.camera)
        response.model = answer.model
        response.inference_time = s_to_duration(answer.inference_time_s)
        return response

    async def _on_measure(self, request: Measure.Request,
                          response: Measure.Response) -> Measure.Response:
        try:
            target = check_instruction(request.target)

            def work(budget: Budget) -> LengthAnswer:
                return self._slot.tracer.measure(self._observe(budget), target, budget=budget)
            job, done = self._submit(work, request.timeout)
        except Exception as e:
            return _fail(response, self._refuse(e))
        await done
        if job.error is not None or job.value is None:
            return _fail(response, as_error(job.error or RuntimeError('no answer')))
        response.success = True
        response.value, response.text = job.value.metres, job.value.text
        response.model = job.value.model
        response.inference_time = s_to_duration(job.value.inference_time_s)
        return response

    def _on_list(self, request: ListCheckpoints.Request,
                 response: ListCheckpoints.Response) -> ListCheckpoints.Response:
        try:
            tracer = self._slot.tracer if self._slot.loaded else self._slot.unloaded()
            found = tracer.checkpoints()
            response.loaded = tracer.checkpoint if self._slot.loaded else ''
        except Exception as e:  # this service has no error field: the log and diagnostics do
            self._refuse(e)
            return response
        response.names = [c.name for c in found]
        response.paths = [c.path for c in found]
        response.bytes = [c.size_bytes for c in found]
        return response

    def _on_cancel(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        count = 0
        if self._worker is not None:
            count = self._worker.cancel(TracerCancelledError('cancelled through ~/cancel'))
        response.success = count > 0
        response.message = f'{count} prediction(s) cancelled'
        return response

    # -- diagnostics ------------------------------------------------------------------------------

    def _report_tracer(self) -> tuple[str, Status]:
        status = Status()
        worker = self._worker
        status.values = {
            'active': self._active,
            'plugin': self._p.string('tracer.plugin'),
            'model': self._slot.tracer.model_name if self._slot.loaded else '',
            'busy': worker.busy if worker is not None else False,
            'answers': self._answers,
            'preempted': worker.preempted if worker is not None else 0,
            'discarded': worker.discarded if worker is not None else 0,
            **self._latency.figures('latency_ms', 1e3),
            **self._inference.figures('inference_ms', 1e3),
        }
        for name, why in self._unavailable.items():
            status.values[f'unavailable_{name}'] = why
        if not self._active:
            status.message = 'not active'
        self._errors.report(status)
        return 'tracer', status

    def _report_transforms(self) -> tuple[str, Status]:
        status = Status(values={'listening': self._tf.available, 'bad': self._tf.bad,
                                'frames': ' '.join(self._tree.frames())})
        if not self._tf.available:
            status.message = self._tree.hint
            if self._p.string('gravity_frame'):
                status.raise_to(Level.WARN, self._tree.hint)
        if self._tf.bad:
            status.raise_to(Level.WARN, f'bad transforms ignored: {self._tf.last_bad}')
        return 'transforms', status


def _fail(response: T, error: RobotracerError) -> T:
    answer: Any = response
    answer.success = False
    answer.error_code = error.code
    answer.error_msg = str(error)
    return response


def main(args: Sequence[str] | None = None) -> int:
    """Run the perception node as a process."""
    return run_node(PerceptionNode, args)


if __name__ == '__main__':
    sys.exit(main())
