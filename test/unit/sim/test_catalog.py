# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Tests of robotracer_ros.sim.catalog."""

import numpy as np
import pytest

from robotracer_ros.sim.catalog import COLORS, KINDS, SIZES, VARIANTS, bounds, make_object
from robotracer_ros.sim.meshes import MeshCache
from robotracer_ros.sim.spec import Primitive

MAX_OPENING_M = 0.10


def every():
    """Yield one object per kind, size and variant."""
    for kind, spec in KINDS.items():
        for size in SIZES:
            for variant in range(VARIANTS):
                yield make_object(kind, spec.colors[0], size, variant)


def test_there_are_enough_kinds_and_colours():
    assert len(KINDS) >= 14
    assert len(COLORS) >= 8
    assert sum(k.graspable for k in KINDS.values()) >= 8
    assert sum(k.container for k in KINDS.values()) >= 2
    for spec in KINDS.values():
        assert set(spec.colors) <= set(COLORS)


def test_colours_are_distinct():
    values = np.array(list(COLORS.values()))
    gaps = np.linalg.norm(values[:, None] - values[None], axis=-1) + np.eye(len(values))
    assert gaps.min() > 0.2


def test_origin_is_the_centre_of_the_bounding_box():
    for o in every():
        low, high = bounds(o.parts)
        np.testing.assert_allclose(low, -high, atol=1e-12)
        np.testing.assert_allclose(high - low, o.extents, atol=1e-12)


def test_bounds_hold_and_touch_the_tessellated_shape():
    for o in every():
        vertices = MeshCache().get(o).vertices
        assert np.all(np.abs(vertices) <= o.extents / 2 + 1e-6), o.kind
        # A tessellated circle may stay inside by its polygon's error, never by more.
        assert np.all(vertices.max(axis=0) >= o.extents / 2 - 1.2e-3), o.kind


def test_masses_are_realistic_and_sizes_grow():
    for kind, spec in KINDS.items():
        volumes = [np.prod(make_object(kind, spec.colors[0], s).extents) for s in SIZES]
        assert volumes[0] * 1.2 < volumes[1] < volumes[2] / 1.2, kind
    for o in every():
        assert o.fixed or 0.05 <= o.mass <= 0.4


def test_graspable_things_fit_between_the_jaws():
    for o in every():
        if not o.graspable or o.kind == 'bowl':
            continue  # a bowl is taken at its rim
        bodies = [p for p in o.parts if p.shape != 'capsule']
        low, high = bounds(tuple(bodies))
        assert (high - low)[:2].min() < MAX_OPENING_M - 0.005, o.id


def test_things_rest_on_a_base_as_wide_as_needed():
    """The lowest part of every thing surrounds its centre of gravity."""
    for o in every():
        if o.kind in ('ball', 'lemon'):
            continue
        vertices = MeshCache().get(o).vertices
        base = vertices[vertices[:, 2] < -o.extents[2] / 2 + 2e-3][:, :2]
        weights = np.array([_volume(p) for p in o.parts])
        centre = sum(w * p.pose[:2, 3] for w, p in zip(weights, o.parts, strict=True)) / weights.sum()
        low, high = base.min(axis=0), base.max(axis=0)
        assert np.all(centre > low + 5e-3), o.kind
        assert np.all(centre < high - 5e-3), o.kind


def _volume(p: Primitive) -> float:
    s = p.size
    if p.shape == 'box':
        return 8 * s[0] * s[1] * s[2]
    if p.shape == 'sphere':
        return 4 / 3 * np.pi * s[0] ** 3
    if p.shape == 'ellipsoid':
        return 4 / 3 * np.pi * s[0] * s[1] * s[2]
    return np.pi * s[0] ** 2 * 2 * s[1]


@pytest.mark.parametrize('kind', [k for k, v in KINDS.items() if v.container])
def test_containers_are_open_from_above(kind):
    """Rays straight down meet the floor inside, not a lid."""
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene
    o = make_object(kind, KINDS[kind].colors[0])
    mesh = MeshCache().get(o)
    scene = EmbreeScene()
    TriangleMesh(scene, mesh.vertices, mesh.faces)
    x, y = np.meshgrid(np.linspace(-1, 1, 7) * o.support_size[0] * 0.98,
                       np.linspace(-1, 1, 7) * o.support_size[1] * 0.98)
    origins = np.stack([x, y, np.full_like(x, 0.5)], -1).reshape(-1, 3).astype(np.float32)
    down = np.tile(np.array([[0, 0, -1]], np.float32), (len(origins), 1))
    height = 0.5 - scene.run(origins, down, query='DISTANCE') + o.extents[2] / 2
    np.testing.assert_allclose(height, o.support_height, atol=4e-3)
    assert o.support_height < 0.5 * o.extents[2]


def test_unknown_names_are_refused():
    with pytest.raises(KeyError):
        make_object('unicorn', 'red')
    with pytest.raises(ValueError, match='huge'):
        make_object('mug', 'red', 'huge')
