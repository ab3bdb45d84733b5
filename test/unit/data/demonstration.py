# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A recorded demonstration with known truth: the demo's planner and physics, seen by its camera."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.bench.closed_loop import execute, oracle, plan_request
from robotracer_ros.data.task import Task
from robotracer_ros.data.tasks import simple_task
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.planning.base import Grip
from robotracer_ros.planning.ompl import OmplPlanner
from robotracer_ros.robot_description import MAX_OPENING, TCP_FRAME
from robotracer_ros.sim.camera import Camera, View
from robotracer_ros.sim.render import Renderer
from robotracer_ros.sim.workcell import Workcell

FPS = 5.0
WIDTH, HEIGHT = 160, 120
#: from the flange of the recorded poses to where the fingers meet, metres along z
GRIP_OFFSET = 0.15


@dataclass(frozen=True)
class Demonstration:
    """What was recorded, and what is true.

    Attributes:
        rgb, depth: Pictures (N, H, W, 3) uint8 and (N, H, W) float32 metres.
        camera, world_from_camera: Of the still camera.
        tool: (N, 4, 4) world_from_tcp.
        opening: (N,) 0..1.
        objects: (N, 3) centre of the moved object.
        task: What was done.
        masks: (N, H, W) where the moved object is seen.
        closed: First frame with closed jaws and first one with open ones after it.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    camera: CameraModel
    world_from_camera: NDArray[np.float64]
    tool: NDArray[np.float64]
    opening: NDArray[np.float64]
    objects: NDArray[np.float64]
    masks: NDArray[np.bool_]
    task: Task
    closed: tuple[int, int]

    @property
    def flange(self) -> NDArray[np.float64]:
        """(N, 4, 4) poses of a flange whose z axis points to where the fingers meet."""
        back = np.eye(4)
        back[2, 3] = -GRIP_OFFSET
        return self.tool @ back


class _Recorder(Workcell):
    """A workcell that remembers what its camera would have seen."""

    def start(self) -> None:
        """Begin to record."""
        self.views: list[View] = []
        self.tools: list[NDArray[np.float64]] = []
        self.grips: list[tuple[float, float]] = []

    def step(self, n: int = 1) -> None:
        """Advance, looking every 1 / FPS seconds."""
        for _ in range(n):
            super().step()
            if hasattr(self, 'views') and self.time >= len(self.views) / FPS:
                self.views.append(self.view())
                self.tools.append(self.world.frame_pose(TCP_FRAME))


@lru_cache(maxsize=1)
def demonstration(seed: int = 0) -> Demonstration:
    """Carry out the simple task of a scene in physics and record it."""
    cell = _Recorder(seed)
    view = cell.view()
    rendering = Camera().render(view)
    task = simple_task(view.scene, rendering)
    assert task is not None
    planner = OmplPlanner()
    planner.load()
    plan = planner.plan(plan_request(cell, rendering, oracle(view.scene, rendering, task)))
    assert any(isinstance(s, Grip) and s.grasping for s in plan.steps)
    cell.start()
    execute(cell, plan, task.moved)
    cell.advance(0.6)
    camera = view.scene.camera.resized(WIDTH, HEIGHT)
    renderer = Renderer(antialias=False)
    pictures = []
    for v in cell.views:
        scene = replace(v.scene, camera=camera)
        pictures.append(renderer.render(scene, v.robot_q, v.opening))
    moved = [o.id for o in view.scene.objects].index(task.moved)
    opening = np.array([v.opening for v in cell.views]) / MAX_OPENING
    held = np.flatnonzero(opening < 0.5 * (opening.min() + opening.max()))
    return Demonstration(
        np.stack([p.rgb for p in pictures]),
        np.stack([p.depth for p in pictures]),
        camera,
        view.scene.world_from_camera,
        np.stack(cell.tools),
        opening,
        np.stack([v.poses[task.moved][:3, 3] for v in cell.views]),
        np.stack([p.segmentation == moved for p in pictures]),
        task,
        (int(held[0]), int(held[-1]) + 1),
    )
