# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Is a trace that was made from boxes and depth alone right in the simulated scene behind the picture?"""

import numpy as np

from robotracer_ros.data.facts import SceneFacts
from robotracer_ros.data.record import Record
from robotracer_ros.data.regions import DIRECTIONS, direction
from robotracer_ros.data.sweep import Sweep
from robotracer_ros.data.task import GoalRegion, Task
from robotracer_ros.geometry.transforms import apply, invert


def faults(task: Task, record: Record, truth: SceneFacts) -> list[str]:
    """What is wrong with a trace; ``truth`` are the facts of the scene with its exact picture."""
    found = []
    scene, camera = truth.scene, record.camera
    by_id = {o.object.id: o for o in truth.objects}
    moved = by_id[task.moved]
    # The start is a pixel of the thing, as deep as it is.
    u, v, d = task.trace[0]
    col, row = round(u * camera.width / 1000), round(v * camera.height / 1000)
    around = (slice(row - 1, row + 2), slice(col - 1, col + 2))
    if moved.index not in truth.view.segmentation[around]:
        found.append('start: not on the thing')
    elif np.abs(truth.view.depth[around] - d).min() > 0.015:
        found.append(f'start: depth {d}, truth {truth.view.depth[row, col]:.3f}')
    world = scene.world_from_camera @ invert(record.world_from_camera)
    path = apply(world, task.path)
    if not 2 <= len(path) <= 8:
        found.append(f'keypoints: {len(path)}')
    lifted = camera.lift(task.trace)
    if np.abs(apply(scene.world_from_camera, lifted) - path).max() > 0.01:
        found.append('trace: differs from its path')
    # The thing as it is, carried along the path: steps are exact, so it starts where it stands.
    half = np.array([0.0, 0.0, moved.height / 2])
    centres = [moved.object.position, *path[1:]]
    goal = None
    if task.goal is not None:
        centres[-1] = path[-1] + half
        goal = GoalRegion(world @ task.goal.pose, task.goal.extents)
        found += _end(task, truth, by_id, path[-1])
        if not task.goal.contains(task.path[-1]):
            found.append('end: outside of its own region')
    else:
        found += _hover(task, by_id, moved, path[-1])
    in_scene = Task(**{**vars(task), 'path': path, 'goal': goal})
    hit = Sweep(scene, task.moved).first_collision(np.array(centres), in_scene)
    if hit is not None:
        found.append(f'collision: {hit.thing} by {hit.depth:.3f} at {hit.centre.round(3)}')
    return found


def _end(task, truth, by_id, end):
    """Judge the place where the thing's bottom ends, (3,), by what the relation means."""
    if task.primitive == 'M2':
        start = by_id[task.moved].object.position[:2]
        along = float((end[:2] - start) @ direction(truth, task.relation))
        off = float(np.linalg.norm(end[:2] - start - along * direction(truth, task.relation)))
        wrong = abs(along - task.distance) > 0.05 or off > 0.05 or abs(end[2]) > 0.02
        return [f'end: {along:.3f} along, {off:.3f} beside, asked {task.distance}'] if wrong else []
    reference = by_id[task.references[0]]
    o = reference.object
    local = o.pose[:3, :3].T @ (end - o.position)
    if task.relation in ('on', 'in'):
        level = reference.bottom + o.support_height
        if np.any(np.abs(local[:2]) > o.extents[:2] / 2):
            return [f'end: beside {o.id}']
        if not (o.container if task.relation == 'in' else o.support):
            return [f'end: {o.id} takes nothing']
        low = abs(end[2] - level) > 0.02
        return [f'end: {end[2]:.3f} high, {o.id} is {level:.3f}'] if low else []
    if abs(end[2]) > 0.02:
        return [f'end: {end[2]:.3f} over the table']
    if task.relation == 'between':
        p, q = (by_id[i].object.position[:2] for i in task.references)
        t = float((end[:2] - p) @ (q - p) / ((q - p) @ (q - p)))
        return [] if 0.15 < t < 0.85 else [f'end: {t:.2f} of the way']
    offset = end[:2] - o.position[:2]
    if task.relation in DIRECTIONS:
        d = direction(truth, task.relation)
        along, across = float(offset @ d), float(abs(offset @ (-d[1], d[0])))
        wide = max(0.08, reference.half_along(np.array([-d[1], d[0]]))) + 0.01
        wrong = along < reference.half_along(d) or across > wide
        return [f'end: {along:.3f} {task.relation}, {across:.3f} across'] if wrong else []
    far = np.linalg.norm(np.maximum(np.abs(local[:2]) - o.extents[:2] / 2, 0))
    reach = by_id[task.moved].radius + 0.12
    return [f'end: {far:.3f} from {o.id}'] if far > reach else []


def _hover(task, by_id, moved, end):
    """Judge the last point of a hover, the thing's centre."""
    target = by_id[task.hover_targets[-1]]
    above = end[2] - moved.height / 2 - target.top
    aside = float(np.hypot(*(end[:2] - (target.x, target.y))))
    wrong = not 0.005 <= above <= 0.055 or aside > target.radius
    return [f'hover: {above:.3f} above, {aside:.3f} aside'] if wrong else []
