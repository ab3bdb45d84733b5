# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import time

import pytest
import rclpy
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import JointState

from robotracer_msgs.msg import Trace, TracePoint
from robotracer_ros.errors import InvalidParameterError, MissingPackageError
from robotracer_ros.nodes.qos import make_qos
from robotracer_ros.nodes.recorder import Recorder, message_definition


@pytest.fixture
def node():
    context = rclpy.Context()
    rclpy.init(context=context)
    made = rclpy.create_node('test_recorder', context=context)
    yield made
    made.destroy_node()
    rclpy.try_shutdown(context=context)


def test_what_was_sent_is_read_back(node, tmp_path):
    path = tmp_path / 'run.mcap'
    recorder = Recorder(
        node, path, {'/j': 'sensor_msgs/msg/JointState', '/t': 'robotracer_msgs/msg/Trace'}
    )
    joints, traces = (
        node.create_publisher(JointState, '/j', 10),
        node.create_publisher(Trace, '/t', 10),
    )
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    deadline = time.monotonic() + 20
    while min(recorder.counts.values()) < 3 and time.monotonic() < deadline:
        joints.publish(JointState(name=['a'], position=[0.25]))
        traces.publish(Trace(instruction='go', points=[TracePoint(u=1.0, v=2.0, d=0.5)]))
        executor.spin_once(timeout_sec=0.05)
    executor.shutdown()
    recorder.close()
    recorder.close()
    with path.open('rb') as file:
        read = [
            (m.channel.topic, m.decoded_message)
            for m in make_reader(file, decoder_factories=[DecoderFactory()]).iter_decoded_messages()
        ]
    first = dict(reversed(read))
    assert set(first) == {'/j', '/t'}
    assert (first['/t'].instruction, first['/t'].points[0].d) == ('go', 0.5)
    assert first['/j'].position[0] == 0.25
    assert len(read) == sum(recorder.counts.values())


def test_what_was_sent_before_it_began_is_recorded_when_latched(node, tmp_path):
    """As /tf_static is: sent once, when the simulator starts."""
    latched = make_qos('reliable', 'transient_local', 1)
    publisher = node.create_publisher(JointState, '/latched', latched)
    publisher.publish(JointState(name=['a'], position=[0.25]))
    recorder = Recorder(
        node, tmp_path / 'run.mcap', {'/latched': 'sensor_msgs/msg/JointState'},
        {'/latched': latched},
    )
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    deadline = time.monotonic() + 20
    while not recorder.counts['/latched'] and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.05)
    executor.shutdown()
    recorder.close()
    assert recorder.counts == {'/latched': 1}


def test_a_definition_holds_everything_it_contains():
    text = message_definition('robotracer_msgs/msg/Trace')
    for part in (
        'MSG: std_msgs/Header',
        'MSG: sensor_msgs/CameraInfo',
        'MSG: robotracer_msgs/TracePoint',
        'MSG: builtin_interfaces/Duration',
        'MSG: sensor_msgs/RegionOfInterest',
    ):
        assert text.count(part) == 1


@pytest.mark.parametrize('name', ['run.bag', 'none/run.mcap'])
def test_a_bad_file_name_is_refused(node, tmp_path, name):
    with pytest.raises(InvalidParameterError, match=r'run\.'):
        Recorder(node, tmp_path / name, {})


def test_an_unknown_message_is_named(node, tmp_path):
    with pytest.raises(MissingPackageError, match='nope_msgs'):
        Recorder(node, tmp_path / 'run.mcap', {'/x': 'nope_msgs/msg/Nope'})
    assert not (tmp_path / 'run.mcap').exists()
