# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest
from handmade import scene, thing

from robotracer_ros.data.facts import SceneFacts
from robotracer_ros.data.heights import CELL, Heights, footprint_cells, highest_under
from robotracer_ros.data.rays import inside_part, part_entry
from robotracer_ros.data.view import quick_view
from robotracer_ros.geometry.transforms import apply, make_transform, rotation_about
from robotracer_ros.sim.render import Renderer
from robotracer_ros.sim.scenes import generate_scene
from robotracer_ros.sim.spec import Primitive

SOLIDS = [
    ('box', (0.03, 0.05, 0.02)),
    ('sphere', (0.04,)),
    ('cylinder', (0.03, 0.06)),
    ('capsule', (0.02, 0.05)),
    ('ellipsoid', (0.05, 0.02, 0.03)),
]


@pytest.mark.parametrize(('shape', 'size'), SOLIDS)
def test_rays_enter_where_marching_finds_the_surface(shape, size):
    part = Primitive(
        shape, size, make_transform(rotation_about((1, 2, 3), 0.7), (0.01, -0.02, 0.03))
    )
    pose = make_transform(rotation_about((0, 1, 0), 0.3), (0.4, 0.1, 0.1))
    rng = np.random.default_rng(1)
    directions = rng.normal(size=(300, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    aims = apply(pose @ part.pose, rng.uniform(-0.07, 0.07, (300, 3)))
    origins = aims - directions
    t = part_entry(part, pose, origins, directions)
    steps = np.arange(0.8, 1.2, 2e-4)
    marched = np.full(300, np.inf)
    for i in range(300):
        inside = inside_part(part, pose, origins[i] + steps[:, None] * directions[i])
        if inside.any():
            marched[i] = steps[np.argmax(inside)]
    assert 60 < np.isfinite(marched).sum() < 299, 'the test needs both hits and misses'
    both = np.isfinite(marched)
    assert np.all(np.abs(t[both] - marched[both]) < 3e-4)
    # Marching may only miss grazing hits that are shorter than a few steps.
    assert (np.isfinite(t) & ~both).sum() <= 6


def test_a_ray_that_starts_inside_or_looks_away():
    part = Primitive('box', (0.1, 0.1, 0.1), np.eye(4))
    origins = np.array([[0.0, 0, 0], [0, 0, 1.0]])
    assert np.allclose(
        part_entry(part, np.eye(4), origins, np.array([[0, 0, 1.0], [0, 0, 1.0]])), [0.0, np.inf]
    )


@pytest.mark.parametrize('seed', [3, 8])
def test_the_quick_view_agrees_with_the_renderer(seed):
    s = generate_scene(seed)
    quick, exact = (
        quick_view(s, s.camera.width),
        Renderer(robot=False, shadows=False, antialias=False).render(s),
    )
    on_things = (quick.segmentation >= 0) | (exact.segmentation >= 0)
    assert np.mean(quick.segmentation[on_things] == exact.segmentation[on_things]) > 0.97
    same = on_things & (quick.segmentation == exact.segmentation)
    assert np.median(np.abs(quick.depth[same] - exact.depth[same])) < 5e-4
    coarse = quick_view(s)
    p = coarse.camera.lift_pixels(np.array([64.0, 48.0]), coarse.depth[48, 64])
    uvd = s.camera.project(p)
    fine = exact.depth[
        round(uvd[1] * s.camera.height / 1000), round(uvd[0] * s.camera.width / 1000)
    ]
    assert abs(fine - uvd[2]) < 0.01


def test_full_area_ignores_what_stands_in_front():
    back, front = thing('block', 'red', 0.45, 0.0), thing('carton', 'blue', 0.56, 0.0, size='large')
    hidden, free = SceneFacts(scene([back, front])), SceneFacts(scene([back]))
    assert np.isclose(hidden.view.full_area[0], free.view.full_area[0])
    assert free.objects[0].visible
    assert not hidden.objects[0].visible


def test_heights_hold_every_thing_and_leave_out_on_demand():
    s = scene([thing('box', 'red', 0.5, 0.1, yaw=0.4), thing('bottle', 'blue', 0.6, -0.2)])
    heights = Heights(s)
    for i, o in enumerate(s.objects):
        top = o.position[2] + o.extents[2] / 2
        here = highest_under(
            heights.without(), o.position[None, :2], footprint_cells((0.0, 0.0), 0.0, 0.0)
        )
        assert abs(here[0] - top) < 0.003
        assert (
            highest_under(
                heights.without(i), o.position[None, :2], footprint_cells((0.0, 0.0), 0.0, 0.0)
            )[0]
            == 0.0
        )
    raised = heights.with_height(heights.without(), 1, 1.5)
    assert raised.max() == 1.5
    assert heights.without().max() < 0.3


def test_footprint_cells_cover_the_rectangle_wherever_its_centre_lies_in_the_cell():
    half, yaw, margin = (0.06, 0.02), 0.6, 0.01
    cells = {tuple(c) for c in footprint_cells(half, yaw, margin)}
    rng = np.random.default_rng(2)
    turn = rotation_about((0, 0, 1), yaw)[:2, :2]
    for _ in range(400):
        centre = rng.uniform(0, CELL, 2)
        corner = turn @ (rng.uniform(-1, 1, 2) * (np.array(half) + margin))
        assert tuple(np.floor((centre + corner) / CELL).astype(int)) in cells


def test_facts_of_a_rendering_start_on_the_object():
    s = generate_scene(12)
    image = Renderer().render(s)
    facts = SceneFacts(s, image)
    seen = [o for o in facts.objects if o.visible]
    assert seen
    for o in seen:
        col, row = round(o.uvd[0] * s.camera.width / 1000), round(o.uvd[1] * s.camera.height / 1000)
        assert image.segmentation[row, col] == o.index
        assert abs(image.depth[row, col] - o.uvd[2]) < 0.01
        box = np.linalg.inv(o.object.pose) @ np.append(o.surface, 1.0)
        assert np.all(np.abs(box[:3]) <= o.object.extents / 2 + 0.003)
    lengths = np.linalg.norm(s.camera.depth_to_points(image.depth)[image.depth > 0], axis=-1)
    assert facts.scale == pytest.approx(lengths.mean(), rel=1e-4)


def test_what_stands_on_what():
    tray = thing('tray', 'white', 0.5, 0.1)
    facts = SceneFacts(
        scene([tray, thing('can', 'red', 0.5, 0.1, on=tray), thing('can', 'blue', 0.5, -0.2)])
    )
    assert [o.on for o in facts.objects] == [-1, 0, -1]
    assert [o.loaded for o in facts.objects] == [True, False, False]


def test_directions_are_the_cameras():
    facts = SceneFacts(
        scene(
            [
                thing('can', 'red', 0.5, -0.2),
                thing('can', 'blue', 0.5, 0.2),
                thing('can', 'green', 0.65, 0.0),
            ]
        )
    )
    left, right, near = facts.objects
    assert left.right < near.right < right.right
    assert left.u < near.u < right.u
    assert near.front > left.front
    assert near.distance < left.distance
