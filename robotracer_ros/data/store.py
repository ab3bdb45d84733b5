# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Scenes as plain JSON: exact, readable anywhere, nothing in it is ever executed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.sim.spec import Primitive, Scene, SceneObject

FORMAT = 1


def scene_to_dict(scene: Scene) -> dict[str, Any]:
    """Convert a scene to what ``json`` can write; poses as rows of the upper 3x4 matrix."""
    c = scene.camera
    return {
        'format': FORMAT,
        'seed': scene.seed,
        'camera': [c.width, c.height, c.fx, c.fy, c.cx, c.cy],
        'world_from_camera': _pose(scene.world_from_camera),
        'robot_q': scene.robot_q.tolist(),
        'table_rgb': list(scene.table_rgb),
        'background_rgb': list(scene.background_rgb),
        'light_direction': scene.light_direction.tolist(),
        'objects': [_object_to_dict(o) for o in scene.objects],
    }


def scene_from_dict(data: dict[str, Any]) -> Scene:
    """Make the scene that :func:`scene_to_dict` converted.

    Raises:
        ValueError: the data are of another format version.
    """
    if data.get('format') != FORMAT:
        raise ValueError(f'scene format {data.get("format")!r} cannot be read: must be {FORMAT}')
    w, h, fx, fy, cx, cy = data['camera']
    return Scene(
        seed=int(data['seed']),
        objects=tuple(_object_from_dict(o) for o in data['objects']),
        camera=CameraModel(int(w), int(h), fx, fy, cx, cy),
        world_from_camera=_matrix(data['world_from_camera']),
        robot_q=np.array(data['robot_q']),
        table_rgb=tuple(data['table_rgb']),
        background_rgb=tuple(data['background_rgb']),
        light_direction=np.array(data['light_direction']),
    )


def _object_to_dict(o: SceneObject) -> dict[str, Any]:
    parts = [
        [p.shape, list(p.size), _pose(p.pose), list(p.rgb) if p.rgb else None, p.rounded]
        for p in o.parts
    ]
    return {
        'id': o.id,
        'kind': o.kind,
        'color': o.color,
        'rgb': list(o.rgb),
        'size': o.size_name,
        'parts': parts,
        'extents': o.extents.tolist(),
        'mass': o.mass,
        'pose': _pose(o.pose),
        'graspable': o.graspable,
        'support': o.support,
        'container': o.container,
        'fixed': o.fixed,
        'support_height': o.support_height,
        'support_size': list(o.support_size),
    }


def _object_from_dict(d: dict[str, Any]) -> SceneObject:
    parts = tuple(
        Primitive(shape, tuple(size), _matrix(pose), tuple(rgb) if rgb else None, rounded)
        for shape, size, pose, rgb, rounded in d['parts']
    )
    return SceneObject(
        d['id'],
        d['kind'],
        d['color'],
        tuple(d['rgb']),
        d['size'],
        parts,
        np.array(d['extents']),
        d['mass'],
        _matrix(d['pose']),
        d['graspable'],
        d['support'],
        d['container'],
        d['fixed'],
        d['support_height'],
        tuple(d['support_size']),
    )


def _pose(m: NDArray[np.float64]) -> list[float]:
    return [float(x) for x in m[:3].ravel()]


def _matrix(rows: list[float]) -> NDArray[np.float64]:
    return np.vstack([np.array(rows).reshape(3, 4), [0.0, 0.0, 0.0, 1.0]])
