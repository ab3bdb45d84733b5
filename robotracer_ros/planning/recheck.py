# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Distance of what remains of a plan to obstacles in a fresh depth image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.planning.assemble import CLEARANCE_STEP, every
from robotracer_ros.planning.base import Grip, Motion, Phase, TimedPlan
from robotracer_ros.planning.checker import CLEARANCE_LEVELS, Rules
from robotracer_ros.planning.collision_scene import CollisionScene
from robotracer_ros.planning.robot_geometry import RobotGeometry
from robotracer_ros.planning.self_filter import SelfFilter
from robotracer_ros.planning.solids import Body
from robotracer_ros.scene.base import OrientedBox
from robotracer_ros.scene.cloud import cloud_in_base, steady_pixels
from robotracer_ros.scene.obstacles import occupied_voxels

Matrix = NDArray[np.float64]

#: a depth image may be this old: the robot is filtered out wherever it was in that time, seconds
HISTORY_S = 0.4
HISTORY_STEP_S = 0.08
#: points this close (m) to the robot or the object are theirs
OWN_MARGIN = 0.035
#: points in a voxel that count as seen, against noise
MIN_POINTS = 3
#: motions that touch nothing: they keep clear of everything that is seen. The others go near things
#: on purpose, which the planner has judged; they keep clear of what has come since.
FREE = (Phase.REACH, Phase.CARRY)
#: a voxel this many cells or less beside one that was planned with shows the same thing
SAME_CELLS = 2
_NONE = Rules(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Watched:
    """What has to be known of a plan to check it again.

    Attributes:
        plan: The plan itself.
        openings: Jaw opening of each motion, metres.
        carried: The object in the tool centre point's frame, or None.
        extents: Of its box, metres.
        stood: Box of the object where it stands before it is lifted.
        stands: Box of the object where it stands after it was let go.
        support_z: Height of the table, NaN when unknown.
        voxel: Edge of a voxel, metres.
        known: (N, 3) centres of the voxels that were planned with.
    """

    plan: TimedPlan
    openings: tuple[float, ...]
    carried: Body | None
    extents: Matrix | None
    stood: OrientedBox | None
    stands: OrientedBox | None
    support_z: float
    voxel: float
    known: Matrix

    def standing(self, step: int) -> tuple[OrientedBox, ...]:
        """Return where the object may stand in an image of that step: no obstacle there."""
        steps = self.plan.steps
        lifted = next((i for i, s in enumerate(steps) if s.phase == Phase.CARRY), len(steps))
        released = next(
            (i for i, s in enumerate(steps) if isinstance(s, Grip) and s.phase == Phase.RELEASE),
            len(steps),
        )
        before = (self.stood,) if self.stood is not None and step < lifted else ()
        after = (self.stands,) if self.stands is not None and step >= released else ()
        return before + after

    def new(self, centres: Matrix) -> Matrix:
        """Return those of voxels (N, 3) that show something that was not planned with."""
        return centres[~np.isin(self._keys(self._cells(centres)), self._around_known)]

    @cached_property
    def _around_known(self) -> NDArray[np.int64]:
        side = np.arange(-SAME_CELLS, SAME_CELLS + 1)
        near = np.stack(np.meshgrid(side, side, side, indexing='ij'), -1).reshape(-1, 3)
        cells = self._cells(self.known)
        return np.unique(np.concatenate([self._keys(cells + n) for n in near]))

    def _cells(self, centres: Matrix) -> NDArray[np.int64]:
        return np.floor(centres / self.voxel).astype(np.int64)

    @staticmethod
    def _keys(cells: NDArray[np.int64]) -> NDArray[np.int64]:
        # 2^20 cells each way are kilometres.
        x, y, z = (cells + (1 << 20)).T
        return (x << 42) | (y << 21) | z


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
    cloud = cloud_in_base(depth, camera, base_from_camera)[steady_pixels(depth)]
    # Not filled downwards: what the arm hides must not become a pillar under it.
    centres = occupied_voxels(
        cloud,
        watched.voxel,
        workspace[0],
        workspace[1],
        watched.support_z,
        MIN_POINTS,
        fill=False,
    )
    number = sum(isinstance(s, Motion) for s in plan.steps[: step + 1]) - 1
    centres = _without_own(robot, own, watched, step, number, time_s, centres)
    space = CollisionScene(robot, centres, watched.voxel, float('nan'), watched.support_z)
    # What is touched on purpose stands on the support, whose skin is no news.
    news = CollisionScene(
        robot, watched.new(space.centres), watched.voxel, float('nan'), watched.support_z
    )
    clearance = CLEARANCE_LEVELS[0]
    count = -1
    for i, s in enumerate(plan.steps):
        if not isinstance(s, Motion):
            continue
        count += 1
        if i < step:
            continue
        free = s.phase in FREE
        against = space if free else news
        take = every(s, CLEARANCE_STEP)
        if i == step:
            take = take[s.times[take] >= time_s]
        if len(take) == 0 or against.tree is None:
            continue
        carried = watched.carried if s.carrying else None
        checker = against.checker(
            _NONE, watched.openings[count], touching=not free, carried=carried
        )
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
    for b in watched.standing(step):
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
