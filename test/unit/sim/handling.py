# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Drive the arm of a world along straight tool paths, top-down, for grasp tests."""

from dataclasses import dataclass, replace

import numpy as np
import pinocchio as pin
from scipy.spatial.transform import Rotation

from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.transforms import invert, look_at, make_transform, rotation_about
from robotracer_ros.planning.ur_kinematics import UrKinematics
from robotracer_ros.robot_description import ARM_JOINTS, TCP_FRAME, load_urdf
from robotracer_ros.sim.catalog import KINDS, make_object
from robotracer_ros.sim.spec import HOME_Q, Scene

BASE_FROM_WORLD = make_transform(np.diag([-1.0, -1.0, 1.0]))


def table_with(*objects):
    """Make a scene of these objects, seen by some camera."""
    return Scene(0, objects, CameraModel(320, 240, 340, 340, 159.5, 119.5),
                 look_at((1.2, 0.0, 0.7), (0.5, 0.0, 0.0)), np.array(HOME_Q))


def standing(kind, size='medium', variant=0, x=0.5, y=-0.1, yaw=0.4, z=0.0):
    """Make an object of the catalog standing on the table (or at height z), metres."""
    item = make_object(kind, KINDS[kind].colors[0], size, variant)
    pose = make_transform(rotation_about((0, 0, 1), yaw), (x, y, z + item.extents[2] / 2))
    return replace(item, pose=pose)


def pointing_down(position, yaw):
    """Return world_from_tcp with z down and the jaws closing along yaw."""
    y = np.array([np.cos(yaw), np.sin(yaw), 0.0])
    z = np.array([0.0, 0.0, -1.0])
    return make_transform(np.stack([np.cross(y, z), y, z], axis=1), position)


def smooth(n):
    """Yield n values from 0 to 1, at rest at both ends."""
    u = np.arange(1, n + 1) / n
    return 10 * u**3 - 15 * u**4 + 6 * u**5


class Arm:
    """Moves the tool of a world; remembers the worst servo error, rad."""

    def __init__(self, world):
        self.world = world
        self.q = world.arm_q
        model = pin.buildModelFromXML(load_urdf())
        self.ur = UrKinematics.from_model(model, ARM_JOINTS, 'base', TCP_FRAME)
        self.error = 0.0

    def solve(self, tcp, near):
        solutions = self.ur.inverse((BASE_FROM_WORLD @ tcp)[None], near[5])[0]
        solutions = solutions[np.isfinite(solutions[:, 0])]
        assert len(solutions), f'{tcp[:3, 3]} is out of reach'
        solutions = (solutions - near + np.pi) % (2 * np.pi) - np.pi + near
        return solutions[np.argmin(np.abs(solutions - near).sum(axis=1))]

    def follow(self, path):
        """Follow joint positions (N, 6), one per physics step."""
        path = np.asarray(path)
        speeds = np.gradient(np.vstack([self.q, path]), self.world.config.timestep, axis=0)[1:]
        for q, v in zip(path, speeds, strict=True):
            self.world.set_arm_target(q, v)
            self.world.step()
            self.error = max(self.error, float(np.abs(self.world.arm_q - q).max()))
        self.world.set_arm_target(path[-1])
        self.q = path[-1]

    def joints_to(self, q, speed=1.0):
        """Move all joints together, the fastest with this peak speed, rad/s."""
        n = max(50, int(np.abs(q - self.q).max() * 1.875 / speed / self.world.config.timestep))
        self.follow(self.q + smooth(n)[:, None] * (q - self.q))

    def line_to(self, goal, speed=0.25):
        """Move the tool straight to world_from_tcp with this peak speed, m/s."""
        start = self.world.frame_pose(TCP_FRAME)
        turn = Rotation.from_matrix(start[:3, :3].T @ goal[:3, :3]).as_rotvec()
        way = goal[:3, 3] - start[:3, 3]
        seconds = max(1.875 * np.linalg.norm(way) / speed, 1.875 * np.linalg.norm(turn), 0.1)
        path, q = [], self.q
        for a in smooth(int(seconds / self.world.config.timestep)):
            q = self.solve(make_transform(
                start[:3, :3] @ Rotation.from_rotvec(a * turn).as_matrix(),
                start[:3, 3] + a * way), q)
            path.append(q)
        self.follow(path)

    def wait(self, seconds):
        self.world.step(round(seconds / self.world.config.timestep))


def angle(a, b):
    """Return the angle between two rotations (or poses), degrees."""
    cosine = (np.trace(a[:3, :3].T @ b[:3, :3]) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


@dataclass(frozen=True)
class Handled:
    """What a pick and place did; millimetres and degrees, lift in metres."""

    width: float
    slip_closing: float
    turn_closing: float
    slip: float
    turn: float
    lift: float
    place_error: float
    lean: float
    servo_error: float


def pick_and_place(world, item, grasp, way=(0.0, 0.25, 0.0), force=None):
    """Grasp at (x, y of the object frame, height above its bottom, yaw in it), lift 15 cm, move
    the object by ``way`` at 0.25 m/s and back and forth, put it down and let go."""
    arm = Arm(world)
    x, y, height, yaw = grasp
    start = world.object_poses()[item.id]
    place = (start @ [x, y, 0, 1])[:3]
    place[2] = start[2, 3] - item.extents[2] / 2 + height
    yaw += float(np.arctan2(start[1, 0], start[0, 0]))
    up, way = np.array([0, 0, 0.15]), np.asarray(way)

    def held():
        return invert(world.frame_pose(TCP_FRAME)) @ world.object_poses()[item.id]

    world.set_gripper(0.1, force)
    arm.joints_to(arm.solve(pointing_down(place + up, yaw), arm.q))
    arm.line_to(pointing_down(place, yaw))
    before = held()
    world.set_gripper(0.0, force)
    arm.wait(0.8)
    width = world.gripper_opening
    arm.line_to(pointing_down(place + up, yaw))
    lifted, lift = held(), world.object_poses()[item.id][2, 3] - start[2, 3]
    arm.line_to(pointing_down(place + up + way, yaw))
    arm.line_to(pointing_down(place + up + way - np.array([0.05, 0, 0]), yaw))
    arm.line_to(pointing_down(place + up + way, yaw))
    carried = held()
    arm.line_to(pointing_down(place + way + np.array([0, 0, 0.001]), yaw), speed=0.1)
    world.set_gripper(min(0.1, width + 0.03), force)
    arm.wait(0.5)
    arm.line_to(pointing_down(place + up + way, yaw))
    arm.wait(0.3)
    end = world.object_poses()[item.id]

    def distance(a, b):
        return 1000 * float(np.linalg.norm(a[:3, 3] - b[:3, 3]))

    return Handled(width, distance(lifted, before), angle(lifted, before),
                   distance(carried, lifted), angle(carried, lifted), lift,
                   1000 * float(np.linalg.norm(end[:3, 3] - start[:3, 3] - way)),
                   float(np.degrees(np.arccos(min(1.0, end[2, 2])))), arm.error)


def grasp_of(item):
    """Return (x, y, height, yaw) of a sensible top-down grasp of a catalog object."""
    tall = float(item.extents[2])
    low = -tall / 2
    across = np.pi / 2  # jaws close along the object's y: its shorter side, or beside a handle
    if item.kind == 'bowl':
        walls = [p for p in item.parts if p.shape == 'box']
        wall = max(walls, key=lambda p: p.pose[2, 3] + 1e-3 * p.pose[0, 3])
        top = wall.pose[:3, 3] + wall.pose[:3, 2] * (wall.size[2] - 0.010)
        return top[0], top[1], top[2] - low, float(np.arctan2(top[1], top[0]))
    if item.kind == 'watering can':
        bars = [p for p in item.parts if p.shape == 'capsule' and p.pose[0, 3] < 0.03]
        bar = max(bars, key=lambda p: p.pose[2, 3])
        return bar.pose[0, 3], 0.0, bar.pose[2, 3] - low - 0.004, across
    if item.kind == 'mug':
        floor = item.parts[0].pose
        return floor[0, 3], floor[1, 3], tall - 0.025, across
    if item.kind in ('cup', 'bottle'):
        return 0.0, 0.0, tall - 0.02, across
    share = {'carton': 0.6, 'can': 0.6, 'candle': 0.6, 'jar': 0.45}.get(item.kind, 0.5)
    return 0.0, 0.0, max(0.0145, share * tall), across
