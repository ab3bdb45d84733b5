# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Rendered scenes for tests of the scene room."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from robotracer_ros.sim.catalog import make_object
from robotracer_ros.sim.render import Renderer
from robotracer_ros.sim.scenes import generate_scene, standing_pose
from robotracer_ros.sim.spec import Rendering, Scene, SceneObject


@dataclass(frozen=True)
class Shot:
    """A scene and its picture."""

    scene: Scene
    image: Rendering

    def mask(self, object_id: str) -> np.ndarray:
        return self.image.segmentation == [o.id for o in self.scene.objects].index(object_id)

    def pixel(self, object_id: str) -> tuple[int, int]:
        """Row and column of the visible pixel nearest to the middle of an object's mask."""
        rows, columns = np.nonzero(self.mask(object_id))
        k = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
        return int(rows[k]), int(columns[k])

    def uv(self, object_id: str, right: float = 0.0, down: float = 0.0) -> tuple[float, float]:
        """u, v (0..1000) of that pixel, shifted by pixels."""
        row, column = self.pixel(object_id)
        u, v = self.scene.camera.pixels_to_uv((column + right, row + down))
        return float(u), float(v)


@pytest.fixture(scope='session')
def renderer() -> Renderer:
    return Renderer(robot=False, sensor_noise=0)


@pytest.fixture
def shoot(renderer) -> Callable[..., Shot]:
    """Render things given as (kind, x, y, yaw, support height, id) or ready objects."""

    def take(*things: SceneObject | tuple, seed: int = 3) -> Shot:
        objects = []
        for thing in things:
            if isinstance(thing, tuple):
                kind, x, y, yaw, z, name = (*thing, *(0.0, 0.0, None)[len(thing) - 3:])
                o = make_object(kind, 'red', object_id=name or f'{kind}_{len(objects)}')
                thing = replace(o, pose=standing_pose(o, x, y, yaw, z))
            objects.append(thing)
        scene = replace(generate_scene(seed), objects=tuple(objects))
        return Shot(scene, renderer.render(scene))

    return take


@pytest.fixture
def shoot_seed(renderer) -> Callable[[int], Shot]:
    def take(seed: int) -> Shot:
        scene = generate_scene(seed)
        return Shot(scene, renderer.render(scene))

    return take
