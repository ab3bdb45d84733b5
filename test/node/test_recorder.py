# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import time

import pytest
import rclpy
import yaml
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from rclpy.executors import SingleThreadedExecutor
from rosbags.rosbag2.metadata import parse_qos
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


def test_what_publishers_offer_is_kept_for_the_replay(node, tmp_path):
    """Else `ros2 bag play` sends /tf_static volatile, and who comes late never hears it."""
    offers = {'/latched': make_qos('reliable', 'transient_local', 1),
              '/camera': make_qos('best_effort', 'volatile', 1)}
    path = tmp_path / 'run.mcap'
    # The recorder is there first, as in the demo: nothing is known of the publishers then.
    recorder = Recorder(
        node, path, dict.fromkeys((*offers, '/silent'), 'sensor_msgs/msg/JointState'), offers)
    publishers = [node.create_publisher(JointState, topic, q) for topic, q in offers.items()]
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    deadline = time.monotonic() + 20
    while not all(recorder.counts[topic] for topic in offers) and time.monotonic() < deadline:
        for publisher in publishers:
            publisher.publish(JointState())
        executor.spin_once(timeout_sec=0.05)
    executor.shutdown()
    recorder.close()
    with path.open('rb') as file:
        channels = make_reader(file).get_summary().channels.values()
    texts = {c.topic: c.metadata['offered_qos_profiles'] for c in channels}
    # read by an independent implementation of rosbag2's format
    read = {topic: parse_qos(text)[0] for topic, text in texts.items()}
    assert set(read) == {*offers, '/silent'}
    told = {topic: (q.durability.name, q.reliability.name) for topic, q in read.items()}
    assert told['/latched'] == ('TRANSIENT_LOCAL', 'RELIABLE')
    assert told['/camera'] == ('VOLATILE', 'BEST_EFFORT')
    forever = (9223372036, 854775807)  # as rmw writes it
    assert all((read[t].deadline.sec, read[t].deadline.nsec) == forever for t in offers)
    # Numbers, not names: those are all that Humble reads.
    assert all(isinstance(yaml.safe_load(t)[0]['durability'], int) for t in texts.values())


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
