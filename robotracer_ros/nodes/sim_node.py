# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The simulated workcell as ROS drivers would show it: camera, joints, TF, clock, controllers.

Physics runs in a thread and rendering in a process of its own, so a slow picture delays neither
joint states nor the controllers. What only a simulation can know is under the node's own name: ``~/ground_truth``.
"""

from __future__ import annotations

import array
import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import Point, Pose, PoseArray, Quaternion, TransformStamped
from numpy.typing import NDArray
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from robotracer_ros.errors import RobotracerError
from robotracer_ros.geometry.transforms import invert, matrix_to_quaternion
from robotracer_ros.nodes.diagnostics import DiagnosticsPublisher, ErrorLog, Level, Meter, Status
from robotracer_ros.nodes.images import camera_to_info, depth_to_image, encode_rgb
from robotracer_ros.nodes.parameters import NodeParameters
from robotracer_ros.nodes.qos import make_qos
from robotracer_ros.nodes.runner import run_node
from robotracer_ros.nodes.sim_frames import BODY_FROM_OPTICAL, LinkFrames
from robotracer_ros.nodes.sim_loop import CameraWorker, SimLoop
from robotracer_ros.nodes.sim_parameters import NODE_NAME, PARAMETERS
from robotracer_ros.nodes.stamps import duration_to_s, ns_to_stamp, stamp_to_ns
from robotracer_ros.nodes.transforms import format_extrinsic
from robotracer_ros.robot_description import load_urdf
from robotracer_ros.sim.camera import View
from robotracer_ros.sim.contacts import ContactMonitor
from robotracer_ros.sim.noise import DepthNoise
from robotracer_ros.sim.physics import TABLE, PhysicsConfig
from robotracer_ros.sim.scenes import SceneConfig
from robotracer_ros.sim.spec import Rendering, Scene
from robotracer_ros.sim.trajectory_controller import TrajectoryCommand, TrajectoryPoint
from robotracer_ros.sim.workcell import Workcell, WorkcellConfig
from robotracer_ros.sim.world import JointReading

Matrix = NDArray[np.float64]


class SimNode(Node):
    """Publishes the workcell; see ``sim_parameters.py`` for names, rates and encodings."""

    def __init__(self, **options: Any) -> None:
        super().__init__(NODE_NAME, **options)
        self._p = NodeParameters(self, PARAMETERS)
        self._errors = ErrorLog()
        self.failure: BaseException | None = None
        self._states, self._frames = Meter(), Meter()
        self._accepted = self._refused = 0
        self._due: dict[str, int] = {}
        cell = Workcell(self._p.integer('seed'), self._config())
        self._monitor: ContactMonitor | None = None
        self._watch(cell)
        self._links = LinkFrames(load_urdf())
        self._make_publishers()
        self._camera = CameraWorker(self._noise(), self._publish_images, self._fail)
        self._loop = SimLoop(
            cell, self._publish_state, self._camera.put,
            state_rate_hz=self._p.number('joint_states.rate_hz'),
            view_rate_hz=self._p.number('camera.rate_hz'), wants_view=self._wants_view,
            real_time_factor=self._p.number('real_time_factor'), on_failure=self._fail)
        self._announce(cell.world.scene())
        text = self._p.string
        commands = make_qos('reliable', depth=10)
        self.create_subscription(JointTrajectory, text('arm.topic'), self._on_arm, commands)
        self.create_subscription(JointTrajectory, text('gripper.topic'), self._on_gripper, commands)
        self.create_service(Trigger, '~/reset', self._on_reset)
        self._p.add_check(self._check_parameters)
        self._p.on_change(self._on_parameters)
        self._diagnostics = DiagnosticsPublisher(
            self, (self._report,), self._p.number('diagnostics.period_s'))
        self._camera.start()
        self._loop.start()

    # -- set-up -----------------------------------------------------------------------------------

    def _config(self) -> WorkcellConfig:
        number, integer = self._p.number, self._p.integer
        return WorkcellConfig(
            physics=PhysicsConfig(gripper_force=number('gripper.force_n')),
            scenes=SceneConfig(
                min_objects=integer('scene.min_objects'), max_objects=integer('scene.max_objects'),
                width=integer('camera.width'), height=integer('camera.height')))

    def _noise(self) -> DepthNoise:
        return DepthNoise(**{f.name: self._p.number(f'depth_noise.{f.name}')
                             for f in fields(DepthNoise)})

    def _make_publishers(self) -> None:
        p, make = self._p, self.create_publisher

        def quality(name: str) -> Any:
            return make_qos(p.string(f'{name}.qos.reliability'), p.string(f'{name}.qos.durability'),
                            p.integer(f'{name}.qos.depth'))

        self._color = make(Image, p.string('color.topic'), quality('color'))
        self._depth = make(Image, p.string('depth.topic'), quality('depth'))
        self._infos = [make(CameraInfo, p.string(f'camera_info.{name}'), quality('camera_info'))
                       for name in ('topic', 'depth_topic')]
        self._joints = make(JointState, p.string('joint_states.topic'), make_qos(depth=10))
        self._time = make(Clock, '/clock', make_qos(depth=10)) \
            if p.flag('clock.publish') else None
        self._truth = make(String, '~/ground_truth', make_qos(depth=5))
        self._poses = make(PoseArray, '~/ground_truth_poses', make_qos(depth=5))
        self._tf = self._tf_static = None
        if p.flag('tf.publish'):
            try:
                from tf2_msgs.msg import TFMessage
            except ImportError:
                self.get_logger().warning(
                    'tf2_msgs is not installed, so /tf and /tf_static are not published: install '
                    'ros-$ROS_DISTRO-tf2-msgs, or build it for the wheels, or give the other nodes '
                    'the camera pose as tf.extrinsics')
                return
            self._tf_message = TFMessage
            self._tf = make(TFMessage, '/tf', make_qos(depth=100))
            latched = make_qos('reliable', 'transient_local', 1)
            self._tf_static = make(TFMessage, '/tf_static', latched)
            # What robot_state_publisher would do as well; RViz finds meshes by URI only.
            self._description = make(String, 'robot_description', latched)
            self._description.publish(
                String(data=load_urdf().replace('filename="/', 'filename="file:///')))

    def _announce(self, scene: Scene) -> None:
        """Say where the camera is: on /tf_static and in the log, ready for tf.extrinsics."""
        base, link, optical = (self._p.string(n) for n in
                               ('base_frame', 'camera.link_frame', 'camera.frame'))
        base_from_link = scene.world_from_camera @ invert(BODY_FROM_OPTICAL)
        self.get_logger().info(
            f'seed {scene.seed}: {", ".join(o.id for o in scene.objects)}; camera at '
            f"'{format_extrinsic(base, optical, scene.world_from_camera)}'")
        if self._tf_static is not None:
            edges = [*self._links.fixed(), (base, link, base_from_link),
                     (link, optical, BODY_FROM_OPTICAL)]
            self._tf_static.publish(self._transforms(edges, self._loop.time_ns))

    def _transforms(self, edges: list[tuple[str, str, Matrix]], time_ns: int) -> Any:
        stamp, out = ns_to_stamp(time_ns), []
        for parent, child, matrix in edges:
            t = TransformStamped(child_frame_id=child)
            t.header.frame_id, t.header.stamp = parent, stamp
            q, v = t.transform.rotation, t.transform.translation
            q.x, q.y, q.z, q.w = matrix_to_quaternion(matrix[:3, :3]).tolist()
            v.x, v.y, v.z = matrix[:3, 3].tolist()
            out.append(t)
        return self._tf_message(transforms=out)

    # -- out (physics and camera threads) ---------------------------------------------------------

    def _is_due(self, what: str, rate_hz: float, now_ns: int) -> bool:
        if now_ns < self._due.get(what, 0):
            return False
        period = round(1e9 / rate_hz)
        self._due[what] = max(self._due.get(what, now_ns) + period, now_ns)
        return True

    def _publish_state(self, reading: JointReading, now_ns: int) -> None:
        number = self._p.number
        if self._time is not None and self._is_due('clock', number('clock.rate_hz'), now_ns):
            self._time.publish(Clock(clock=ns_to_stamp(now_ns)))
        msg = JointState(name=list(reading.names))
        msg.header.stamp = ns_to_stamp(now_ns)
        msg.header.frame_id = self._p.string('base_frame')
        msg.position = array.array('d', reading.positions.tolist())
        msg.velocity = array.array('d', reading.velocities.tolist())
        msg.effort = array.array('d', reading.efforts.tolist())
        self._joints.publish(msg)
        self._states.tick()
        if self._tf is not None and self._is_due('tf', number('tf.rate_hz'), now_ns):
            positions = dict(zip(reading.names, reading.positions.tolist(), strict=True))
            self._tf.publish(self._transforms(self._links.moving(positions), now_ns))
        if self._is_due('truth', number('ground_truth.rate_hz'), now_ns) and (
                self._truth.get_subscription_count() or self._poses.get_subscription_count()):
            self._publish_truth(now_ns)

    def _publish_truth(self, now_ns: int) -> None:
        def look(cell: Workcell) -> tuple[Scene, float, list[dict[str, Any]]]:
            found = self._monitor.violations if self._monitor is not None else ()
            contacts = [{'bodies': list(v.bodies), 'force_n': v.force,
                         'penetration_m': v.penetration, 'time_s': v.peak_time} for v in found]
            return cell.world.scene(), cell.world.gripper_opening, contacts

        scene, opening, contacts = self._loop.call(look)
        poses = PoseArray()
        poses.header.frame_id = self._p.string('base_frame')
        poses.header.stamp = ns_to_stamp(now_ns)
        objects = []
        for o in scene.objects:
            xyz, q = o.pose[:3, 3].tolist(), matrix_to_quaternion(o.pose[:3, :3]).tolist()
            objects.append({'id': o.id, 'kind': o.kind, 'color': o.color, 'size': o.size_name,
                            'position': xyz, 'orientation': q, 'extents': o.extents.tolist(),
                            'fixed': o.fixed, 'graspable': o.graspable})
            poses.poses.append(_pose(xyz, q))
        self._poses.publish(poses)
        self._truth.publish(String(data=json.dumps(
            {'stamp_ns': now_ns, 'seed': scene.seed, 'gripper_opening': opening,
             'arm': scene.robot_q.tolist(), 'objects': objects,
             'unintended_contacts': contacts})))

    def _wants_view(self) -> bool:
        return not self._p.flag('camera.lazy') or any(
            p.get_subscription_count() for p in (self._color, self._depth, *self._infos))

    def _publish_images(self, view: View, time_ns: int, images: Rendering) -> None:
        frame, camera = self._p.string('camera.frame'), view.scene.camera
        info = camera_to_info(camera, frame, time_ns)
        for publisher in self._infos:
            publisher.publish(info)
        self._depth.publish(depth_to_image(images.depth, self._p.string('depth.encoding'), frame,
                                           time_ns))
        self._color.publish(encode_rgb(images.rgb, self._p.string('color.encoding'), frame,
                                       time_ns))
        self._frames.tick()

    # -- in (executor) ----------------------------------------------------------------------------

    def _command(self, msg: JointTrajectory) -> tuple[list[str], list[TrajectoryPoint], int]:
        points = [TrajectoryPoint(duration_to_s(p.time_from_start), p.positions, p.velocities,
                                  p.accelerations) for p in msg.points]
        return list(msg.joint_names), points, stamp_to_ns(msg.header.stamp)

    def _on_arm(self, msg: JointTrajectory) -> None:
        names, points, start_ns = self._command(msg)
        self._try('arm', lambda cell: cell.command_arm(TrajectoryCommand(
            tuple(names), tuple(points), self._start(start_ns))))

    def _on_gripper(self, msg: JointTrajectory) -> None:
        names, points, start_ns = self._command(msg)
        effort = msg.points[-1].effort if msg.points else []
        force = float(effort[0]) if len(effort) else None
        self._try('gripper', lambda cell: cell.command_gripper(TrajectoryCommand(
            tuple(names), tuple(points), self._start(start_ns)), force))

    def _start(self, start_ns: int) -> float | None:
        """Return the start in the workcell's time; a stamp of zero means now."""
        return self._loop.cell_time(start_ns) if start_ns else None

    def _try(self, what: str, function: Any) -> None:
        try:
            self._loop.call(function)
            self._accepted += 1
            self._errors.clear()
        except RobotracerError as e:
            self._refused += 1
            self._errors.record(e)
            self.get_logger().warning(f'{what} trajectory refused: {e}')

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        seed = self._p.integer('seed')
        try:
            scene = self._reset(seed)
            response.success = True
            response.message = f'seed {seed}: {", ".join(o.id for o in scene.objects)}'
        except RobotracerError as e:
            response.success, response.message = False, f'{e.name} ({e.code}): {e}'
        return response

    def _reset(self, seed: int) -> Scene:
        self._loop.call(lambda _: self._close_monitor())
        self._loop.reset(seed)
        scene = self._loop.call(self._watch)
        self._announce(scene)
        return scene

    def _close_monitor(self) -> None:
        if self._monitor is not None:
            self._monitor.close()
            self._monitor = None

    def _watch(self, cell: Workcell) -> Scene:
        """Start a new record of unintended contacts for what watch.* names, if it is there."""
        self._close_monitor()
        scene = cell.world.scene()
        moved, goal = self._p.string('watch.moved'), self._p.strings('watch.goal')
        here = {TABLE, *(o.id for o in scene.objects)}
        known = moved in here and all(g in here for g in goal)
        self._monitor = ContactMonitor(cell.world, moved if known else None,
                                       goal=tuple(goal) if known and goal else (TABLE,))
        return scene

    def _check_parameters(self, new: dict[str, Any]) -> None:
        """Refuse watched objects that the scene does not hold."""
        if not new.keys() & {'watch.moved', 'watch.goal'}:
            return
        moved = new.get('watch.moved', self._p.string('watch.moved')) or None
        goal = tuple(new.get('watch.goal', self._p.strings('watch.goal'))) or (TABLE,)

        def attempt(cell: Workcell) -> None:
            ContactMonitor(cell.world, moved, goal=goal).close()

        if moved is not None:
            self._loop.call(attempt)

    def _on_parameters(self, new: dict[str, Any]) -> None:
        if 'real_time_factor' in new:
            self._loop.set_real_time_factor(self._p.number('real_time_factor'))
        if any(name.startswith('depth_noise.') for name in new):
            self._camera.set_noise(self._noise())
        if new.keys() & {'watch.moved', 'watch.goal'}:
            self._loop.call(self._watch)

    # -- state ------------------------------------------------------------------------------------

    def _report(self) -> tuple[str, Status]:
        status = Status(values={
            'joint_states_hz': self._states.rate_hz, 'images_hz': self._frames.rate_hz,
            'images_dropped': self._camera.dropped, 'lag_s': self._loop.lag_s,
            'lag_given_up_s': self._loop.given_up_s, 'trajectories_accepted': self._accepted,
            'trajectories_refused': self._refused})
        self._errors.report(status)
        if self._loop.given_up_s > 0:
            status.raise_to(Level.WARN, f'{self._loop.given_up_s:.1f} s behind the wanted real '
                            'time factor in all: the machine is too slow or too busy')
        return 'workcell', status

    def _fail(self, error: BaseException) -> None:
        """End the node: a simulation whose physics or camera died must not look alive."""
        if not rclpy.ok(context=self.context):
            return  # publishing fails after a signal has shut ROS down: that is no fault
        self.failure = error
        self.get_logger().fatal(f'the simulation stopped: {type(error).__name__}: {error}')
        rclpy.try_shutdown(context=self.context)

    def close(self) -> None:
        """Stop both threads; may be called twice."""
        self._loop.close()
        self._camera.close()


def _pose(position: list[float], orientation: list[float]) -> Pose:
    return Pose(position=Point(**dict(zip('xyz', position, strict=True))),
                orientation=Quaternion(**dict(zip('xyzw', orientation, strict=True))))


def main(args: Sequence[str] | None = None) -> int:
    """Run the simulation node as a process."""
    nodes: list[SimNode] = []

    def make() -> SimNode:
        nodes.append(SimNode())
        return nodes[0]

    code = run_node(make, args)
    return 1 if nodes and nodes[0].failure is not None else code


if __name__ == '__main__':
    sys.exit(main())
