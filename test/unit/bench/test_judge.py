# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import dataclasses

import numpy as np
import pytest

from robotracer_ros.bench.judge import judge
from robotracer_ros.data.task import GoalRegion, Task
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.trace import TraceKind
from robotracer_ros.geometry.transforms import make_transform, rotation_about
from robotracer_ros.sim.spec import Primitive, Scene, SceneObject


def block(name, x, y, size=0.05):
    part = Primitive('box', (size / 2,) * 3, np.eye(4))
    pose = make_transform(None, [x, y, size / 2])
    return SceneObject(
        name, 'block', 'red', (1, 0, 0), 'small', (part,), np.full(3, size), 0.1, pose, True
    )


SCENE = Scene(
    0,
    (block('a', 0.5, 0.0), block('b', 0.5, 0.2), block('c', 0.4, -0.2)),
    CameraModel(320, 240, 380, 380, 159.5, 119.5),
    np.eye(4),
    np.zeros(6),
)
GOAL = GoalRegion(
    make_transform(rotation_about([0, 0, 1], 0.6), [0.5, 0.2, 0.055]), np.array([0.06, 0.04, 0.03])
)
TASK = Task(
    'put a on b', 'M3', 'on', 'a', ('b',), TraceKind.OBJECT_CENTRIC, GOAL, (),
    np.zeros((2, 3)), np.zeros((2, 3)), (), (), 'val',
)  # fmt: skip


def poses(**moved):
    return {o.id: make_transform(None, moved.get(o.id, o.position)) for o in SCENE.objects}


def test_success_inside_the_region():
    verdict = judge(TASK, SCENE, poses(a=[0.5, 0.2, 0.075]))
    assert verdict.success
    assert verdict.reason == ''
    assert np.allclose(verdict.goal_offset_m, [0, 0, -0.005])


@pytest.mark.parametrize('axis', [0, 1])
def test_the_regions_edge_counts_in_its_own_frame(axis):
    half = GOAL.extents[axis] / 2
    for inside, factor in ((True, 0.95), (False, 1.05)):
        end = GOAL.pose[:3, 3] + GOAL.pose[:3, axis] * half * factor + (0, 0, 0.025)
        assert judge(TASK, SCENE, poses(a=end)).success == inside


def test_a_miss_says_how_far():
    verdict = judge(TASK, SCENE, poses(a=[0.5, 0.0, 0.025]))
    assert not verdict.success
    assert 'a ended' in verdict.reason
    assert 'outside the goal region' in verdict.reason


def test_knocking_a_bystander_fails_but_settling_the_reference_does_not():
    done = [0.5, 0.2, 0.075]
    assert judge(TASK, SCENE, poses(a=done, b=[0.53, 0.2, 0.025])).success
    verdict = judge(TASK, SCENE, poses(a=done, c=[0.4, -0.23, 0.025]))
    assert not verdict.success
    assert verdict.reason == 'c was moved by 3.0 cm'


HOVER = dataclasses.replace(
    TASK, primitive='hover', goal=None, references=('b', 'c'), hover_targets=('b', 'c')
)


def hover_path(*stops):
    return np.array([np.array([x, y, 0.05 + h]) for x, y, h in stops])


@pytest.mark.parametrize(
    ('stops', 'words'),
    [
        ([(0.5, 0.2, 0.03), (0.4, -0.2, 0.03)], ''),
        ([(0.4, -0.2, 0.03), (0.5, 0.2, 0.03)], 'c was not passed'),
        (
            [(0.5, 0.2, 0.08), (0.4, -0.2, 0.03)],
            'b was not passed 1-5 cm above in its turn: 8.0 cm',
        ),
        ([(0.5, 0.2, 0.03), (0.1, -0.2, 0.03)], 'never above it'),
    ],
)
def test_hovering_passes_each_in_turn_at_the_right_height(stops, words):
    verdict = judge(HOVER, SCENE, poses(a=[0.4, -0.2, 0.2]), hover_path(*stops))
    assert verdict.success == (not words)
    assert words in verdict.reason


def test_hovering_cannot_be_judged_without_the_path():
    with pytest.raises(ValueError, match='path'):
        judge(HOVER, SCENE, poses())
