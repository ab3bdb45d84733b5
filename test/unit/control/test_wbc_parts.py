# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The controller's mathematics: distances against Coal, Jacobians against differences, solvers
against each other.
"""

from dataclasses import replace

import coal
import numpy as np
import pinocchio as pin
import pytest

from robotracer_ros.control.wbc.capsules import capsule_to_box, capsule_to_capsule
from robotracer_ros.control.wbc.config import HumanoidConfig
from robotracer_ros.control.wbc.constraints import (
    ZMP_SLACK_M,
    Balance,
    JointBounds,
    PlantedFeet,
    support_polygon,
)
from robotracer_ros.control.wbc.model import HumanoidModel
from robotracer_ros.control.wbc.qp import make_solver
from robotracer_ros.control.wbc.separation import SceneBox, Separation
from robotracer_ros.control.wbc.tasks import (
    AxisTask,
    ComTask,
    OrientationTask,
    PositionTask,
    PostureTask,
)
from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.g1_description import HAND_FRAMES

STEP = 1e-6
#: pairs with a box that are looked at closely
CANDIDATES = 20
SHELF = SceneBox('shelf', np.array([[0.8, -0.6, 0, 0.4], [0.6, 0.8, 0, -0.1], [0, 0, 1, 1.0],
                                    [0, 0, 0, 1]]), np.array([0.1, 0.25, 0.03]))


@pytest.fixture(scope='module')
def model():
    return HumanoidModel()


@pytest.fixture(scope='module')
def home(model):
    return model.standing(HumanoidConfig.load().home)


def somewhere(model, home, seed):
    """A configuration away from home, and a velocity."""
    rng = np.random.default_rng(seed)
    q = pin.integrate(model.model, home, rng.normal(0, 0.25, model.nv))
    return q, rng.normal(0, 1, model.nv)


def along(model, q, v):
    return pin.integrate(model.model, q, STEP * v)


# -- distances ----------------------------------------------------------------------------------


def coal_capsule(p, q, radius):
    axis = q - p
    length = np.linalg.norm(axis)
    turn = pin.Quaternion.FromTwoVectors(np.array([0.0, 0, 1]), axis / max(length, 1e-12)).matrix()
    return coal.Capsule(radius, length), coal.Transform3s(turn if length > 0 else np.eye(3), (p + q) / 2)


def coal_distance(first, second):
    request, result = coal.DistanceRequest(), coal.DistanceResult()
    request.enable_signed_distance = True
    return coal.distance(*first, *second, request, result)


def test_capsules_are_as_far_apart_as_coal_says():
    rng = np.random.default_rng(1)
    ends = rng.uniform(-0.3, 0.3, (4, 400, 3))
    ends[3, :50] = ends[2, :50]  # spheres
    ends[1, 50:80] = ends[0, 50:80] + (ends[3, 50:80] - ends[2, 50:80])  # parallel
    r1, r2 = rng.uniform(0.01, 0.05, (2, 400))
    distance, normal, x1, x2 = capsule_to_capsule(ends[0], ends[1], r1, ends[2], ends[3], r2)
    truth = [coal_distance(coal_capsule(ends[0, k], ends[1, k], r1[k]),
                           coal_capsule(ends[2, k], ends[3, k], r2[k])) for k in range(400)]
    assert distance == pytest.approx(truth, abs=1e-6)
    assert np.linalg.norm(normal, axis=1) == pytest.approx(1.0)
    assert np.linalg.norm(x1 - x2, axis=1) - r1 - r2 == pytest.approx(distance, abs=1e-12)


def test_capsules_are_as_far_from_boxes_as_coal_says():
    rng = np.random.default_rng(2)
    p, q = rng.uniform(-0.5, 0.5, (2, 400, 3))
    half, radius = rng.uniform(0.02, 0.2, (400, 3)), rng.uniform(0.01, 0.05, 400)
    p[:40, 1] = q[:40, 1]  # along faces
    distance, normal, x = capsule_to_box(p, q, radius, half)
    # the balls at the ends come after the capsules
    for k, end in ((400, p), (800, q)):
        out = np.linalg.norm(end - np.clip(end, -half, half), axis=1)
        outside = out > 0
        assert distance[k : k + 400][outside] == pytest.approx((out - radius)[outside])
        assert x[k : k + 400] == pytest.approx(end)
    distance, normal, x = distance[:400], normal[:400], x[:400]
    axis_inside = (np.abs(x) <= half + 1e-9).all(axis=1)
    assert 20 < axis_inside.sum() < 300
    for k in range(400):
        truth = coal_distance(coal_capsule(p[k], q[k], radius[k]),
                              (coal.Box(*(2 * half[k])), coal.Transform3s()))
        if axis_inside[k]:
            # an axis inside counts with its nearest face, which is what pushes it out
            assert distance[k] < -radius[k] + 1e-9
            assert truth < 0
        else:
            assert distance[k] == pytest.approx(truth, abs=1e-5)
    assert np.linalg.norm(normal, axis=1) == pytest.approx(1.0)


# -- Jacobians ----------------------------------------------------------------------------------


def value_of(task, model):
    if isinstance(task, PositionTask):
        return model.placement(task.frame).translation.copy()
    if isinstance(task, AxisTask):
        return model.placement(task.frame).rotation[:, task.axis].copy()
    if isinstance(task, ComTask):
        return model.com[:2].copy()
    return model.q[7:].copy()


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('kind', ['position', 'axis', 'orientation', 'com', 'posture'])
def test_task_jacobians_are_derivatives(model, home, kind, seed):
    frame = model.frame(HAND_FRAMES['left'])
    task = {'position': PositionTask(frame, 1, 1), 'axis': AxisTask(frame, 1, 1, axis=1),
            'orientation': OrientationTask(frame, 1, 1), 'com': ComTask(1, 1),
            'posture': PostureTask(1, 1)}[kind]
    q, v = somewhere(model, home, seed)
    model.update(q)
    predicted = task.jacobian(model) @ v
    before = task.error(model)
    if kind == 'orientation':
        turned = model.placement(frame).rotation.copy()
        model.update(along(model, q, v))
        seen = pin.log3(model.placement(frame).rotation @ turned.T) / STEP
    else:
        value = value_of(task, model)
        model.update(along(model, q, v))
        seen = (value_of(task, model) - value) / STEP
        # the error falls as the value rises
        assert (before - task.error(model)) / STEP == pytest.approx(seen, abs=1e-4)
    assert predicted == pytest.approx(seen, abs=1e-4)


@pytest.mark.parametrize('seed', range(3))
def test_orientation_error_leads_to_the_target(model, home, seed):
    frame = model.frame(HAND_FRAMES['right'])
    q, _ = somewhere(model, home, seed)
    model.update(q)
    rotation = model.placement(frame).rotation.copy()
    turn = np.random.default_rng(seed).normal(0, 0.5, 3)
    task = OrientationTask(frame, 1, 1, target=pin.exp3(turn) @ rotation)
    assert task.error(model) == pytest.approx(turn)


@pytest.mark.parametrize('seed', range(4))
def test_separation_rows_are_derivatives_of_distances(model, home, seed):
    apart = Separation(model, [SHELF], 8.0, 0.015, 0.015, 40, CANDIDATES)
    q, v = somewhere(model, home, seed)
    model.update(q)
    rows, lower = np.zeros((apart.rows, model.nv)), np.zeros(apart.rows)
    apart.write(model, rows, lower)
    chosen = apart.self_chosen, apart.scene_chosen
    pairs = apart.scene_pair[chosen[1]]
    before = apart.self_distance[chosen[0]], apart.scene_distance[chosen[1]]
    assert lower[:40] == pytest.approx(-8.0 * (before[0] - apart.self_margin[chosen[0]]))
    model.update(along(model, q, v))
    apart.measure(model, everything=True)
    # the same pairs among all of them: axes, then first ends, then second ends
    kinds = chosen[1] // CANDIDATES * len(apart.capsule)
    after = pairs + kinds
    seen = np.concatenate([apart.self_distance[chosen[0]] - before[0],
                           apart.scene_distance[after] - before[1]]) / STEP
    smooth = np.concatenate([before[0] > 0, before[1] > 0])
    assert smooth.sum() > 40
    assert set(kinds // len(apart.capsule)) >= {0, 1}
    assert (rows @ v)[smooth] == pytest.approx(seen[smooth], abs=2e-3)


def test_the_nearest_things_are_among_the_candidates(model, home):
    """Balls around the capsules choose which pairs are measured; none that is near may be missed."""
    apart = Separation(model, [SHELF, replace(SHELF, name='board', half=np.array([0.4, 0.01, 0.3]))],
                       8.0, 0.015, 0.015, 24, CANDIDATES)
    for seed in range(20):
        model.update(somewhere(model, home, seed)[0])
        apart.measure(model, everything=True)
        everything = np.sort(apart.scene_distance[: len(apart.capsule)])
        apart.measure(model)
        assert np.sort(apart.scene_distance[:CANDIDATES])[:6] == pytest.approx(everything[:6])


def test_feet_rows_are_derivatives_and_correct_drift(model, home):
    model.update(home)
    feet = PlantedFeet(model, 5.0)
    v = np.random.default_rng(5).normal(0, 1, model.nv)
    rows, lower, upper = np.zeros((12, model.nv)), np.zeros(12), np.zeros(12)
    assert feet.write(model, rows, lower, upper) < 1e-12
    rate = rows @ v
    model.update(along(model, home, v))
    moved = feet.error(model) / STEP
    assert -moved == pytest.approx(rate, abs=1e-4)
    feet.write(model, rows, lower, upper)
    assert (lower == upper).all()
    assert upper == pytest.approx(5.0 * STEP * moved)


def test_balance_rows_bound_speed_and_braking(model, home):
    model.update(home)
    balance = Balance(model, 3.0, 0.02, 0.005, 0.004)
    assert balance.rows == 4
    previous = np.array([0.05, -0.03, 0.02])
    rows, lower, upper = np.zeros((4, model.nv)), np.zeros(4), np.zeros(4)
    distance = balance.write(model, previous, rows, lower, upper)
    left = balance.offsets - balance.normals @ model.com[:2]
    assert distance == pytest.approx(left.min())
    com, height = model.com[:2].copy(), float(model.com[2])
    v = np.random.default_rng(7).normal(0, 1, model.nv)
    speed = rows @ v
    model.update(along(model, home, v))
    assert balance.normals @ (model.com[:2] - com) / STEP == pytest.approx(speed, abs=1e-5)
    assert upper == pytest.approx(3.0 * (left - 0.02))
    # at the lower bound the zero moment point is at its own margin, slack included
    model.update(home)
    pull = (lower - balance.normals @ previous[:2]) / 0.004
    zmp = balance.normals @ com - height / 9.81 * pull
    loose = lower < upper - 1e-9
    assert zmp[loose] == pytest.approx(balance.offsets[loose] - 0.005 - ZMP_SLACK_M, abs=1e-9)


def test_the_support_polygon_holds_all_feet():
    rng = np.random.default_rng(8)
    for _ in range(20):
        points = rng.uniform(-0.2, 0.2, (8, 2))
        normals, offsets = support_polygon(points)
        centre = points.mean(axis=0)
        assert (normals @ centre < offsets).all()
        # every edge touches the outermost point in its direction
        assert offsets == pytest.approx((normals @ points.T).max(axis=1), abs=1e-5)
    with pytest.raises(InvalidParameterError, match='area of'):
        support_polygon(np.array([[0, 0], [1, 1e-6], [2, 0]]))


def test_joint_bounds_stop_in_time():
    """From any allowed speed the bounds bring a joint to rest before its limit."""
    bounds = JointBounds(np.full(29, -1.0), np.full(29, 1.0), np.full(29, 3.0), np.full(29, 30.0),
                         8.0, 0.004)
    q, v = np.zeros(36), np.zeros(35)
    low, high = np.zeros(35), np.zeros(35)
    fastest = 0.0
    for _ in range(1000):
        bounds.write(q, v, low, high)
        assert (low <= high).all()
        assert (np.abs(high[6:] - v[6:]) <= 30.0 * 0.004 + 1e-9).all()
        v = high.copy()
        fastest = max(fastest, v[6:].max())
        q[7:] += 0.004 * v[6:]
    assert fastest == pytest.approx(3.0)
    assert q[7:] == pytest.approx(1.0, abs=1e-3)
    assert (q[7:] <= 1.0).all()


# -- solvers ------------------------------------------------------------------------------------


def problem(rng, n=12, e=3, m=20):
    j = rng.normal(size=(n + 4, n))
    a = rng.normal(size=(m, n))
    inside = rng.normal(size=n) * 0.1
    lower, upper = a @ inside - rng.uniform(0, 1, m), a @ inside + rng.uniform(0, 1, m)
    lower[:e] = upper[:e] = (a @ inside)[:e]
    return j.T @ j + 0.1 * np.eye(n), 5 * rng.normal(size=n), a, lower, upper, inside - 0.5, inside + 0.5


@pytest.mark.parametrize('name', ['daqp', 'proxqp'])
def test_solutions_satisfy_the_optimality_conditions(name):
    rng = np.random.default_rng(9)
    solver = make_solver(name, 12, 3, 20)
    for _ in range(20):
        h, g, a, lower, upper, low, high = problem(rng)
        found = solver.solve(h, g, a, lower, upper, low, high)
        assert found.solved
        x, y = found.x, found.multipliers
        assert (a @ x <= upper + 1e-5).all() and (a @ x >= lower - 1e-5).all()
        assert (x <= high + 1e-5).all() and (x >= low - 1e-5).all()
        assert h @ x + g + y[:12] + a.T @ y[12:] == pytest.approx(0, abs=1e-4)
        # a multiplier's sign tells which bound binds
        both = np.concatenate([high - x, upper - a @ x]), np.concatenate([x - low, a @ x - lower])
        assert np.abs(np.maximum(y, 0) * both[0]).max() < 1e-4
        assert np.abs(np.minimum(y, 0) * both[1]).max() < 1e-4
        assert (np.abs(y) > 1e-7).sum() > 3


@pytest.mark.parametrize('name', ['daqp', 'proxqp'])
def test_a_problem_without_solution_is_told_and_forgotten(name):
    solver = make_solver(name, 12, 3, 20)
    h, g, a, lower, upper, low, high = problem(np.random.default_rng(10))
    impossible = upper.copy()
    impossible[5] = lower[5] - 100.0
    broken = lower.copy()
    broken[5] = impossible[5] - 1.0
    assert not solver.solve(h, g, a, broken, impossible, low, high).solved
    assert solver.solve(h, g, a, lower, upper, low, high).solved


def test_an_unknown_solver_lists_the_known_ones():
    with pytest.raises(InvalidParameterError, match="'magic'; known: daqp, proxqp"):
        make_solver('magic', 3, 0, 1)
