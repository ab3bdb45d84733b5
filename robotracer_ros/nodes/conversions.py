# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Domain types to messages and back: poses, traces, plans. Images and stamps are re-exported.

Everything a node needs to translate comes from this one module.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import Point, Pose, PoseArray, Quaternion, Transform, Vector3
from numpy.typing import ArrayLike, NDArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from robotracer_msgs.msg import PlanFigures, ReasoningStep, TraceCorrection, TracePoint
from robotracer_msgs.msg import Trace as TraceMsg
from robotracer_ros.errors import InvalidTraceError
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.trace import Measuring, Referring, Scale, Trace, TraceKind
from robotracer_ros.geometry.trace import ReasoningStep as Step
from robotracer_ros.geometry.transforms import (
    make_transform,
    matrix_to_quaternion,
    quaternion_to_matrix,
)
from robotracer_ros.nodes.images import (
    camera_to_info,
    depth_to_image,
    encode_rgb,
    image_to_depth,
    image_to_rgb,
    info_to_camera,
    rgb_to_image,
)
from robotracer_ros.nodes.stamps import duration_to_s, ns_to_stamp, s_to_duration, stamp_to_ns
from robotracer_ros.planning.base import Correction, TimedPlan

__all__ = [
    'camera_to_info', 'correction_to_msg', 'depth_to_image', 'duration_to_s', 'encode_rgb',
    'figures_to_msg', 'image_to_depth', 'image_to_rgb', 'info_to_camera', 'kind_from_msg',
    'matrix_to_pose', 'matrix_to_transform', 'ns_to_stamp', 'plan_to_tool_path',
    'plan_to_trajectory', 'pose_to_matrix', 'rgb_to_image', 's_to_duration', 'stamp_to_ns',
    'trace_from_msg', 'trace_point_to_msg', 'trace_to_msg', 'transform_to_matrix']


# --- poses ---------------------------------------------------------------------------------------

def pose_to_matrix(pose: Pose) -> NDArray[np.float64]:
    """Return a pose as (4, 4). Raises ValueError for a quaternion of zero length."""
    q, p = pose.orientation, pose.position
    return make_transform(quaternion_to_matrix((q.x, q.y, q.z, q.w)), (p.x, p.y, p.z))


def matrix_to_pose(matrix: NDArray[np.float64]) -> Pose:
    """Return (4, 4) as a pose."""
    q = matrix_to_quaternion(matrix[:3, :3])
    return Pose(position=_point(matrix[:3, 3]),
                orientation=Quaternion(**dict(zip('xyzw', map(float, q), strict=True))))


def transform_to_matrix(transform: Transform) -> NDArray[np.float64]:
    """Return parent_from_child (4, 4). Raises ValueError for a quaternion of zero length."""
    q, t = transform.rotation, transform.translation
    return make_transform(quaternion_to_matrix((q.x, q.y, q.z, q.w)), (t.x, t.y, t.z))


def matrix_to_transform(matrix: NDArray[np.float64]) -> Transform:
    """Return (4, 4) as a transform message."""
    pose = matrix_to_pose(matrix)
    return Transform(translation=_vector(matrix[:3, 3]), rotation=pose.orientation)


def _point(xyz: ArrayLike) -> Point:
    x, y, z = np.asarray(xyz, dtype=float)
    return Point(x=float(x), y=float(y), z=float(z))


def _vector(xyz: ArrayLike) -> Vector3:
    x, y, z = np.asarray(xyz, dtype=float)
    return Vector3(x=float(x), y=float(y), z=float(z))


# --- traces --------------------------------------------------------------------------------------

def kind_from_msg(kind: int) -> TraceKind:
    """Return the kind of a message; 0 means object-centric. Raises InvalidTraceError."""
    try:
        return TraceKind(kind or TraceKind.OBJECT_CENTRIC)
    except ValueError:
        known = ', '.join(f'{k.value} ({k.name})' for k in TraceKind)
        raise InvalidTraceError(f'trace kind {kind}: must be 0 or one of {known}') from None


def trace_point_to_msg(uvd: Sequence[float], camera: CameraModel | None = None) -> TracePoint:
    """Return (u, v, d) as a message; the position is NaN without a camera."""
    u, v, d = (float(x) for x in uvd)
    xyz = camera.lift((u, v, d)) if camera is not None else (math.nan, math.nan, math.nan)
    return TracePoint(u=u, v=v, d=d, position=_point(xyz))


def _step_to_msg(step: Step, camera: CameraModel) -> ReasoningStep:
    if isinstance(step, Scale):
        return ReasoningStep(kind=ReasoningStep.SCALE, target=step.target, value=float(step.value))
    if isinstance(step, Referring):
        return ReasoningStep(kind=ReasoningStep.REFERRING, target=step.target, value=math.nan,
                             point=trace_point_to_msg(step.point, camera))
    return ReasoningStep(kind=ReasoningStep.MEASURING, target=step.target,
                         value=float(step.metres), text=step.text)


def _step_from_msg(msg: ReasoningStep) -> Step:
    if msg.kind == ReasoningStep.SCALE:
        return Scale(msg.value, msg.target)
    if msg.kind == ReasoningStep.REFERRING:
        return Referring(msg.target, (msg.point.u, msg.point.v, msg.point.d))
    if msg.kind == ReasoningStep.MEASURING:
        return Measuring(msg.target, msg.value, msg.text)
    raise InvalidTraceError(f"reasoning step '{msg.target}' has kind {msg.kind}: must be 1, 2 or 3")


def trace_to_msg(trace: Trace) -> TraceMsg:
    """Write a trace; stamp and frame are those of its image, positions are lifted."""
    msg = TraceMsg()
    msg.header.frame_id = trace.frame_id
    msg.header.stamp = ns_to_stamp(trace.stamp_ns)
    msg.kind = int(trace.kind)
    msg.instruction = trace.instruction
    msg.points = [TracePoint(u=float(u), v=float(v), d=float(d), position=_point(xyz))
                  for (u, v, d), xyz in zip(trace.points, trace.xyz, strict=True)]
    msg.reasoning = [_step_to_msg(s, trace.camera) for s in trace.reasoning]
    msg.metric_scale = float(trace.metric_scale)
    msg.camera_info = camera_to_info(trace.camera, trace.frame_id, trace.stamp_ns)
    msg.model = trace.model
    msg.inference_time = s_to_duration(trace.inference_time_s)
    msg.raw_text = trace.raw_text
    return msg


def trace_from_msg(msg: TraceMsg) -> Trace:
    """Read a trace. The points' (u, v, d) and camera_info count; ``position`` is not read.

    Raises:
        InvalidTraceError: too few points, values not finite or out of range, unknown kind.
        NoIntrinsicsError: camera_info holds no usable intrinsics.
    """
    points = np.array([[p.u, p.v, p.d] for p in msg.points], dtype=float).reshape(-1, 3)
    return Trace(
        points=points, camera=info_to_camera(msg.camera_info), kind=kind_from_msg(msg.kind),
        instruction=msg.instruction, reasoning=tuple(_step_from_msg(s) for s in msg.reasoning),
        metric_scale=msg.metric_scale, frame_id=msg.header.frame_id,
        stamp_ns=stamp_to_ns(msg.header.stamp), model=msg.model,
        inference_time_s=duration_to_s(msg.inference_time), raw_text=msg.raw_text)


# --- plans ---------------------------------------------------------------------------------------

def plan_to_trajectory(plan: TimedPlan, frame_id: str = '',
                       stamp_ns: int = 0) -> tuple[JointTrajectory, list[int]]:
    """Write all motions of a plan as one trajectory, and the phase of each of its points.

    Jaw moves take no time here. A motion starts where the one before ended, at rest, so that
    shared point is written once: times increase strictly.
    """
    msg = JointTrajectory(joint_names=list(plan.joint_names))
    msg.header.frame_id = frame_id
    msg.header.stamp = ns_to_stamp(stamp_ns)
    points: list[JointTrajectoryPoint] = []
    phases: list[int] = []
    offset = 0.0
    for motion in plan.motions:
        for i in range(1 if points else 0, len(motion.times)):
            points.append(JointTrajectoryPoint(
                positions=motion.positions[i].tolist(), velocities=motion.velocities[i].tolist(),
                accelerations=motion.accelerations[i].tolist(),
                time_from_start=s_to_duration(offset + float(motion.times[i]))))
            phases.append(int(motion.phase))
        offset += float(motion.times[-1])
    msg.points = points
    return msg, phases


def plan_to_tool_path(plan: TimedPlan, frame_id: str, stamp_ns: int = 0) -> PoseArray:
    """Write the tool poses of a plan, one per trajectory point of :func:`plan_to_trajectory`."""
    msg = PoseArray()
    msg.header.frame_id = frame_id
    msg.header.stamp = ns_to_stamp(stamp_ns)
    poses: list[Pose] = []
    for motion in plan.motions:
        poses += [matrix_to_pose(t) for t in motion.tool[1 if poses else 0:]]
    msg.poses = poses
    return msg


def correction_to_msg(correction: Correction) -> TraceCorrection:
    """Write one correction of a trace."""
    return TraceCorrection(kind=int(correction.kind), waypoint=correction.waypoint,
                           offset=_vector(correction.offset), reason=correction.reason)


def figures_to_msg(plan: TimedPlan | None = None, *, planning_time_s: float = math.nan,
                   stage_times_s: Mapping[str, float] | None = None,
                   tracking_error_rms: float = math.nan, tracking_error_max: float = math.nan,
                   execution_time_s: float = math.nan, recheck_rate: float = math.nan,
                   recheck_max_gap: float = math.nan) -> PlanFigures:
    """Write what was measured; NaN where a figure was not."""
    stages: Mapping[str, Any] = stage_times_s or (plan.stage_times_s if plan else {})
    msg = PlanFigures(
        planning_time_s=planning_time_s, stage_names=list(stages),
        stage_times_s=[float(s) for s in stages.values()], tracking_error_rms=tracking_error_rms,
        tracking_error_max=tracking_error_max, execution_time_s=execution_time_s,
        duration_s=math.nan, min_clearance_m=math.nan, max_tcp_speed=math.nan,
        trace_deviation_m=math.nan, recheck_rate=recheck_rate, recheck_max_gap=recheck_max_gap)
    if plan is not None:
        msg.duration_s = plan.duration_s
        msg.min_clearance_m = float(plan.min_clearance_m)
        msg.max_tcp_speed = float(plan.max_tcp_speed)
        msg.trace_deviation_m = float(plan.trace_deviation_m)
    return msg
