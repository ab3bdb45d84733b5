# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import array

import numpy as np
import pytest
from sensor_msgs.msg import Image

from robotracer_msgs.msg import Trace as TraceMsg
from robotracer_ros.errors import (
    InvalidTraceError,
    NoDepthError,
    NoImageError,
    NoIntrinsicsError,
    UnsupportedEncodingError,
)
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.trace import Measuring, Referring, Scale, Trace, TraceKind
from robotracer_ros.geometry.transforms import make_transform, rotation_about
from robotracer_ros.nodes import conversions as c
from robotracer_ros.planning.base import Correction, CorrectionKind, Grip, Motion, Phase, TimedPlan

RGB = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
CAMERA = CameraModel(640, 480, 500.0, 510.0, 320.0, 240.0)


@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8', 'rgba8', 'bgra8'])
def test_colour_round_trip(encoding):
    msg = c.encode_rgb(RGB, encoding, 'cam', 1_500_000_001)
    assert (msg.encoding, msg.width, msg.height) == (encoding, 5, 4)
    assert c.stamp_to_ns(msg.header.stamp) == 1_500_000_001
    np.testing.assert_array_equal(c.image_to_rgb(msg), RGB)


def test_grey_becomes_three_equal_channels():
    rgb = c.image_to_rgb(c.encode_rgb(RGB, 'mono8'))
    assert rgb.shape == (4, 5, 3)
    np.testing.assert_array_equal(rgb[..., 0], rgb[..., 2])


def test_rgb8_is_not_copied():
    msg = c.rgb_to_image(RGB)
    assert np.shares_memory(c.image_to_rgb(msg), np.frombuffer(msg.data, np.uint8))
    assert isinstance(msg.data, array.array)


def padded(pixels, encoding, step, bigendian=0):
    rows = [r.tobytes().ljust(step, b'\xee') for r in pixels]
    return Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding, step=step,
                 is_bigendian=bigendian, data=array.array('B', b''.join(rows)))


def test_row_padding_is_skipped():
    np.testing.assert_array_equal(c.image_to_rgb(padded(RGB, 'rgb8', 32)), RGB)


def test_depth_by_encoding_endianness_and_padding():
    mm = np.array([[0, 1000], [2500, 65535]], np.uint16)
    want = [[0, 1], [2.5, 65.535]]
    np.testing.assert_allclose(c.image_to_depth(padded(mm, '16UC1', 6)), want, rtol=1e-6)
    np.testing.assert_allclose(
        c.image_to_depth(padded(mm.astype('>u2'), '16UC1', 4, bigendian=1)), want, rtol=1e-6)
    m = np.array([[np.nan, 1.0], [-1.0, np.inf]], np.float32)
    np.testing.assert_array_equal(c.image_to_depth(padded(m, '32FC1', 8)), [[0, 1], [0, 0]])


def test_depth_round_trip_and_range():
    depth = np.array([[0.0, 0.5], [np.nan, 70.0]], np.float32)
    np.testing.assert_allclose(c.image_to_depth(c.depth_to_image(depth)), [[0, 0.5], [0, 0]])
    np.testing.assert_allclose(c.image_to_depth(c.depth_to_image(depth, '32FC1')),
                               [[0, 0.5], [0, 70]])


@pytest.mark.parametrize(('call', 'error', 'text'), [
    (lambda: c.image_to_rgb(Image(encoding='yuv422', width=2, height=2)),
     UnsupportedEncodingError, "colour encoding 'yuv422': must be one of rgb8"),
    (lambda: c.image_to_depth(Image(encoding='64FC1', width=2, height=2)),
     UnsupportedEncodingError, "depth encoding '64FC1'"),
    (lambda: c.image_to_rgb(Image(encoding='rgb8')), NoImageError, '0x0 px'),
    (lambda: c.image_to_rgb(Image(encoding='rgb8', width=2, height=2, step=6,
                                  data=array.array('B', [0] * 11))), NoImageError,
     'holds 11 bytes: needs 12'),
    (lambda: c.image_to_rgb(Image(encoding='rgb8', width=2, height=2, step=5,
                                  data=array.array('B', [0] * 12))), NoImageError, 'step 5'),
    (lambda: c.image_to_depth(Image(encoding='16UC1', width=2, height=2)), NoDepthError, '0 bytes'),
])
def test_bad_images_are_typed_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_camera_round_trip():
    info = c.camera_to_info(CAMERA, 'cam', 7)
    assert c.info_to_camera(info) == CAMERA
    assert c.info_to_camera(info, rectified=True) == CAMERA
    assert info.header.frame_id == 'cam'


def test_binning_and_region_of_interest():
    info = c.camera_to_info(CAMERA)
    info.binning_x = info.binning_y = 2
    assert c.info_to_camera(info) == CameraModel(320, 240, 250.0, 255.0, 160.0, 120.0)
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 20, 40, 600, 400
    assert c.info_to_camera(info) == CameraModel(300, 200, 250.0, 255.0, 150.0, 100.0)


def test_uncalibrated_and_distorted_cameras():
    info = c.camera_to_info(CAMERA, 'cam')
    info.k[0] = 0.0
    with pytest.raises(NoIntrinsicsError, match="frame 'cam': K has fx=0"):
        c.info_to_camera(info)
    info = c.camera_to_info(CAMERA)
    info.d = array.array('d', [-0.3, 0.1, 0.0, 0.0, 0.0])
    assert c.info_to_camera(info) == CAMERA
    with pytest.raises(NoIntrinsicsError, match=r'moves pixels by up to \d+\.\d px, more than 2 px'):
        c.info_to_camera(info, max_distortion_px=2.0)
    assert c.info_to_camera(info, rectified=True, max_distortion_px=2.0) == CAMERA
    info.distortion_model = 'equidistant'
    with pytest.raises(NoIntrinsicsError, match='equidistant'):
        c.info_to_camera(info, max_distortion_px=2.0)


def example_trace():
    return Trace(
        [[500, 500, 1.0], [600, 400, 0.8], [700, 500, 1.1]], CAMERA,
        TraceKind.END_EFFECTOR_CENTRIC, 'put the mug on the tray',
        (Scale(1.9), Referring('the mug', (500, 500, 1.0)), Measuring('its height', 0.095, '9.5 cm')),
        1.9, 'cam', 12_000_000_345, 'local:tiny', 0.25, '<answer>')


def test_trace_round_trip_is_exact():
    trace = example_trace()
    msg = c.trace_to_msg(trace)
    back = c.trace_from_msg(msg)
    np.testing.assert_array_equal(back.points, trace.points)
    for name in ('camera', 'kind', 'instruction', 'reasoning', 'metric_scale', 'frame_id',
                 'stamp_ns', 'model', 'inference_time_s', 'raw_text'):
        assert getattr(back, name) == getattr(trace, name)
    p = msg.points[1].position
    np.testing.assert_allclose((p.x, p.y, p.z), trace.xyz[1])


def test_bad_trace_messages_are_typed_errors():
    msg = c.trace_to_msg(example_trace())
    msg.points = msg.points[:1]
    with pytest.raises(InvalidTraceError, match='N in 2'):
        c.trace_from_msg(msg)
    msg = c.trace_to_msg(example_trace())
    msg.points[2].d = float('nan')
    with pytest.raises(InvalidTraceError, match='point 2 is not finite'):
        c.trace_from_msg(msg)
    msg = c.trace_to_msg(example_trace())
    msg.kind = 9
    with pytest.raises(InvalidTraceError, match=r'trace kind 9: must be 0 or one of 1'):
        c.trace_from_msg(msg)
    with pytest.raises(NoIntrinsicsError):
        c.trace_from_msg(TraceMsg(points=c.trace_to_msg(example_trace()).points))


def test_poses_and_durations():
    pose = make_transform(rotation_about((1, 2, 3), 1.0), (1, 2, 3))
    np.testing.assert_allclose(c.pose_to_matrix(c.matrix_to_pose(pose)), pose, atol=1e-12)
    np.testing.assert_allclose(c.transform_to_matrix(c.matrix_to_transform(pose)), pose, atol=1e-12)
    assert c.duration_to_s(c.s_to_duration(1.9999999996)) == pytest.approx(2.0)
    assert c.stamp_to_ns(c.ns_to_stamp(1_999_999_999)) == 1_999_999_999


def motion(phase, start, end):
    times = np.array([0.0, 0.5, 1.0])
    positions = np.linspace([start], [end], 3)
    return Motion(phase, times, positions, np.zeros((3, 1)), np.zeros((3, 1)),
                  np.tile(np.eye(4), (3, 1, 1)), np.array([-1, 0, 0]))


def test_plan_becomes_one_trajectory_with_increasing_times():
    plan = TimedPlan(
        ('joint',), (motion(Phase.REACH, 0, 1), Grip(Phase.GRASP, 0.0, 10, True),
                     motion(Phase.CARRY, 1, 2)),
        (Correction(CorrectionKind.SUPPORT, 2, np.array([0, 0, 0.01]), 'raised'),),
        np.zeros((2, 3)), np.zeros((2, 3)), 0.02, 0.2, 0.001, stage_times_s={'ik': 0.01})
    msg, phases = c.plan_to_trajectory(plan, 'base', 5)
    times = [c.duration_to_s(p.time_from_start) for p in msg.points]
    assert times == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert phases == [Phase.REACH] * 3 + [Phase.CARRY] * 2
    assert [p.positions[0] for p in msg.points] == [0, 0.5, 1, 1.5, 2]
    assert len(c.plan_to_tool_path(plan, 'base').poses) == 5
    assert c.correction_to_msg(plan.corrections[0]).offset.z == pytest.approx(0.01)
    figures = c.figures_to_msg(plan, planning_time_s=0.03)
    assert (figures.duration_s, figures.stage_names[0]) == (2.0, 'ik')
    assert np.isnan(figures.execution_time_s) and np.isnan(figures.recheck_max_gap)
    watched = c.figures_to_msg(recheck_rate=7.5, recheck_max_gap=0.2)
    assert (watched.recheck_rate, watched.recheck_max_gap) == (7.5, 0.2)
