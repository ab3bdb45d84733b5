# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Provoke every input and tracer error through topics and services.

Each must come back with its number and a text that names the culprit, appear in the diagnostics,
and leave no trace behind.
"""

import numpy as np
import pytest
from builtin_interfaces.msg import Duration
from perception_rig import (
    BROKEN,
    CAMERA,
    DEPTH,
    FRAME,
    GOOD,
    RGB,
    Rig,
    wait_for,
    write_answers,
)
from rclpy.parameter import Parameter

from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.nodes.conversions import camera_to_info, encode_rgb

S = 1_000_000_000
SMALL = CameraModel(32, 24, 30.0, 30.0, 15.5, 11.5)


@pytest.fixture(scope='module')
def rig(ros, tmp_path_factory):
    """One active node for all cases; each case starts from a fresh subscription."""
    r = Rig(write_answers(tmp_path_factory.mktemp('replay')), input_wait_s=0.3)
    yield r
    r.close()


@pytest.fixture(autouse=True)
def fresh(rig):
    rig.run(rig.node.trigger_deactivate)
    rig.activate()
    rig.set(gravity_frame='', max_age_s=30.0)
    rig.traces.clear()


def expect(rig, response, code, *texts):
    assert not response.success
    assert response.error_code == code, response.error_msg
    for text in texts:
        assert text in response.error_msg
    level, message, values = rig.status('tracer', 'last_error', response.error_msg)
    assert level == 2
    assert values['error_code'] == str(code)
    assert f'({code}): {response.error_msg}' in message
    assert rig.traces == []


def spoil(name, field, value):
    def change(messages):
        target = messages[name]
        *path, last = field.split('.')
        for part in path:
            target = getattr(target, part)
        setattr(target, last, value)
    return change


def zero_focal_length(messages):
    messages['info'].k[0] = 0.0


INPUT_CASES = {
    'nothing at all': ({'only': ()}, 101, ["no colour image received on '/camera/color/image_raw'"]),
    'colour image without bytes': (
        {'change': spoil('color', 'data', [])}, 101, ['holds 0 bytes: needs 9216']),
    'no depth': ({'only': ('color', 'info')}, 102,
                 ["no depth image received on '/camera/aligned_depth_to_color/image_raw'"]),
    'depth of another moment': (
        {'shift_ns': {'depth': -S}}, 102, ['the nearest is 1.000 s away (limit 0.02 s)']),
    'no camera_info': ({'only': ('color', 'depth')}, 103,
                       ["no camera_info received on '/camera/color/camera_info'"]),
    'uncalibrated camera': ({'change': zero_focal_length}, 103, [f"frame '{FRAME}': K has fx=0"]),
    'colour encoding': (
        {'change': spoil('color', 'encoding', 'yuv422')}, 104, ["colour encoding 'yuv422'"]),
    'depth encoding': (
        {'change': spoil('depth', 'encoding', '64FC1')}, 104, ["depth encoding '64FC1'"]),
    'depth of another size': (
        {'depth': DEPTH[::2, ::2]}, 105, ['colour 64x48', 'camera_info 64x48', 'depth 32x24']),
    'camera_info of another size': ({'camera': SMALL}, 105, ['camera_info 32x24']),
    'depth that is not aligned': (
        {'change': spoil('depth', 'header.frame_id', 'camera_depth_optical_frame')}, 105,
        ["depth 'camera_depth_optical_frame'", 'aligned']),
    'depth all NaN': (
        {'depth': np.full_like(DEPTH, np.nan)}, 109, ['only 0.0 % of the depth image is valid']),
    'depth all zero': (
        {'depth': np.zeros_like(DEPTH), 'depth_encoding': '16UC1'}, 109, ['at least 5 %']),
}


@pytest.mark.parametrize('case', INPUT_CASES)
def test_input_errors(rig, case):
    shot, code, texts = INPUT_CASES[case]
    rig.shoot(**shot)
    expect(rig, rig.ask('predict', instruction=GOOD), code, *texts)
    # Found without a request as well: somebody who looks at the diagnostics first sees it.
    level, message, _ = rig.status('inputs', 'error_code', code)
    assert level == 2
    assert all(text in message for text in texts)


@pytest.mark.parametrize(('offset_s', 'text'), [
    (-100, "newest colour image on '/camera/color/image_raw' is 100."),
    (100, "s ahead of this node's clock"),
])
def test_stale_images(rig, offset_s, text):
    rig.shoot(stamp_ns=rig.now_ns() + offset_s * S)
    expect(rig, rig.ask('predict', instruction=GOOD), 106, text, 'limit 30 s')


def test_a_camera_that_stopped(rig):
    stamp = rig.shoot()
    assert rig.ask('predict', instruction=GOOD).success
    wait_for(lambda: rig.traces)
    rig.traces.clear()
    rig.set(max_age_s=0.05)
    wait_for(lambda: rig.now_ns() - stamp > 0.05 * S)
    expect(rig, rig.ask('predict', instruction=GOOD), 106, 'limit 0.05 s')


def test_unknown_frame(rig):
    rig.set(gravity_frame='nowhere')
    rig.shoot()
    expect(rig, rig.ask('predict', instruction=GOOD), 107, "'nowhere'", FRAME, 'unknown')


def test_transform_of_another_moment(rig):
    tf2 = pytest.importorskip('tf2_msgs.msg')
    from geometry_msgs.msg import TransformStamped

    from robotracer_ros.nodes.conversions import ns_to_stamp
    publisher = rig.client.create_publisher(tf2.TFMessage, '/tf', 100)
    wait_for(publisher.get_subscription_count)
    rig.set(gravity_frame='world')
    stamp = rig.now_ns()
    link = TransformStamped(child_frame_id=FRAME)
    link.header.frame_id = 'world'
    link.header.stamp = ns_to_stamp(stamp - 5 * S)
    publisher.publish(tf2.TFMessage(transforms=[link]))
    wait_for(lambda: 'world' in rig.statuses['transforms'][2]['frames'])
    rig.shoot(stamp_ns=stamp)
    expect(rig, rig.ask('predict', instruction=GOOD), 108, f"link 'world' <- '{FRAME}'",
           '5.000 s earlier')
    # The same request is answered once the transform of that moment is there.
    link.header.stamp = ns_to_stamp(stamp)
    publisher.publish(tf2.TFMessage(transforms=[link]))
    wait_for(lambda: rig.statuses['inputs'][2].get('error_code') == '0')
    assert rig.ask('predict', instruction=GOOD).success
    rig.client.destroy_publisher(publisher)


@pytest.mark.parametrize(('instruction', 'code', 'text'), [
    ('', 201, 'the instruction is empty'),
    ('x' * 3000, 201, 'has 3000 characters: at most 2000'),
    ('fly to the moon', 201, "no recorded answer for 'fly to the moon'"),
    (BROKEN, 202, 'I would rather not.'),
])
def test_instructions_and_answers(rig, instruction, code, text):
    rig.shoot()
    expect(rig, rig.ask('predict', instruction=instruction), code, text)


@pytest.mark.parametrize('service', ['refer', 'measure'])
def test_refer_and_measure_fail_the_same_way(rig, service):
    expect(rig, rig.ask(service, target='the red mug'), 101, 'no colour image')
    expect(rig, rig.ask(service, target=' '), 201, 'empty')
    rig.shoot()
    expect(rig, rig.ask(service, target=BROKEN), 202)


def test_timeouts_out_of_range(rig):
    expect(rig, rig.ask('predict', instruction=GOOD, timeout=Duration(sec=-1)), 502,
           'timeout -1 s: must be in 0 to 3600')


def test_an_unknown_kind(rig):
    expect(rig, rig.ask('predict', instruction=GOOD, kind=7), 301, 'trace kind 7')


def test_a_given_image_is_checked_too(rig):
    image = encode_rgb(RGB, 'rgb8', FRAME, 5)
    expect(rig, rig.ask('predict', instruction=GOOD, image=image), 103, 'K has fx=0')
    expect(rig, rig.ask('predict', instruction=GOOD, image=image,
                        camera_info=camera_to_info(SMALL, FRAME)), 105, 'camera_info 32x24')


def test_errors_on_the_instruction_topic_reach_the_diagnostics(rig):
    from std_msgs.msg import String
    wait_for(rig.instruction.get_subscription_count)
    rig.instruction.publish(String(data=GOOD))
    rig.status('tracer', 'error_code', 101)
    rig.instruction.publish(String(data='  '))
    rig.status('tracer', 'error_code', 201)
    assert rig.traces == []


def test_success_clears_the_error_but_remembers_it(rig):
    assert rig.ask('predict', instruction='').error_code == 201
    rig.shoot()
    assert rig.ask('predict', instruction=GOOD).success
    level, message, values = rig.status('tracer', 'error_code', 0)
    assert (level, message) == (0, 'ok')
    assert values['last_error_code'] == '201'


def test_publishers_with_another_quality_of_service_are_named(ros, tmp_path):
    # reliable subscriber, best-effort publisher: DDS connects nothing, silently.
    from sensor_msgs.msg import Image

    from robotracer_ros.nodes.qos import make_qos
    rig = Rig(write_answers(tmp_path), input_wait_s=0.1, **{'color.topic': '/poor/image'})
    try:
        publisher = rig.client.create_publisher(Image, '/poor/image', make_qos('best_effort'))
        wait_for(lambda: 'reliability' in rig.ask('predict', instruction=GOOD).error_msg)
        rig.client.destroy_publisher(publisher)
    finally:
        rig.close()


@pytest.mark.parametrize(('name', 'value', 'text'), [
    ('max_age_s', 0.0, 'must be in 0.01 to 60'),
    ('max_age_s', 'old', 'must be a double'),
    ('tracer.timeout_s', -1.0, 'must be in 0.01 to 3600'),
])
def test_parameters_out_of_range(rig, name, value, text):
    ok, reason = rig.set(**{name: value})
    assert not ok
    assert text in reason or 'range' in reason


def test_overrides_out_of_range_refuse_to_start(ros):
    from robotracer_ros.errors import InvalidParameterError
    from robotracer_ros.nodes.perception_node import PerceptionNode
    for name, value in (('slop_s', 5.0), ('tf.extrinsics', ['a b 1 2 3'])):
        with pytest.raises(InvalidParameterError, match=r'slop_s|extrinsic'):
            PerceptionNode(parameter_overrides=[Parameter(name, value=value)])


def test_camera_constant_is_what_the_rig_publishes():
    assert (CAMERA.width, CAMERA.height) == (RGB.shape[1], RGB.shape[0])
