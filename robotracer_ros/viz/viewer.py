# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The browser viewer: robot, point cloud, trace, plan, and a text box for the instruction.

Everything is drawn in the planning (robot base) frame, metres. No ROS here: a node feeds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import viser
from numpy.typing import ArrayLike, NDArray

from robotracer_ros.geometry.trace import Measuring, Referring, Scale, Trace
from robotracer_ros.geometry.transforms import apply, matrix_to_quaternion
from robotracer_ros.viz.overlay import gradient

_ROBOT_RGB = (176, 190, 205)
_PLAN_RGB = (142, 68, 173)
_OBJECT_RGB = (52, 152, 219)
_CORRECTED_RGB = (243, 156, 18)


class Viewer:
    """A web page with the scene.

    Args:
        host: Interface to listen on; loopback unless chosen otherwise.
        port: TCP port; the next free one is taken when it is in use.
        on_instruction: Called with the sentence when a person presses *Go*.
        on_stop: Called when a person presses *Stop*.
    """

    def __init__(
        self,
        host: str,
        port: int,
        on_instruction: Callable[[str], None],
        on_stop: Callable[[], None],
    ) -> None:
        self._server = viser.ViserServer(host=host, port=port, label='robotracer', verbose=False)
        self._server.scene.set_up_direction('+z')
        self._server.gui.main_panel.dock_right()
        self._server.gui.configure_theme(
            control_width='medium',
            show_logo=False,
            show_share_button=False,
        )
        self._server.initial_camera.position = (1.45, 0.85, 0.95)
        self._server.initial_camera.look_at = (0.35, 0.0, 0.12)
        self._server.scene.add_grid(
            '/table',
            width=2.0,
            height=2.0,
            cell_size=0.1,
            section_size=0.5,
            position=(0.4, 0.0, -0.002),
        )
        gui = self._server.gui
        self._instruction = gui.add_text('Instruction', '', hint='What the robot should do')
        self._go = gui.add_button('Go', color='green')
        self._stop = gui.add_button('Stop', color='red')
        self._progress = gui.add_progress_bar(0.0)
        self._status = gui.add_markdown('_Waiting for the robot._')
        self._reasoning = gui.add_markdown('')
        self._image = gui.add_image(np.zeros((3, 4, 3), np.uint8), label='Camera', format='jpeg')
        self._links: dict[str, viser.MeshHandle] = {}
        self._shown: dict[str, set[str]] = {}
        self._go.on_click(lambda _: on_instruction(self._instruction.value))
        self._stop.on_click(lambda _: on_stop())

    @property
    def url(self) -> str:
        """Address to open in a browser."""
        host = self._server.get_host()
        return f'http://{"localhost" if host in ("0.0.0.0", "127.0.0.1") else host}:{self._server.get_port()}'

    def close(self) -> None:
        """Stop the server."""
        self._server.stop()

    def set_robot(self, meshes: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> None:
        """Show the robot's links: name to vertices (V, 3) in the link frame and faces (F, 3)."""
        for name, (vertices, faces) in meshes.items():
            self._links[name] = self._server.scene.add_mesh_simple(
                f'/robot/{name}',
                np.asarray(vertices, np.float32),
                np.asarray(faces, np.uint32),
                color=_ROBOT_RGB,
                side='double',
            )

    def move_robot(self, poses: Mapping[str, NDArray[np.float64]]) -> None:
        """Place links: name to base_from_link (4, 4)."""
        with self._server.atomic():
            for name, pose in poses.items():
                x, y, z, w = matrix_to_quaternion(pose[:3, :3])
                self._links[name].wxyz = (w, x, y, z)
                self._links[name].position = pose[:3, 3]

    def set_cloud(self, points: NDArray[np.floating], rgb: NDArray[np.uint8]) -> None:
        """Show a coloured point cloud: (N, 3) metres and (N, 3) uint8."""
        self._server.scene.add_point_cloud(
            '/cloud', points.astype(np.float32), rgb, point_size=0.004, point_shape='circle'
        )

    def set_image(self, rgb: NDArray[np.uint8]) -> None:
        """Show a camera image or overlay (H, W, 3) beside the scene."""
        self._image.image = rgb

    def set_instruction(self, instruction: str) -> None:
        """Put a sentence into the text box."""
        self._instruction.value = instruction

    def set_trace(self, trace: Trace, base_from_camera: NDArray[np.float64]) -> None:
        """Show a trace with what the model said on the way, instead of the one before."""
        points = apply(base_from_camera, trace.xyz)
        colors = gradient(len(points))
        with self._server.atomic():
            shown = [self._polyline('/trace/path', points, colors, 0.006)]
            for i, (point, color) in enumerate(zip(points, colors, strict=True)):
                shown.append(f'/trace/point_{i}')
                self._server.scene.add_icosphere(
                    shown[-1],
                    radius=0.009,
                    color=tuple(int(c) for c in color),
                    subdivisions=2,
                    position=point,
                )
            for i, step in enumerate(trace.reasoning):
                if isinstance(step, Referring):
                    at = apply(base_from_camera, trace.camera.lift(np.array(step.point)))
                    shown.append(f'/trace/label_{i}')
                    self._server.scene.add_label(
                        shown[-1], step.target, position=at, anchor='bottom-center'
                    )
            self._drop_others('/trace', shown)
        self._reasoning.content = describe_reasoning(trace)

    def set_plan(
        self,
        tool_path: NDArray[np.float64],
        corrected: NDArray[np.float64],
        object_path: NDArray[np.float64],
        obstacles: NDArray[np.float64],
    ) -> None:
        """Show a plan instead of the one before; what is empty is not shown.

        Args:
            tool_path: (T, 3) positions of the tool.
            corrected: (N, 3) the trace after the planner's corrections.
            object_path: (M, 3) way of the moved object's centre.
            obstacles: (K, 3) voxel centres; hidden until switched on in the page's scene tree.
        """
        with self._server.atomic():
            shown = []
            for name, path, rgb, thickness in (
                ('/plan/tool', tool_path, _PLAN_RGB, 0.003),
                ('/plan/object', object_path, _OBJECT_RGB, 0.012),
                ('/plan/corrected', corrected, _CORRECTED_RGB, 0.004),
            ):
                if len(path) > 1:
                    colors = np.tile(np.array(rgb, np.uint8), (len(path), 1))
                    shown.append(self._polyline(name, path, colors, thickness))
            if len(obstacles):
                shown.append('/plan/obstacles')
                self._server.scene.add_point_cloud(
                    shown[-1],
                    obstacles.astype(np.float32),
                    (231, 76, 60),
                    point_size=0.008,
                    visible=False,
                )
            self._drop_others('/plan', shown)

    def set_status(self, text: str, progress: float) -> None:
        """Show what is going on (markdown) and how far it is, 0..1."""
        self._status.content = text
        self._progress.value = 100.0 * min(max(progress, 0.0), 1.0)

    def _drop_others(self, group: str, shown: list[str]) -> None:
        """Remove what a group showed before and does not show now; the rest was replaced by name."""
        for name in self._shown.get(group, set()).difference(shown):
            self._server.scene.remove_by_name(name)
        self._shown[group] = set(shown)

    def _polyline(
        self, name: str, points: NDArray[np.float64], colors: NDArray[np.uint8], thickness: float
    ) -> str:
        segments = np.stack([points[:-1], points[1:]], axis=1).astype(np.float32)
        self._server.scene.add_line_segments(
            name, segments, np.stack([colors[:-1], colors[1:]], axis=1), thickness=thickness
        )
        return name


def describe_reasoning(trace: Trace) -> str:
    """Write a trace's reasoning and figures as markdown."""
    lines = []
    for step in trace.reasoning:
        match step:
            case Scale():
                lines.append(f'- **scale** {step.value:.3f}')
            case Referring():
                lines.append(
                    f'- **{step.target}** at ({step.point[0]:.0f}, {step.point[1]:.0f}), {step.point[2]:.3f} m'
                )
            case Measuring():
                lines.append(f'- **{step.target}**: {100 * step.metres:.1f} cm')
    lines.append(
        f'\n`{trace.model}`, {len(trace.points)} points, {1e3 * trace.inference_time_s:.0f} ms'
    )
    return '\n'.join(lines)
