# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""RViz markers of a trace and of a plan. One namespace per layer, so that RViz can switch them on and off."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point
from numpy.typing import ArrayLike, NDArray
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from robotracer_ros.geometry.trace import Measuring, Referring, Trace
from robotracer_ros.planning.base import TimedPlan
from robotracer_ros.viz.overlay import gradient

_LABEL_HEIGHT_M = 0.025
_OBSTACLE_RGB = (231, 76, 60)
_CORRECTED_RGB = (243, 156, 18)
_TOOL_RGB = (142, 68, 173)
_OBJECT_RGB = (52, 152, 219)


def trace_markers(trace: Trace) -> MarkerArray:
    """Show a trace in its own optical frame: path, keypoints, and labels with depth and referred things.

    Markers of an earlier trace are cleared first.
    """
    header = Header(frame_id=trace.frame_id, stamp=_stamp(trace.stamp_ns))
    points, colors = trace.xyz, gradient(len(trace.points))
    labels = [(points[0], trace.instruction)] if trace.instruction else []
    for step in trace.reasoning:
        if isinstance(step, Referring):
            labels.append((trace.camera.lift(np.array(step.point)), step.target))
        elif isinstance(step, Measuring):
            labels.append(
                (
                    points[0] + (0.0, 0.05 + 0.03 * len(labels), 0.0),
                    f'{step.target}: {100 * step.metres:.1f} cm',
                )
            )
    keypoints = _marker(header, 'trace/keypoints', 0, Marker.SPHERE_LIST, 0.018)
    keypoints.points, keypoints.colors = _points(points), _colors(colors)
    return MarkerArray(
        markers=[
            _clear(header),
            _line(header, 'trace/path', points, colors, 0.007),
            keypoints,
            *_labels(header, 'trace/labels', labels),
        ]
    )


def plan_markers(plan: TimedPlan, frame_id: str, stamp_ns: int) -> MarkerArray:
    """Show a plan in the planning frame: corrected trace, tool path, the object's way, obstacles.

    Markers of an earlier plan are cleared first.

    Args:
        plan: What will be executed.
        frame_id: The planning frame.
        stamp_ns: Time of the plan.
    """
    header = Header(frame_id=frame_id, stamp=_stamp(stamp_ns))
    markers = [_clear(header)]
    tool = (
        np.concatenate([m.tool[:, :3, 3] for m in plan.motions])
        if plan.motions
        else np.zeros((0, 3))
    )
    for namespace, path, rgb, width in (
        ('plan/tool', tool, _TOOL_RGB, 0.003),
        ('plan/object', plan.object_path, _OBJECT_RGB, 0.012),
        ('plan/corrected', plan.corrected, _CORRECTED_RGB, 0.005),
    ):
        if len(path) > 1:
            markers.append(
                _line(
                    header, namespace, path, np.tile(np.array(rgb, np.uint8), (len(path), 1)), width
                )
            )
    if len(plan.obstacles):
        cubes = _marker(header, 'plan/obstacles', 0, Marker.CUBE_LIST, plan.voxel_size)
        cubes.points, cubes.color = _points(plan.obstacles), _color(_OBSTACLE_RGB, 0.35)
        markers.append(cubes)
    notes = [
        (
            plan.corrected[c.waypoint],
            f'{c.kind.name.lower()}: {1000 * float(np.linalg.norm(c.offset)):.0f} mm',
        )
        for c in plan.corrections
        if c.waypoint < len(plan.corrected)
    ]
    return MarkerArray(markers=[*markers, *_labels(header, 'plan/corrections', notes)])


def _clear(header: Header) -> Marker:
    return Marker(header=header, action=Marker.DELETEALL)


def _marker(header: Header, namespace: str, number: int, kind: int, size: float) -> Marker:
    marker = Marker(header=header, ns=namespace, id=number, type=kind, action=Marker.ADD)
    marker.pose.orientation.w = 1.0
    marker.scale.x = marker.scale.y = marker.scale.z = size
    return marker


def _line(
    header: Header, namespace: str, points: ArrayLike, colors: NDArray[np.uint8], width: float
) -> Marker:
    marker = _marker(header, namespace, 0, Marker.LINE_STRIP, width)
    marker.points, marker.colors = _points(points), _colors(colors)
    return marker


def _labels(
    header: Header, namespace: str, labels: Sequence[tuple[NDArray[np.float64], str]]
) -> Iterable[Marker]:
    for number, (position, words) in enumerate(labels):
        marker = _marker(header, namespace, number, Marker.TEXT_VIEW_FACING, _LABEL_HEIGHT_M)
        marker.pose.position = _points(position[None])[0]
        marker.text, marker.color = words, _color((255, 255, 255), 1.0)
        yield marker


def _points(points: ArrayLike) -> list[Point]:
    return [
        Point(x=x, y=y, z=z)
        for x, y, z in np.asarray(points, dtype=float).tolist()
        if math.isfinite(x + y + z)
    ]


def _color(rgb: Sequence[int], alpha: float) -> ColorRGBA:
    return ColorRGBA(r=rgb[0] / 255.0, g=rgb[1] / 255.0, b=rgb[2] / 255.0, a=alpha)


def _colors(rgb: NDArray[np.uint8]) -> list[ColorRGBA]:
    return [_color(c, 1.0) for c in rgb.tolist()]


def _stamp(stamp_ns: int) -> Time:
    return Time(sec=stamp_ns // 1_000_000_000, nanosec=stamp_ns % 1_000_000_000)
