# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Headless RGB-D camera: ray casting on the CPU with Embree, no display, no GPU, no driver.

Colour, depth and segmentation come from the same rays through the pixel centres, so they agree
exactly. Why Embree: the measurements are in ``doc/decisions.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore import EmbreeDevice
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.sim.meshes import Mesh, MeshCache, join, primitive_mesh
from robotracer_ros.sim.robot_mesh import RobotMesh
from robotracer_ros.sim.shading import shade, texture
from robotracer_ros.sim.spec import (
    FLOOR_Z,
    SEG_BACKGROUND,
    SEG_ROBOT,
    SEG_TABLE,
    TABLE_EDGES,
    TABLE_THICKNESS,
    Primitive,
    Rendering,
    Scene,
)

Float = NDArray[np.float32]

#: default opening of the jaws in pictures, metres
_OPENING = 0.08
#: how far (m) shadow rays start off the surface: below the size of anything that casts a shadow
_SHADOW_BIAS = 1.5e-3
#: the wall behind the robot, metres
_BACK_WALL_X = -1.6
_STYLES = 4
#: sub-pixel positions of the anti-aliasing rays (a rotated grid)
_SUBPIXELS = np.array([[-0.125, -0.375], [0.375, -0.125], [0.125, 0.375], [-0.375, 0.125]])


def _slab(low: tuple[float, float, float], high: tuple[float, float, float],
          rgb: tuple[float, float, float]) -> Mesh:
    """Return an axis-aligned box between two corners."""
    a, b = np.array(low), np.array(high)
    pose = np.eye(4)
    pose[:3, 3] = (a + b) / 2
    half = tuple(float(v) for v in (b - a) / 2)
    return primitive_mesh(Primitive('box', half, pose), rgb)


@dataclass(frozen=True)
class _World:
    """Everything that rays can hit in one frame."""

    embree: EmbreeScene
    mesh: Mesh
    kinds: NDArray[np.int16]
    gloss: Float
    to_light: Float
    style: int


class Renderer:
    """Renders scenes. Keeps meshes between frames; one instance per thread.

    Args:
        robot: Draw the robot.
        shadows: Cast shadow rays.
        antialias: Smooth colour at silhouettes with four rays per pixel there.
        sensor_noise: Standard deviation of colour noise in 1/255; the same for the same scene.
        urdf: URDF text of the robot, the workcell's by default.
    """

    def __init__(self, robot: bool = True, shadows: bool = True, antialias: bool = True,
                 sensor_noise: float = 1.5, urdf: str | None = None) -> None:
        self._robot = RobotMesh(urdf) if robot else None
        self._shadows = shadows
        self._antialias = antialias
        self._noise = sensor_noise
        self._cache = MeshCache()
        self._device = EmbreeDevice()

    def render(self, scene: Scene, robot_q: NDArray[np.float64] | None = None,
               gripper_opening: float = _OPENING) -> Rendering:
        """Render a scene.

        Args:
            scene: Objects at the poses to be drawn, camera, light.
            robot_q: (6,) joint positions of the arm, rad; the scene's when None.
            gripper_opening: Full opening of the jaws, metres.
        """
        world = self._build(scene, scene.robot_q if robot_q is None else robot_q, gripper_opening)
        camera = scene.camera
        directions = _directions(camera)
        rotation = scene.world_from_camera[:3, :3].astype(np.float32)
        eye = scene.world_from_camera[:3, 3].astype(np.float32)
        color, depth, kinds, surface = self._trace(world, eye, directions @ rotation.T)
        shape = (camera.height, camera.width)
        if self._antialias:
            edges = _edges(surface.reshape(shape)).reshape(-1)
            where = np.flatnonzero(edges)
            if len(where):
                fine = directions[where][:, None, :] + np.concatenate(
                    [_SUBPIXELS / (camera.fx, camera.fy), np.zeros((4, 1))], 1).astype(np.float32)
                extra = self._trace(world, eye, fine.reshape(-1, 3) @ rotation.T)[0]
                color[where] = extra.reshape(-1, 4, 3).mean(axis=1)
        if self._noise > 0:
            rng = np.random.default_rng([7, scene.seed])
            # The sum of two uniform numbers has sqrt(1/6) as its deviation and is cheap to draw.
            grain = rng.random(color.shape, np.float32) + rng.random(color.shape, np.float32) - 1
            color += grain * np.float32(self._noise / 255 * 6 ** 0.5)
        rgb = (np.clip(color, 0, 1) * 255 + 0.5).astype(np.uint8)
        return Rendering(rgb.reshape(*shape, 3), depth.reshape(shape), kinds.reshape(shape))

    def _build(self, scene: Scene, robot_q: NDArray[np.float64], opening: float) -> _World:
        x0, y0, x1, y1 = TABLE_EDGES
        dim = scene.background_rgb
        floor = (dim[0] * 0.55, dim[1] * 0.52, dim[2] * 0.50)
        meshes = [_slab((x0, y0, -TABLE_THICKNESS), (x1, y1, 0.0), scene.table_rgb),
                  _slab((-4, -4, FLOOR_Z - 0.01), (4, 4, FLOOR_Z), floor),
                  _slab((_BACK_WALL_X - 0.01, -4, FLOOR_Z), (_BACK_WALL_X, 4, 3), dim)]
        kinds = [SEG_TABLE, SEG_BACKGROUND, SEG_BACKGROUND]
        gloss = [0.25, 0.0, 0.0]
        for i, o in enumerate(scene.objects):
            meshes.append(self._cache.get(o).moved(o.pose))
            kinds.append(i)
            gloss.append(0.2 if o.kind in ('book', 'sponge', 'wall', 'basket', 'box') else 0.9)
        if self._robot is not None:
            meshes.append(self._robot.at(robot_q, opening))
            kinds.append(SEG_ROBOT)
            gloss.append(0.5)
        counts = [len(m.faces) for m in meshes]
        mesh = join(meshes)
        embree = EmbreeScene(self._device)
        TriangleMesh(embree, mesh.vertices, mesh.faces)
        to_light = -np.asarray(scene.light_direction, dtype=np.float32)
        return _World(embree, mesh, np.repeat(np.array(kinds, np.int16), counts),
                      np.repeat(np.array(gloss, np.float32), counts),
                      to_light / np.linalg.norm(to_light), scene.seed % _STYLES)

    def _trace(self, world: _World, eye: Float, rays: Float
               ) -> tuple[Float, Float, NDArray[np.int16], NDArray[np.int32]]:
        """Return colour (M, 3), depth (M,), kind (M,) and a surface number (M,) of rays (M, 3).

        The rays have length 1 along the optical axis, so that the hit distance is the depth.
        """
        rays = np.ascontiguousarray(rays)
        origins = np.broadcast_to(eye, rays.shape).copy()
        hits = world.embree.run(origins, rays, output=True)
        t = hits['primID']
        found = t >= 0
        depth: Float = np.where(found, hits['tfar'], np.float32(0))
        kinds = np.where(found, world.kinds[t], np.int16(SEG_BACKGROUND))
        points = rays * depth[:, None]
        points += eye
        u, v = hits['u'], hits['v']
        weights = np.stack([1 - u - v, u, v], axis=1)
        normals = np.einsum('ij,ijk->ik', weights, world.mesh.normals[t])
        to_eye = rays * np.float32(-1)
        _normalise(normals)
        _normalise(to_eye)
        # Shading normals of coarse round meshes may point slightly away at the silhouette.
        away = np.flatnonzero(np.einsum('ij,ij->i', normals, to_eye) < -0.2)
        normals[away] *= -1
        lit = normals @ world.to_light > 0
        if self._shadows:
            ask = np.flatnonzero(lit & found)
            start = normals[ask]
            start *= np.float32(_SHADOW_BIAS)
            start += points[ask]
            toward = np.broadcast_to(world.to_light, start.shape).copy()
            lit[ask] = world.embree.run(start, toward, query='OCCLUDED') != 0
        color = world.mesh.colors[t]
        color *= texture(points, kinds, world.style)[:, None]
        color = shade(color, normals, to_eye, world.to_light, lit, world.gloss[t])
        # Flat pieces of one object that meet at an angle differ in this number too.
        facing = (normals @ np.array([3.1, 1.7, 4.3], np.float32) + np.float32(20)).astype(np.int32)
        surface = kinds * np.int32(64) + facing
        return color, depth, kinds, surface


def _normalise(vectors: Float) -> None:
    """Scale vectors (M, 3) to length 1, in place; zero stays zero."""
    length = np.sqrt(np.einsum('ij,ij->i', vectors, vectors))
    vectors /= np.maximum(length, np.float32(1e-9))[:, None]


@lru_cache(maxsize=8)
def _directions(camera: CameraModel) -> Float:
    """Return rays (H * W, 3) of the optical frame with z = 1."""
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy,
                     np.ones(u.shape)], axis=-1)
    return rays.reshape(-1, 3).astype(np.float32)


def _edges(surface: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Mark the pixels (H, W) whose right or lower neighbour lies on another surface, and these."""
    edges = np.zeros(surface.shape, bool)
    across = surface[:, 1:] != surface[:, :-1]
    down = surface[1:] != surface[:-1]
    edges[:, 1:] |= across
    edges[:, :-1] |= across
    edges[1:] |= down
    edges[:-1] |= down
    return edges
