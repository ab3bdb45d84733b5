# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Hand-made scenes: things at given places, camera opposite the robot as in the workcell.

The camera looks along -x, so in its eyes +y is right and +x is towards it (front).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.transforms import look_at
from robotracer_ros.sim.catalog import make_object
from robotracer_ros.sim.scenes import standing_pose
from robotracer_ros.sim.spec import HOME_Q, Scene, SceneObject


def thing(
    kind: str,
    color: str,
    x: float,
    y: float,
    size: str = 'medium',
    yaw: float = 0.0,
    on: SceneObject | None = None,
    name: str = '',
) -> SceneObject:
    """A catalog object standing at (x, y) on the table or on another object."""
    o = make_object(kind, color, size, 0, name or f'{color}_{kind}')
    z = 0.0 if on is None else float(on.pose[2, 3] - on.extents[2] / 2 + on.support_height)
    return replace(o, pose=standing_pose(o, x, y, yaw, z))


def scene(things: Sequence[SceneObject], seed: int = 0) -> Scene:
    ids = [o.id for o in things]
    assert len(set(ids)) == len(ids), 'give things of the same colour and kind a name'
    return Scene(
        seed,
        tuple(things),
        CameraModel(320, 240, 339.0, 339.0, 159.5, 119.5),
        look_at((1.25, 0.0, 0.7), (0.48, 0.0, 0.05)),
        np.array(HOME_Q),
    )
