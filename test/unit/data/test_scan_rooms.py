# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Rooms made of boxes, seen by rays: surfaces at several heights, nested boxes, containers, shelves above."""

from dataclasses import replace

import numpy as np
import pytest

from robotracer_ros.data.drafts import movable
from robotracer_ros.data.facts import ELSEWHERE, ON_TABLE
from robotracer_ros.data.paths import MAX_BOTTOM, required_bottom
from robotracer_ros.data.rays import part_entry
from robotracer_ros.data.record import Record
from robotracer_ros.data.regions import goal_on
from robotracer_ros.data.relations import holds
from robotracer_ros.data.scans.frame import ScanBox, ScanFrame
from robotracer_ros.data.scans.platforms import find_platforms
from robotracer_ros.data.scans.records import ScanConfig, facts_of, make_record
from robotracer_ros.data.scans.segments import segment
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.transforms import apply, look_at, make_transform, rotation_about
from robotracer_ros.sim.spec import Primitive

CAMERA = CameraModel(384, 288, 320.0, 320.0, 191.5, 143.5)


def box(label, x, y, low, sides, yaw=0.0, key=''):
    """A box that stands at a place and begins at a height."""
    pose = make_transform(rotation_about((0, 0, 1), yaw), (x, y, low + sides[2] / 2))
    return ScanBox(key or f'{label or "nameless"}@{x:.2f},{y:.2f}', label, pose, np.array(sides, float))


def seen(boxes, eye, target, bodies=(), name='0'):
    """The frame of a camera in a room with a floor at 0; ``bodies`` are there without an annotation."""
    pose = look_at(eye, target)
    u, v = np.meshgrid(np.arange(CAMERA.width), np.arange(CAMERA.height))
    rays = np.stack(
        [(u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy, np.ones(u.shape)], axis=-1
    )
    directions = rays.reshape(-1, 3) @ pose[:3, :3].T
    with np.errstate(divide='ignore'):
        depth = np.where(directions[:, 2] < 0, -pose[2, 3] / directions[:, 2], np.inf)
    for b in (*boxes, *bodies):
        if b.label == 'bowl':
            continue  # its walls are bodies
        part = Primitive('box', tuple(b.extents / 2), np.eye(4))
        depth = np.minimum(depth, part_entry(part, b.pose, pose[:3, 3], directions))
    depth = np.where(np.isfinite(depth) & (depth < 8), depth, 0).reshape(u.shape)
    image = np.full((*u.shape, 3), 128, np.uint8)
    return ScanFrame(
        'room', 'room', name, image, depth.astype(np.float32), CAMERA, pose, tuple(boxes)
    )


def bowl(x, y, low):
    """A bowl's box and the five plates that it is made of."""
    walls = [box('', x, y, low, (0.24, 0.24, 0.01))]
    for side in (-0.115, 0.115):
        walls.append(box('', x + side, y, low, (0.01, 0.24, 0.09)))
        walls.append(box('', x, y + side, low, (0.24, 0.01, 0.09)))
    return box('bowl', x, y, low, (0.24, 0.24, 0.09)), walls


DESK, STOOL = 0.74, 0.45


def office():
    """A desk and a lower side table with things on both, and one on the floor."""
    return [
        box('desk', 0.0, 0.0, 0.0, (1.4, 0.8, DESK)),
        box('side table', 0.35, 1.15, 0.0, (0.7, 0.6, STOOL)),
        box('cup', -0.1, -0.25, DESK, (0.08, 0.08, 0.10)),
        box('book', 0.1, 0.15, DESK, (0.22, 0.16, 0.03), 0.4),
        box('bottle', 0.35, -0.25, DESK, (0.07, 0.07, 0.24)),
        box('cup', 0.30, 1.05, STOOL, (0.08, 0.08, 0.10)),
        box('box', 0.45, 1.28, STOOL, (0.15, 0.12, 0.10)),
        box('bag', -0.2, 1.3, 0.0, (0.3, 0.3, 0.3)),
    ]


EYE, LOOK = (1.9, 0.5, 1.75), (0.1, 0.45, 0.65)


def test_every_surface_is_a_table_of_its_own():
    frame = seen(office(), EYE, LOOK)
    found = find_platforms(frame, segment(frame))
    assert [frame.boxes[p.box].label for p in found] == ['desk', 'side table']
    assert [p.height for p in found] == pytest.approx([DESK, STOOL], abs=0.003)
    desk, side = facts_of(frame)
    on_desk = {o.object.id: o.on for o in desk.objects if o.kind not in ('desk', 'side table')}
    assert [on_desk[b.id] for b in office()[2:5]] == [ON_TABLE] * 3
    assert [on_desk[b.id] for b in office()[5:]] == [ELSEWHERE] * 3
    assert {o.object.id for o in movable(side)} <= {b.id for b in office()[5:7]}
    assert {o.kind for o in movable(desk)} == {'cup', 'book', 'bottle'}


def test_traces_of_both_surfaces_are_told_in_the_world_of_the_frame():
    frame = seen(office(), EYE, LOOK)
    tops = {b.id: b.pose[2, 3] + b.extents[2] / 2 for b in frame.boxes}
    ends = set()
    for seed in range(4):
        record = make_record(replace(frame, name=str(seed)), ScanConfig(questions=16))
        assert isinstance(record, Record)
        np.testing.assert_allclose(record.world_from_camera, frame.world_from_camera)
        boxes = {b.id: b for b in frame.boxes}
        for o in record.objects:
            np.testing.assert_allclose(o.pose, boxes[o.id].pose)
        for sample in record.samples:
            for m in sample.mentions:
                if np.isfinite(m.uvd[2]):
                    lifted = apply(frame.world_from_camera, CAMERA.lift(np.array(m.uvd)))
                    assert np.linalg.norm(lifted - m.world) < 0.01
            task = sample.task
            if task is None or task.goal is None:
                continue
            assert task.goal.contains(task.path[-1])
            level = task.path[-1][2]
            if task.relation == 'on':
                assert level == pytest.approx(tops[task.references[0]], abs=0.01)
            else:
                ends.add(round(float(level), 2))
                home = STOOL if task.moved in [b.id for b in office()[5:7]] else DESK
                assert level == pytest.approx(home, abs=0.003)
    assert ends == {DESK, STOOL}


def test_relations_along_a_surface_need_one_surface():
    frame = seen(office(), EYE, LOOK)
    desk = facts_of(frame)[0]
    by_id = {o.object.id: o for o in desk.objects}
    cup, book, bottle, other = (by_id[office()[k].id] for k in (2, 3, 4, 5))
    assert holds('next to', other, [cup]) is None
    assert holds('between', other, [cup, bottle]) is None
    assert holds('on', other, [book], desk.objects) is None
    assert holds('on', cup, [book], desk.objects) is False
    assert holds('same color as', cup, [book]) is None
    assert holds('left of', by_id[office()[5].id], [cup]) in (True, False, None)


def test_a_shelf_above_keeps_things_from_being_lifted():
    things = [
        box('desk', 0.0, 0.0, 0.0, (1.2, 0.8, DESK)),
        box('cup', 0.2, -0.2, DESK, (0.08, 0.08, 0.10)),
        box('cup', -0.25, 0.2, DESK, (0.08, 0.08, 0.10)),
    ]
    shelf = box('shelf', -0.3, 0.2, DESK + 0.32, (0.35, 0.5, 0.03))
    free = facts_of(seen(things, (1.6, 0.1, 1.35), (0, 0, DESK)))[0]
    assert len(movable(free)) == 2
    for annotated, bodies in (([*things, shelf], ()), (things, (shelf,))):
        facts = facts_of(seen(annotated, (1.6, 0.1, 1.35), (0, 0, DESK), bodies))[0]
        assert [o.object.id for o in movable(facts)] == [things[1].id]
        under = next(o for o in facts.objects if o.object.id == things[2].id)
        assert required_bottom(facts, under, np.array([[under.x, under.y]]))[0] > MAX_BOTTOM


def test_things_go_into_bowls_whose_floor_is_seen():
    shell, walls = bowl(0.25, 0.15, DESK)
    things = [
        box('desk', 0.0, 0.0, 0.0, (1.2, 0.8, DESK)),
        shell,
        box('apple', 0.2, -0.2, DESK, (0.06, 0.06, 0.06)),
        box('orange', 0.25, 0.15, DESK + 0.01, (0.06, 0.06, 0.06)),
    ]
    facts = facts_of(seen(things[:3], (1.1, 0.1, 1.6), (0.2, 0, DESK), walls))[0]
    by_kind = {o.kind: o for o in facts.objects}
    assert by_kind['bowl'].object.container
    assert not by_kind['bowl'].object.support
    goal = goal_on(facts, by_kind['apple'], by_kind['bowl'])
    assert goal is not None
    assert goal.point[2] == pytest.approx(0.01, abs=0.01)
    assert np.abs(goal.point[:2] - (0.25, 0.15)).max() < 0.1
    # What lies in a bowl lies in it, and the bowl is not lifted with it.
    facts = facts_of(seen(things, (1.1, 0.1, 1.6), (0.2, 0, DESK), walls))[0]
    by_kind = {o.kind: o for o in facts.objects}
    assert by_kind['orange'].on == by_kind['bowl'].index
    assert by_kind['bowl'].loaded
    # From the side nobody sees what is in it.
    low = facts_of(seen(things[:3], (2.2, 0.1, 0.95), (0.2, 0, DESK), walls))[0]
    assert not next(o for o in low.objects if o.kind == 'bowl').object.container


def test_boxes_within_boxes_are_left_alone_and_those_around_everything_are_no_obstacles():
    things = [
        box('desk', 0.0, 0.0, 0.0, (1.2, 0.8, DESK)),
        box('cup', 0.2, -0.2, DESK, (0.08, 0.08, 0.10)),
        box('pencil', -0.1, 0.1, DESK, (0.05, 0.05, 0.10)),
        box('cup', 0.3, 0.2, DESK, (0.08, 0.08, 0.10)),
    ]
    lamp, pole = box('lamp', -0.1, 0.1, DESK, (0.25, 0.25, 0.12)), box('', -0.2, 0.2, DESK, (0.04, 0.04, 0.12))
    around = box('cabinets', 0.0, 0.0, 0.0, (2.0, 1.6, 2.4))
    frame = seen(things, (1.6, 0.1, 1.5), (0, 0, DESK), (pole,))
    frame = replace(frame, boxes=(*things, lamp, around))
    facts = next(f for f in facts_of(frame) if f.platform and f.platform.box == 0)
    by_id = {o.object.id: o for o in facts.objects}
    assert by_id[things[2].id].on == ELSEWHERE
    assert {o.object.id for o in movable(facts)} >= {things[1].id, things[3].id}
    assert facts.heights.without().max() < 0.5


def test_what_stands_on_what_stands_on_the_table_can_be_taken():
    things = [
        box('desk', 0.0, 0.0, 0.0, (1.2, 0.8, DESK)),
        box('book', 0.1, 0.0, DESK, (0.25, 0.2, 0.04)),
        box('cup', 0.1, 0.0, DESK + 0.04, (0.08, 0.08, 0.10)),
        box('cup', 0.2, 0.3, DESK, (0.08, 0.08, 0.10)),
    ]
    facts = facts_of(seen(things, (1.5, 0.1, 1.6), (0, 0, DESK)))[0]
    by_id = {o.object.id: o for o in facts.objects}
    book, cup = by_id[things[1].id], by_id[things[2].id]
    assert cup.on == book.index
    assert cup.bottom == pytest.approx(0.04, abs=1e-6)
    assert book.loaded
    assert {o.object.id for o in movable(facts)} == {things[2].id, things[3].id}


def test_hidden_things_and_things_at_the_edge_are_not_spoken_of():
    things = [
        box('desk', 0.0, 0.0, 0.0, (1.4, 1.4, DESK)),
        box('box', 0.3, 0.0, DESK, (0.10, 0.4, 0.30)),
        box('cup', 0.1, 0.0, DESK, (0.08, 0.08, 0.08)),
        box('book', 0.2, 0.5, DESK, (0.2, 0.2, 0.04)),
    ]
    frame = seen(things, (1.6, 0.0, 1.2), (0, 0, DESK))
    facts = facts_of(frame)[0]
    assert {o.kind for o in facts.objects if o.visible} >= {'box', 'book'}
    assert not [o for o in facts.objects if o.kind == 'cup' and o.visible]
    beside = seen(things, (1.6, 0.0, 1.2), (0, -0.3, DESK))
    segments = segment(beside)
    assert 0 < segments.seen[3] < 0.7 * segments.full[3]
