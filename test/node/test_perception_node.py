# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the perception node does when things go right, and how it is steered."""

import gc
import signal
import subprocess
import sys
import threading
import types
import weakref
from importlib import metadata
from typing import ClassVar

import numpy as np
import pytest
from builtin_interfaces.msg import Duration
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from perception_rig import (
    CAMERA,
    DEPTH,
    FRAME,
    GOOD,
    RGB,
    Rig,
    wait_for,
    write_answers,
)
from rcl_interfaces.msg import Log
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import String
from visualization_msgs.msg import MarkerArray

from robotracer_ros.errors import TracerBackendError
from robotracer_ros.geometry.transforms import make_transform, rotation_about
from robotracer_ros.nodes import plugins
from robotracer_ros.nodes.conversions import (
    camera_to_info,
    depth_to_image,
    duration_to_s,
    encode_rgb,
    image_to_rgb,
    stamp_to_ns,
    trace_from_msg,
)
from robotracer_ros.nodes.transforms import format_extrinsic
from robotracer_ros.tracer.base import Checkpoint
from robotracer_ros.tracer.replay import ReplayTracer


@pytest.fixture
def make_rig(ros, tmp_path):
    rigs = []

    def make(**options):
        rigs.append(Rig(write_answers(tmp_path), **options))
        return rigs[-1]
    yield make
    for rig in rigs:
        rig.close()


class Probe(ReplayTracer):
    """A replay tracer that shows what it was given, for tests of what lies around it."""

    instances: ClassVar[weakref.WeakSet] = weakref.WeakSet()
    seen: ClassVar[list] = []

    def __init__(self, path: str, delay_s: float = 0.0, fail: bool = False,
                 checkpoint: str = 'small') -> None:
        super().__init__(path, delay_s)
        self.fail, self._checkpoint = fail, checkpoint
        self.instances.add(self)

    def load(self):
        if self._checkpoint not in ('small', 'large'):
            raise TracerBackendError(f"no memory for '{self._checkpoint}'")
        super().load()

    @property
    def checkpoint(self):
        return self._checkpoint

    def checkpoints(self):
        return tuple(Checkpoint(n, f'models/{n}', 1000) for n in ('small', 'large'))

    def predict(self, observation, instruction, **options):
        if self.fail:
            raise MemoryError('out of memory')
        self.seen.append(observation)
        return super().predict(observation, instruction, **options)


@pytest.fixture
def probe(monkeypatch):
    """Install :class:`Probe` as tracer plugin 'probe' beside the real ones."""
    module = types.ModuleType('probe_plugin')
    module.Probe = Probe
    Probe.seen.clear()
    monkeypatch.setitem(sys.modules, 'probe_plugin', module)
    real, group = metadata.entry_points, plugins.Role.TRACER.entry_points
    entry = metadata.EntryPoint('probe', 'probe_plugin:Probe', group)
    monkeypatch.setattr(plugins.metadata, 'entry_points', lambda **q: (
        [*real(**q), entry] if q.get('group') == group else real(**q)))
    return Probe


def test_a_trace_keeps_stamp_frame_and_intrinsics_of_its_image(make_rig):
    rig = make_rig()
    stamp = rig.shoot()
    response = rig.ask('predict', instruction=GOOD, kind=2)
    assert response.success, response.error_msg
    assert (response.error_code, response.error_msg) == (0, '')
    trace = trace_from_msg(response.trace)
    assert (trace.stamp_ns, trace.frame_id, trace.camera) == (stamp, FRAME, CAMERA)
    assert (trace.instruction, int(trace.kind)) == (GOOD, 2)
    np.testing.assert_allclose(trace.points[0], (200, 600, 0.9))
    assert trace.metric_scale == 1.5
    assert trace.reasoning[1].target == 'the red mug'
    published = wait_for(lambda: rig.traces)[0]
    # Bytes, because NaN differs from itself.
    assert serialize_message(published) == serialize_message(response.trace)
    _, _, values = rig.status('tracer', 'answers', 1)
    assert float(values['latency_ms_p50']) > 0
    assert rig.status('inputs')[2]['color_count'] == '1'


def test_the_instruction_topic_publishes_a_trace_and_pictures_for_those_who_look(make_rig):
    rig = make_rig()
    markers = []
    rig.client.create_subscription(Image, '/perception/overlay', rig.overlays.append, 1)
    rig.client.create_subscription(MarkerArray, '/perception/markers', markers.append, 5)
    wait_for(rig.instruction.get_subscription_count)
    wait_for(rig.node._overlay_publisher.get_subscription_count)
    wait_for(rig.node._marker_publisher.get_subscription_count)
    stamp = rig.shoot()
    rig.instruction.publish(String(data=GOOD))
    overlay = wait_for(lambda: rig.overlays)[0]
    assert stamp_to_ns(overlay.header.stamp) == stamp
    assert image_to_rgb(overlay).shape[1] >= RGB.shape[1]
    shown = wait_for(lambda: markers)[0].markers
    assert {m.header.frame_id for m in shown} == {overlay.header.frame_id}
    assert 'trace/path' in {m.ns for m in shown}
    assert len(rig.traces) == 1


def test_refer_and_measure(make_rig):
    rig = make_rig()
    stamp = rig.shoot()
    found = rig.ask('refer', target='The red  mug')
    assert found.success, found.error_msg
    assert (found.point.u, found.point.v, found.point.d) == (200, 600, 0.9)
    np.testing.assert_allclose(found.point.position.x, CAMERA.lift((200, 600, 0.9))[0])
    assert (stamp_to_ns(found.header.stamp), found.header.frame_id) == (stamp, FRAME)
    length = rig.ask('measure', target='the height of the red mug')
    assert length.success, length.error_msg
    assert length.value == pytest.approx(0.095)
    assert 'centimeters' in length.text


def test_a_given_image_is_used_instead_of_the_camera(make_rig, probe):
    rig = make_rig(**{'tracer.plugin': 'probe', 'tracer.probe.path': 'x'}, start=False)
    rig.set(**{'tracer.probe.path': rig.node._p.string('tracer.replay.path')})
    rig.start()
    image = encode_rgb(255 - RGB, 'bgr8', 'bag_camera', 77)
    response = rig.ask('predict', instruction=GOOD, image=image,
                       depth=depth_to_image(DEPTH, '16UC1', 'bag_camera', 77),
                       camera_info=camera_to_info(CAMERA, 'bag_camera', 77))
    assert response.success, response.error_msg
    assert (stamp_to_ns(response.trace.header.stamp), response.trace.header.frame_id) == (
        77, 'bag_camera')
    np.testing.assert_array_equal(probe.seen[0].rgb, 255 - RGB)
    np.testing.assert_allclose(probe.seen[0].depth, DEPTH)


def test_a_request_waits_for_the_first_images(make_rig):
    rig = make_rig()
    future = rig.send('predict', instruction=GOOD)
    wait_for(lambda: rig.node._worker.busy)
    rig.shoot()
    assert rig.answer(future).success


def test_only_the_newest_image_is_used(make_rig):
    rig = make_rig()
    base = rig.now_ns()
    for k in range(10):
        last = rig.shoot(stamp_ns=base + k * 33_000_000)
    wait_for(lambda: (found := rig.node._inputs._match.newest())
             and found['color'].stamp_ns == last)
    response = rig.ask('predict', instruction=GOOD)
    assert stamp_to_ns(response.trace.header.stamp) == last


def test_without_depth_the_node_needs_none(make_rig):
    rig = make_rig(**{'depth.enabled': False})
    rig.shoot(only=('color', 'info'))
    assert rig.ask('predict', instruction=GOOD).success


def test_a_camera_info_that_is_sent_once(make_rig):
    rig = make_rig(**{'camera_info.latched': True})
    rig.shoot(only=('info',), stamp_ns=1)
    rig.shoot(only=('color', 'depth'))
    assert rig.ask('predict', instruction=GOOD).success


def test_the_camera_pose_is_given_to_the_tracer(make_rig, probe):
    pose = make_transform(rotation_about((1, 0, 0), 2.0), (0.1, 0.2, 1.3))
    rig = make_rig(**{'tracer.plugin': 'probe', 'gravity_frame': 'world',
                      'tf.extrinsics': [format_extrinsic('world', FRAME, pose)]}, start=False)
    rig.set(**{'tracer.probe.path': rig.node._p.string('tracer.replay.path')})
    rig.start()
    rig.shoot()
    assert rig.ask('predict', instruction=GOOD).success
    np.testing.assert_allclose(probe.seen[0].gravity_from_camera, pose, atol=1e-8)


# -- deadline, newest wins, cancel ----------------------------------------------------------------

def test_the_deadline_of_a_request_holds(make_rig):
    rig = make_rig(**{'tracer.replay.delay_s': 30.0})
    rig.shoot()
    response = rig.ask('predict', instruction=GOOD, timeout=Duration(nanosec=150_000_000))
    assert response.error_code == 203
    assert '0.150 s' in response.error_msg
    rig.status('tracer', 'error_code', 203)
    assert rig.traces == []


def test_the_deadline_of_the_node_holds(make_rig):
    rig = make_rig(**{'tracer.replay.delay_s': 30.0, 'tracer.timeout_s': 0.12})
    rig.shoot()
    response = rig.ask('predict', instruction=GOOD)
    assert (response.error_code, response.error_msg) == (203, 'no answer within 0.120 s')


def test_the_newest_request_wins(make_rig):
    rig = make_rig(**{'tracer.replay.delay_s': 0.5})
    rig.shoot()
    first = rig.send('predict', instruction=GOOD)
    wait_for(lambda: rig.node._worker.busy)
    second = rig.send('predict', instruction=GOOD)
    replaced = rig.answer(first)
    assert replaced.error_code == 402
    assert 'replaced by a newer request' in replaced.error_msg
    assert rig.answer(second).success
    wait_for(lambda: rig.traces)
    assert len(rig.traces) == 1
    rig.status('tracer', 'preempted', 1)


def test_cancel_ends_a_prediction_at_once(make_rig):
    rig = make_rig(**{'tracer.replay.delay_s': 30.0})
    rig.shoot()
    future = rig.send('predict', instruction=GOOD)
    wait_for(lambda: rig.node._worker.busy)
    assert rig.ask('cancel').message == '1 prediction(s) cancelled'
    answer = rig.answer(future)
    assert (answer.error_code, answer.error_msg) == (204, 'cancelled through ~/cancel')
    wait_for(lambda: not rig.node._worker.busy)
    assert not rig.traces
    assert not rig.ask('cancel').success


def test_services_stay_alive_while_a_prediction_runs(make_rig):
    rig = make_rig(**{'tracer.replay.delay_s': 30.0})
    rig.shoot()
    future = rig.send('predict', instruction=GOOD)
    wait_for(lambda: rig.node._worker.busy)
    assert rig.ask('list').loaded == ''
    rig.status('tracer', 'busy', True)
    rig.shoot()
    rig.status('inputs', 'color_count', 2)
    rig.ask('cancel')
    rig.answer(future)


# -- lifecycle ------------------------------------------------------------------------------------

def test_inactive_nodes_refuse(make_rig):
    rig = make_rig(start=False)
    for service, fields in (('predict', {'instruction': GOOD}), ('refer', {'target': 'x'}),
                            ('measure', {'target': 'x'})):
        response = rig.ask(service, **fields)
        assert response.error_code == 505
        assert '/perception is not active' in response.error_msg
    rig.run(rig.node.trigger_configure)
    assert rig.ask('predict', instruction=GOOD).error_code == 505


def test_cleanup_frees_the_model_and_everything_can_start_again(make_rig, probe):
    rig = make_rig(**{'tracer.plugin': 'probe'}, start=False)
    rig.set(**{'tracer.probe.path': rig.node._p.string('tracer.replay.path')})
    for _ in range(2):
        rig.start()
        rig.shoot()
        assert rig.ask('predict', instruction=GOOD).success
        assert len(probe.instances) == 1
        assert rig.run(rig.node.trigger_deactivate).name == 'SUCCESS'
        wait_for(lambda: rig.color.get_subscription_count() == 0)
        assert rig.run(rig.node.trigger_cleanup).name == 'SUCCESS'
        probe.seen.clear()
        gc.collect()
        assert len(probe.instances) == 0
        rig.status('tracer', 'model', '')


def test_a_lifecycle_manager_can_run_it(make_rig):
    rig = make_rig(start=False, **{'tracer.replay.path': 'nowhere.jsonl'})
    change = rig.client.create_client(ChangeState, '/perception/change_state')
    get = rig.client.create_client(GetState, '/perception/get_state')
    assert change.wait_for_service(60.0)
    assert get.wait_for_service(60.0)

    def step(number):
        ok = rig.answer(change.call_async(
            ChangeState.Request(transition=Transition(id=number)))).success
        return ok, rig.answer(get.call_async(GetState.Request())).current_state.label

    assert step(Transition.TRANSITION_CONFIGURE) == (False, 'unconfigured')
    rig.set(**{'tracer.replay.path': str(rig.answers)})
    assert step(Transition.TRANSITION_CONFIGURE) == (True, 'inactive')
    assert step(Transition.TRANSITION_ACTIVATE) == (True, 'active')
    assert step(Transition.TRANSITION_DEACTIVATE) == (True, 'inactive')
    assert step(Transition.TRANSITION_CLEANUP) == (True, 'unconfigured')
    assert step(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN) == (True, 'finalized')


def test_deactivating_ends_a_running_prediction(make_rig):
    rig = make_rig(**{'tracer.replay.delay_s': 30.0})
    rig.shoot()
    future = rig.send('predict', instruction=GOOD)
    wait_for(lambda: rig.node._worker.busy)
    rig.run(rig.node.trigger_deactivate)
    response = rig.answer(future)
    assert response.error_code == 505
    assert 'deactivated' in response.error_msg


@pytest.mark.parametrize(('parameters', 'code', 'text'), [
    ({'tracer.replay.path': 'nowhere.jsonl'}, 206, "'nowhere.jsonl' cannot be read"),
    ({'tracer.plugin': 'psychic'}, 501, "'psychic' is unknown: known are"),
])
def test_what_cannot_be_loaded_fails_in_configure_and_can_be_mended(
        make_rig, tmp_path, parameters, code, text):
    rig = make_rig(start=False, **parameters)
    assert rig.run(rig.node.trigger_configure).name == 'FAILURE'
    level, message, _ = rig.status('tracer', 'error_code', code)
    assert level == 2
    assert text in message
    assert rig.ask('predict', instruction=GOOD).error_code == 505
    assert rig.set(**{'tracer.plugin': 'replay',
                      'tracer.replay.path': str(tmp_path / 'answers.jsonl')})[0]
    rig.start()
    rig.shoot()
    assert rig.ask('predict', instruction=GOOD).success


# -- plugins --------------------------------------------------------------------------------------

def test_plugins_and_checkpoints_are_swapped_while_idle(make_rig, probe):
    rig = make_rig()
    rig.shoot()
    assert rig.ask('predict', instruction=GOOD).trace.model == 'replay:answers.jsonl'
    path = rig.node._p.string('tracer.replay.path')
    ok, reason = rig.set(**{'tracer.plugin': 'probe', 'tracer.probe.path': path})
    assert ok, reason
    assert rig.ask('predict', instruction=GOOD).success
    assert len(probe.seen) == 1
    listed = rig.ask('list')
    assert (list(listed.names), listed.loaded) == (['small', 'large'], 'small')
    assert list(listed.bytes) == [1000, 1000]
    assert rig.set(**{'tracer.checkpoint': 'large'})[0]
    assert rig.ask('list').loaded == 'large'


def test_a_fault_of_ours_in_configure_is_told_with_its_place_and_can_be_tried_again(
        make_rig, monkeypatch):
    """rclpy swallows what a transition raises; half a configuration would stay behind."""
    rig = make_rig(start=False)
    told = []
    rig.client.create_subscription(Log, '/rosout', lambda m: told.append(m.msg), 50)
    with monkeypatch.context() as broken:
        broken.setattr(rig.node, 'create_lifecycle_publisher', lambda *_: {}['a slip'])
        assert rig.run(rig.node.trigger_configure).name == 'FAILURE'
    wait_for(lambda: any('INTERNAL' in t and 'a slip' in t for t in told), 'the error')
    wait_for(lambda: any('Traceback' in t and "{}['a slip']" in t for t in told), 'its place')
    assert not rig.node._slot.loaded
    assert not [t for t in threading.enumerate() if t.name == 'tracer']
    assert rig.run(rig.node.trigger_configure).name == 'SUCCESS'


def test_what_does_not_load_is_refused_and_the_old_model_stays(make_rig, probe):
    rig = make_rig()
    rig.shoot()
    for values, text in (
            ({'tracer.plugin': 'psychic'}, "UNKNOWN_PLUGIN (501): tracer plugin 'psychic' is "
                                           'unknown: known are local, openai, probe, '
                                           'replay, robotracer_server'),
            ({'tracer.replay.path': 'nowhere.jsonl'}, 'CHECKPOINT (206)'),
            ({'tracer.plugin': 'probe'}, 'INVALID_PARAMETER (502)'),
            ({'tracer.plugin': 'probe', 'tracer.checkpoint': 'huge', 'tracer.probe.path': 'x'},
             "TRACER_BACKEND (205): no memory for 'huge'")):
        ok, reason = rig.set(**values)
        assert not ok
        assert text in reason
        assert rig.node._p.string('tracer.plugin') == 'replay'
        assert rig.ask('predict', instruction=GOOD).success


def test_swapping_is_refused_while_a_prediction_runs(make_rig):
    rig = make_rig(**{'tracer.replay.delay_s': 30.0})
    rig.shoot()
    future = rig.send('predict', instruction=GOOD)
    wait_for(lambda: rig.node._worker.busy)
    ok, reason = rig.set(**{'tracer.replay.delay_s': 0.0})
    assert not ok
    assert 'REFUSED_WHILE_MOVING (503)' in reason
    assert '/perception/cancel' in reason
    rig.ask('cancel')
    rig.answer(future)
    wait_for(lambda: not rig.node._worker.busy)
    assert rig.set(**{'tracer.replay.delay_s': 0.0})[0]
    assert rig.ask('predict', instruction=GOOD).success


def test_a_backend_that_breaks_is_an_internal_error_and_the_node_lives(make_rig, probe):
    rig = make_rig(**{'tracer.plugin': 'probe', 'tracer.probe.fail': True}, start=False)
    rig.set(**{'tracer.probe.path': rig.node._p.string('tracer.replay.path')})
    rig.start()
    rig.shoot()
    response = rig.ask('predict', instruction=GOOD)
    assert (response.error_code, response.error_msg) == (900, 'MemoryError: out of memory')
    assert rig.set(**{'tracer.probe.fail': False})[0]
    assert rig.ask('predict', instruction=GOOD).success


def test_a_backend_that_is_lost_says_so_and_publishes_nothing(make_rig, probe, monkeypatch):
    rig = make_rig(**{'tracer.plugin': 'probe'}, start=False)
    rig.set(**{'tracer.probe.path': rig.node._p.string('tracer.replay.path')})
    rig.start()
    rig.shoot()

    def lost(*_, **__):
        raise TracerBackendError('the connection to the model server was lost')
    with monkeypatch.context() as broken:
        broken.setattr(probe, 'predict', lost)
        response = rig.ask('predict', instruction=GOOD)
    assert (response.error_code, response.error_msg) == (
        205, 'the connection to the model server was lost')
    rig.status('tracer', 'error_code', 205)
    assert not rig.traces
    assert rig.ask('predict', instruction=GOOD).success


def test_a_plugin_whose_package_is_missing_names_it(make_rig, monkeypatch):
    real, group = metadata.entry_points, plugins.Role.TRACER.entry_points
    entry = metadata.EntryPoint('remote', 'package_that_is_not_here.tracer:Tracer', group)
    monkeypatch.setattr(plugins.metadata, 'entry_points', lambda **q: (
        [*real(**q), entry] if q.get('group') == group else real(**q)))
    rig = make_rig()
    rig.shoot()
    ok, reason = rig.set(**{'tracer.plugin': 'remote'})
    assert not ok
    assert reason.startswith("MISSING_PACKAGE (504): tracer plugin 'remote'")
    assert "needs the Python package 'package_that_is_not_here'" in reason
    assert rig.ask('predict', instruction=GOOD).success


def test_inference_time_is_what_the_tracer_measured(make_rig):
    rig = make_rig(**{'tracer.replay.delay_s': 0.05})
    rig.shoot()
    response = rig.ask('predict', instruction=GOOD)
    assert duration_to_s(response.trace.inference_time) >= 0.05


# -- the process ----------------------------------------------------------------------------------

@pytest.mark.parametrize('signals', [[signal.SIGINT, signal.SIGINT], [signal.SIGTERM]])
def test_the_process_ends_cleanly(ros, tmp_path, signals):
    process = subprocess.Popen(
        [sys.executable, '-m', 'robotracer_ros.nodes.perception_node', '--ros-args',
         '-p', 'autostart:=true', '-p', 'tracer.plugin:=replay',
         '-p', f'tracer.replay.path:={write_answers(tmp_path)}'],
        stderr=subprocess.PIPE, text=True)
    lines = []
    try:
        for line in process.stderr:
            lines.append(line)
            if 'loaded in' in line:
                break
        for number in signals:
            process.send_signal(number)
        lines += process.communicate(timeout=60)[1].splitlines()
    finally:
        if process.poll() is None:
            process.kill()
    assert process.returncode == 0, lines
    assert not any('Traceback' in line for line in lines), lines


def test_wrong_parameters_end_the_process_with_the_reason(ros):
    result = subprocess.run(
        [sys.executable, '-m', 'robotracer_ros.nodes.perception_node', '--ros-args',
         '-p', 'slop_s:=7.0'], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert 'INVALID_PARAMETER (502)' in result.stderr
    assert 'slop_s' in result.stderr
