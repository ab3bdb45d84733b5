# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Distance of what remains of a plan to obstacles in a fresh depth image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.planning.assemble import CLEARANCE_STEP, every
from robotracer_ros.planning.base import Motion, Phase, TimedPlan
from robotracer_ros.planning.checker import CLEARANCE_LEVELS, Rules
from robotracer_ros.planning.collision_scene import CollisionScene
from robotracer_ros.planning.robot_geometry import RobotGeometry
from robotracer_ros.planning.self_filter import SelfFilter
from robotracer_ros.planning.solids import Body
from robotracer_ros.scene.base import OrientedBox
from robotracer_ros.scene.cloud import cloud_in_base
from robotracer_ros.scene.obstacles import occupied_voxels

Matrix = NDArray[np.float64]

#: a depth image may be this old: the robot is filtered out wherever it was in that time, seconds
HISTORY_S = 0.4
HISTORY_STEP_S = 0.08
#: points this close (m) to the robot or the object are theirs
OWN_MARGIN = 0.035
#: only motions whose contacts are unintended are checked
PHASES = (Phase.REACH, Phase.CARRY)
_NONE = Rules(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Watched:
    """What has to be known of a plan to check it again.

    Attributes:
        plan: The plan itself.
        openings: Jaw opening of each motion, metres.
        carried: The object in the tool centre point's frame, or None.
        stands: Boxes where the object stands before and after, which are no obstacles.
        support_z: Height of the table, NaN when unknown.
        voxel: Edge of a voxel, metres.
    """

    plan: TimedPlan
    openings: tuple[float, ...]
    carried: Body | None
    extents: Matrix | None
    stands: tuple[OrientedBox, ...]
    support_z: float
    voxel: float


def remaining_clearance(
    robot: RobotGeometry,
    own: SelfFilter,
    watched: Watched,
    workspace: Matrix,
    step: int,
    time_s: float,
    depth: NDArray[np.float32],
    camera: CameraModel,
    base_from_camera: Matrix,
) -> float:
    """Return the clearance in metres; ``CLEARANCE_LEVELS[0]`` when nothing is nearer or nothing is
    left to check.

    Args:
        robot: Collision geometry.
        own: Recognises the robot.
        watched: The plan and its object.
        workspace: (2, 3) corners of the region that is looked at.
        step: Index into ``plan.steps`` of the step under way.
        time_s: Seconds into it.
        depth: The image.
        camera: The image.
        base_from_camera: The image.
    """
    plan = watched.plan
    cloud = cloud_in_base(depth, camera, base_from_camera).reshape(-1, 3)
    # Not filled downwards: what the arm hides must not become a pillar under it.
    centres = occupied_voxels(
        cloud, watched.voxel, workspace[0], workspace[1], watched.support_z, fill=False
    )
    number = sum(isinstance(s, Motion) for s in plan.steps[: step + 1]) - 1
    centres = _without_own(robot, own, watched, step, number, time_s, centres)
    space = CollisionScene(robot, centres, watched.voxel, float('nan'), watched.support_z)
    clearance = CLEARANCE_LEVELS[0]
    count = -1
    for i, s in enumerate(plan.steps):
        if not isinstance(s, Motion):
            continue
        count += 1
        if i < step or s.phase not in PHASES:
            continue
        take = every(s, CLEARANCE_STEP)
        if i == step:
            take = take[s.times[take] >= time_s]
        if len(take) == 0 or space.tree is None:
            continue
        carried = watched.carried if s.carrying else None
        checker = space.checker(_NONE, watched.openings[count], carried=carried)
        clearance = min(clearance, checker.clearance(s.positions[take]))
    return clearance


def _without_own(
    robot: RobotGeometry,
    own: SelfFilter,
    watched: Watched,
    step: int,
    number: int,
    time_s: float,
    centres: Matrix,
) -> Matrix:
    """Drop voxels that are the robot, what it carries, or the object where it stands."""
    keep = np.ones(len(centres), dtype=bool)
    for b in watched.stands:
        local = (centres - b.pose[:3, 3]) @ b.pose[:3, :3]
        keep &= ~(np.abs(local) <= b.extents / 2 + OWN_MARGIN).all(axis=1)
    centres = centres[keep]
    for motion, opening, time in _recent(watched, step, number, time_s):
        i = min(int(np.searchsorted(motion.times, time)), len(motion.times) - 1)
        carried = None
        if motion.carrying and watched.carried is not None and watched.extents is not None:
            carried = (watched.carried.pose, watched.extents)
        centres = centres[~own.at(motion.positions[i], opening, carried)(centres)]
    return centres


def _recent(
    watched: Watched, step: int, number: int, time_s: float
) -> list[tuple[Motion, float, float]]:
    """Return where the robot was in the last moments: motion, jaw opening, time into the motion."""
    motions = watched.plan.motions
    if not isinstance(watched.plan.steps[step], Motion) or number < 0:
        # The jaws move: the arm rests at the end of the motion before, or the start of the first.
        motion = motions[max(number, 0)]
        return [
            (motion, watched.openings[max(number, 0)], motion.times[-1] if number >= 0 else 0.0)
        ]
    motion, out = motions[number], []
    for back in np.arange(0.0, HISTORY_S + 1e-9, HISTORY_STEP_S):
        if time_s - back >= 0:
            out.append((motion, watched.openings[number], time_s - back))
        elif number > 0:
            before = motions[number - 1]
            out.append(
                (before, watched.openings[number - 1], max(before.times[-1] + time_s - back, 0.0))
            )
        else:
            out.append((motion, watched.openings[number], 0.0))
            break
    return out
