# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
from rclpy.serialization import deserialize_message, serialize_message
from visualization_msgs.msg import Marker, MarkerArray

from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.trace import Measuring, Referring, Scale, Trace
from robotracer_ros.planning.base import Correction, CorrectionKind, Motion, Phase, TimedPlan
from robotracer_ros.viz.markers import plan_markers, trace_markers

CAMERA = CameraModel(320, 240, 380.0, 380.0, 159.5, 119.5)


def by_namespace(array):
    """Send through the wire format, as RViz gets it."""
    array = deserialize_message(serialize_message(array), MarkerArray)
    assert array.markers[0].action == Marker.DELETEALL
    return {m.ns: m for m in array.markers[1:]}


def test_a_trace_is_shown_in_its_optical_frame():
    trace = Trace(
        np.array([(100, 500, 0.9), (900, 800, 1.0)]),
        CAMERA,
        instruction='go',
        frame_id='cam',
        stamp_ns=3_500_000_000,
        reasoning=(
            Scale(1.0),
            Referring('the mug', (100.0, 500.0, 0.9)),
            Measuring('its height', 0.095),
        ),
    )
    markers = by_namespace(trace_markers(trace))
    path = markers['trace/path']
    assert (path.header.frame_id, path.header.stamp.sec, path.header.stamp.nanosec) == (
        'cam',
        3,
        500_000_000,
    )
    assert np.allclose([(p.x, p.y, p.z) for p in path.points], trace.xyz)
    assert len(path.colors) == len(path.points) == 2
    texts = [m.text for m in trace_markers(trace).markers if m.type == Marker.TEXT_VIEW_FACING]
    assert texts == ['go', 'the mug', 'its height: 9.5 cm']


def test_a_plan_shows_every_layer():
    tool = np.tile(np.eye(4), (4, 1, 1))
    tool[:, 0, 3] = [0.0, 0.1, 0.2, 0.3]
    motion = Motion(
        Phase.CARRY,
        np.arange(4.0),
        *(np.zeros((4, 6)) for _ in range(3)),
        tool,
        np.zeros(4, np.int64),
        True,
    )
    path = np.array([(0.0, 0, 0), (0.1, 0, 0.1)])
    plan = TimedPlan(
        tuple('abcdef'),
        (motion,),
        (Correction(CorrectionKind.OBSTACLE, 1, np.array([0, 0, 0.012]), 'x'),),
        path,
        path,
        0.02,
        0.2,
        0.0,
        obstacles=np.array([(0.5, 0, 0.1)]),
        voxel_size=0.02,
    )
    markers = by_namespace(plan_markers(plan, 'base_link', 0))
    assert set(markers) == {
        'plan/tool',
        'plan/object',
        'plan/corrected',
        'plan/obstacles',
        'plan/corrections',
    }
    assert [p.x for p in markers['plan/tool'].points] == [0.0, 0.1, 0.2, 0.3]
    assert markers['plan/obstacles'].scale.x == 0.02
    assert markers['plan/corrections'].text == 'obstacle: 12 mm'


def test_an_empty_plan_only_clears():
    plan = TimedPlan((), (), (), np.zeros((0, 3)), np.zeros((0, 3)), 0.0, 0.0, 0.0)
    assert len(plan_markers(plan, 'base_link', 0).markers) == 1
