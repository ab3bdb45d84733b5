# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Plain description of a simulated scene: shared by physics, renderer and data engine.

World frame: z up, origin at the robot's ``base_link`` on the table top (z = 0), x forward. Metres, radians, kilograms.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.geometry.camera import CameraModel

Shape = Literal['box', 'cylinder', 'sphere', 'capsule', 'ellipsoid']


@dataclass(frozen=True)
class Primitive:
    """A convex part of an object.

    Attributes:
        shape: Kind of solid.
        size: MuJoCo's half sizes: box (x, y, z), cylinder and capsule (radius, half length along z), sphere (radius,),
            ellipsoid (x, y, z).
        pose: (4, 4) object_from_part.
        rgb: Own colour in 0..1, or None for the object's.
        rounded: Draw the box as a piece of a wall of revolution (shading only).
    """

    shape: Shape
    size: tuple[float, ...]
    pose: NDArray[np.float64]
    rgb: tuple[float, float, float] | None = None
    rounded: bool = False


@dataclass(frozen=True)
class SceneObject:
    """One thing on the table.

    Attributes:
        id: Unique in the scene, e.g. ``mug_2``.
        kind: What people call it: ``mug``, ``box``, ``watering can`` ...
        color: Colour word, e.g. ``red``.
        size_name: ``small``, ``medium`` or ``large`` within its kind.
        parts: Convex parts in the object frame (origin: centre of the bounding box; z up as it stands).
        extents: (3,) full bounding box sides in the object frame.
        mass: Kilograms.
        pose: (4, 4) world_from_object.
        graspable: The gripper can pick it up from above.
        support: Something can be put on top of it (plate, tray, book, box ...).
        container: Something can be put into it (bowl, tray with rim, pot ...).
        fixed: Does not move (walls).
        support_height: Height (m) above the object's bottom of the surface that a placed thing rests on.
        support_size: (2,) half sides (m) in the object frame of the free rectangle of that
            surface around the object's centre.
    """

    id: str
    kind: str
    color: str
    rgb: tuple[float, float, float]
    size_name: str
    parts: tuple[Primitive, ...]
    extents: NDArray[np.float64]
    mass: float
    pose: NDArray[np.float64]
    graspable: bool = False
    support: bool = False
    container: bool = False
    fixed: bool = False
    support_height: float = 0.0
    support_size: tuple[float, float] = (0.0, 0.0)

    @property
    def position(self) -> NDArray[np.float64]:
        """Centre of the bounding box in the world, (3,)."""
        return self.pose[:3, 3]

    @property
    def footprint_radius(self) -> float:
        """Radius of the circle around the base that holds the object, metres."""
        return float(np.hypot(self.extents[0], self.extents[1]) / 2)


@dataclass(frozen=True)
class Scene:
    """Objects, camera and light of one seed.

    Attributes:
        seed: Same seed, same scene.
        objects: Things on the table, resting.
        camera: Intrinsics of the colour camera (depth is aligned to it).
        world_from_camera: (4, 4) pose of its optical frame.
        robot_q: (6,) joint positions of the arm, rad.
        table_rgb, background_rgb: Colours in 0..1.
        light_direction: (3,) unit vector from the light.
    """

    seed: int
    objects: tuple[SceneObject, ...]
    camera: CameraModel
    world_from_camera: NDArray[np.float64]
    robot_q: NDArray[np.float64]
    table_rgb: tuple[float, float, float] = (0.62, 0.55, 0.47)
    background_rgb: tuple[float, float, float] = (0.75, 0.78, 0.80)
    light_direction: NDArray[np.float64] = field(
        default_factory=lambda: np.array([-0.3, 0.2, -0.93])
    )

    def object(self, object_id: str) -> SceneObject:
        """Return an object by id. Raises KeyError naming the id."""
        for o in self.objects:
            if o.id == object_id:
                return o
        raise KeyError(f"scene {self.seed} has no object '{object_id}'")

    def with_poses(self, poses: dict[str, NDArray[np.float64]]) -> Scene:
        """Return the scene with some objects moved, poses (4, 4) world_from_object by id."""
        return replace(
            self, objects=tuple(replace(o, pose=poses.get(o.id, o.pose)) for o in self.objects)
        )


#: the table top in the world, (min x, min y, max x, max y) in metres at z = 0, and how thick it is
TABLE_EDGES = (-0.45, -0.80, 1.00, 0.80)
TABLE_THICKNESS = 0.04
#: height (m) of the floor that the table stands on
FLOOR_Z = -0.75
#: (6,) where the arm waits, rad: folded back with the tool pointing down, behind and above the work area
HOME_Q = (-0.55, -2.30, 1.90, -1.17, -1.57, 0.0)

#: values of a segmentation image that are not an index into ``Scene.objects``
SEG_BACKGROUND, SEG_TABLE, SEG_ROBOT = -1, -2, -3


@dataclass(frozen=True)
class Rendering:
    """One exact camera image.

    Attributes:
        rgb: (H, W, 3) uint8.
        depth: (H, W) float32 metres along the optical axis, 0 where nothing is hit.
        segmentation: (H, W) int16: index into ``Scene.objects``, or a ``SEG_`` value.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    segmentation: NDArray[np.int16]
