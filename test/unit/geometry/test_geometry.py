# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robotracer_ros.errors import (
    InvalidDepthError,
    InvalidTraceError,
    NoIntrinsicsError,
    UnsupportedEncodingError,
)
from robotracer_ros.geometry import transforms
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.depth import decode_depth, depth_at
from robotracer_ros.geometry.trace import Trace

CAMERA = CameraModel(640, 480, 600.0, 610.0, 320.5, 238.0)
FINITE = st.floats(-5, 5)


@given(st.floats(0, 1000), st.floats(0, 1000), st.floats(0.05, 15))
def test_project_undoes_lift(u, v, d):
    assert np.allclose(CAMERA.project(CAMERA.lift([u, v, d])), [u, v, d], atol=1e-6)


def test_lift_is_the_papers_formula():
    u, v, d = 250.0, 750.0, 0.9
    expected = ((u * 640 / 1000 - 320.5) * d / 600, (v * 480 / 1000 - 238) * d / 610, d)
    assert np.allclose(CAMERA.lift([u, v, d]), expected)


def test_a_resized_camera_sees_the_same_points_at_the_same_uv():
    point = [0.2, -0.1, 1.3]
    assert np.allclose(CAMERA.project(point), CAMERA.resized(320, 240).project(point))


def test_points_behind_the_camera_have_no_pixel():
    assert np.isnan(CAMERA.project([0.1, 0.1, -1.0])[:2]).all()


def test_depth_image_and_rays_agree():
    depth = np.full((480, 640), 2.0, np.float32)
    depth[0, 0] = 0
    points, rays = CAMERA.depth_to_points(depth), CAMERA.rays()
    assert np.isnan(points[0, 0]).all()
    direction = points[10, 600] / np.linalg.norm(points[10, 600])
    assert np.allclose(direction, rays[10, 600], atol=1e-6)
    assert np.allclose(CAMERA.lift_pixels([600, 10], 2.0), points[10, 600], atol=1e-5)


@pytest.mark.parametrize(
    'values',
    [
        (640, 480, 0.0, 600, 320, 240),
        (640, 480, np.nan, 600, 320, 240),
        (640, 480, 600, 600, np.inf, 240),
        (0, 480, 600, 600, 320, 240),
    ],
)
def test_useless_intrinsics_are_refused(values):
    with pytest.raises(NoIntrinsicsError):
        CameraModel(*values)


def test_intrinsics_from_matrices():
    k4 = np.eye(4)
    k4[:3, :3] = CAMERA.matrix
    assert CameraModel.from_matrix(k4, 640, 480) == CAMERA
    with pytest.raises(NoIntrinsicsError, match=r'\(2, 2\)'):
        CameraModel.from_matrix(np.eye(2), 640, 480)


def test_depth_by_encoding():
    assert np.allclose(decode_depth(np.array([[0, 1500]], np.uint16), '16UC1'), [[0.0, 1.5]])
    raw = np.array([[np.nan, -1.0, np.inf, 0.75]], np.float32)
    assert decode_depth(raw, '32FC1').tolist() == [[0.0, 0.0, 0.0, 0.75]]
    with pytest.raises(UnsupportedEncodingError, match=r'8UC1.*16UC1'):
        decode_depth(np.zeros((1, 1), np.uint8), '8UC1')


def test_depth_at_a_pixel_is_robust():
    depth = np.full((20, 20), 1.0, np.float32)
    depth[10, 10] = 0  # a hole
    depth[9, 9] = 7.0  # a flying pixel
    assert depth_at(depth, 10, 10) == 1.0
    assert depth_at(depth, 0, 19) == 1.0
    with pytest.raises(InvalidDepthError, match='outside the 20x20'):
        depth_at(depth, 20, 0)
    depth[:] = 0
    with pytest.raises(InvalidDepthError, match='no valid depth'):
        depth_at(depth, 5, 5)


@given(st.tuples(FINITE, FINITE, FINITE, FINITE).filter(lambda q: np.linalg.norm(q) > 0.1))
def test_quaternions_round_trip(q):
    r = transforms.quaternion_to_matrix(q)
    assert np.allclose(r @ r.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(r) == pytest.approx(1.0)
    again = transforms.matrix_to_quaternion(r)
    unit = np.array(q) / np.linalg.norm(q)
    assert min(np.abs(again - unit).max(), np.abs(again + unit).max()) < 1e-6


def test_zero_quaternion_is_refused():
    with pytest.raises(ValueError, match='length 0'):
        transforms.quaternion_to_matrix([0, 0, 0, 0])


@given(st.tuples(FINITE, FINITE, FINITE), st.floats(-3, 3))
def test_invert_undoes_apply(translation, angle):
    t = transforms.make_transform(transforms.rotation_about([1, 2, -1], angle), translation)
    p = np.array([[0.3, -0.2, 1.0], [0, 0, 0]])
    assert np.allclose(transforms.apply(transforms.invert(t), transforms.apply(t, p)), p, atol=1e-9)


def test_look_at_is_an_optical_frame():
    t = transforms.look_at([1.0, 0, 1.0], [0, 0, 0])
    in_camera = transforms.apply(
        transforms.invert(t), np.array([[0, 0, 0], [0, 0.5, 0], [0, 0, 0.5]])
    )
    assert np.allclose(in_camera[0], [0, 0, np.sqrt(2)])  # the target lies on the optical axis
    assert in_camera[1, 0] > 0.4  # +y of the world is right for a camera looking along -x
    assert in_camera[2, 1] < 0  # up in the world is up in the image


@pytest.mark.parametrize(
    ('points', 'words'),
    [
        ([[0, 0, 1]], 'shape'),
        ([[0, 0], [1, 1]], 'shape'),
        ([[0, 0, 1]] * 65, 'N in 2..64'),
        ([[0, 0, 1], [0, np.nan, 1]], 'point 1 is not finite'),
        ([[0, 0, 1], [1000.5, 0, 1]], r'point 1 has .*1000\.5'),
        ([[0, -1, 1], [0, 0, 1]], 'point 0'),
        ([[0, 0, 0], [0, 0, 1]], 'point 0 has depth 0'),
        ([[0, 0, 1], [0, 0, 20.1]], 'point 1 has depth 20.1'),
    ],
)
def test_bad_traces_name_the_point_and_the_limit(points, words):
    with pytest.raises(InvalidTraceError, match=words):
        Trace(np.array(points, dtype=float), CAMERA)


def test_a_trace_cannot_be_changed():
    trace = Trace(np.array([[0, 0, 1.0], [1000, 1000, 2.0]]), CAMERA)
    with pytest.raises(ValueError, match='read-only'):
        trace.points[0, 0] = 5
