# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Contact forces and torques of a standing robot, and whole traces in physics."""

from importlib.util import find_spec

import numpy as np
import pinocchio as pin
import pytest

from robotracer_ros.bench.wbc import measure, mixed_traces, run
from robotracer_ros.bench.wbc_physics import PhysicsRig, Push
from robotracer_ros.bench.wbc_physics import measure as measure_physics
from robotracer_ros.control.wbc.config import HumanoidConfig
from robotracer_ros.control.wbc.controller import WholeBodyController
from robotracer_ros.control.wbc.model import HumanoidModel
from robotracer_ros.control.wbc.torques import StandingTorques, TorqueParameters
from robotracer_ros.errors import InvalidParameterError


@pytest.fixture(scope='module')
def rig():
    return PhysicsRig()


@pytest.fixture(scope='module')
def torques():
    return StandingTorques(HumanoidModel())


@pytest.fixture(scope='module')
def home(torques):
    return torques.model.standing(HumanoidConfig.load().home)


def test_standing_still_feet_carry_the_weight(torques, home):
    still = np.zeros(35)
    effort = torques.compute(home, still, home, still, still)
    assert effort.forces[:, 2].sum() == pytest.approx(33.34 * 9.81, rel=1e-3)
    assert np.abs(effort.forces[:, :2].sum(axis=0)).max() < 0.2
    assert effort.missing < 0.5
    assert (effort.forces[:, 2] >= 0).all()
    # left and right alike, and the motors can do it
    assert effort.torques[:6] == pytest.approx(effort.torques[6:12] * (1, -1, -1, 1, 1, -1), abs=0.3)
    assert (np.abs(effort.torques) < 0.5 * torques.model.model.effortLimit[6:]).all()


@pytest.mark.parametrize('seed', range(3))
def test_torques_and_forces_make_the_wanted_acceleration(torques, home, seed):
    """Forward dynamics with both gives back what inverse dynamics was asked for."""
    rng = np.random.default_rng(seed)
    model, v = torques.model, 0.1 * rng.normal(0, 1, 35)
    # what the feet allow: nothing sideways of their own, so the acceleration is one of the arms
    v[:18], wanted = 0.0, np.zeros(35)
    wanted[18:] = rng.normal(0, 1.0, 17)
    effort = torques.compute(home, v, home, v, wanted)
    assert effort.missing < 1.0
    model.update(home)
    jacobian = torques._contact_jacobian()
    generalized = np.concatenate([np.zeros(6), effort.torques]) + jacobian.T @ effort.forces.ravel()
    acceleration = pin.aba(model.model, model.data, home, v, generalized)
    assert acceleration == pytest.approx(wanted, abs=0.3)


def test_forces_stay_in_their_cones_even_when_more_is_wanted(torques, home):
    still, hard = np.zeros(35), np.zeros(35)
    hard[:3] = 8.0, 0.0, 0.0
    effort = torques.compute(home, still, home, still, hard)
    f = effort.forces
    assert (np.abs(f[:, :2]) <= 0.5 * f[:, 2:] + 1e-6).all()
    assert effort.missing > 50
    with pytest.raises(InvalidParameterError, match='friction coefficient'):
        TorqueParameters(friction=0.0)


def test_contact_points_move_as_their_jacobian_says(torques, home):
    model, v = torques.model, np.random.default_rng(6).normal(0, 1, 35)
    model.update(home)
    before, rate = model.contact_points(), torques._contact_jacobian() @ v
    model.update(pin.integrate(model.model, home, 1e-6 * v))
    assert (model.contact_points() - before).ravel() / 1e-6 == pytest.approx(rate, abs=1e-4)


TRACE = np.array([[0.30, -0.20, 0.90], [0.34, -0.12, 0.94]])


@pytest.fixture(scope='module')
def calm(rig):
    return rig.follow(TRACE, 'right')


def test_a_trace_in_physics(calm):
    assert not calm.fallen
    assert calm.given_up == ''
    assert calm.touched == ()
    assert calm.error_rms_m < 0.010
    assert calm.saturated < 0.01


def test_a_push_moves_it_and_does_not_fell_it(rig, calm):
    pushed = rig.follow(TRACE, 'right', push=Push(np.array([-20.0, 10.0, 0.0]), 0.8))
    assert not pushed.fallen
    assert pushed.touched == ()
    assert pushed.error_max_m > calm.error_max_m + 0.001


def test_a_push_that_is_too_hard_fells_it(rig):
    """Falls are noticed, or none of the above shows anything."""
    seen = rig.follow(TRACE, 'right', push=Push(np.array([-400.0, 0, 0]), 0.4, 0.4))
    assert seen.fallen


def test_the_bench_is_a_mixed_run():
    first = [t for t, _ in zip(mixed_traces(3), range(30), strict=False)]
    again = [t for t, _ in zip(mixed_traces(3), range(30), strict=False)]
    assert all((a.points == b.points).all() for a, b in zip(first, again, strict=True))
    assert {t.hand for t in first} == {'left', 'right'}
    assert sum(t.hostile for t in first) == 10
    done = run(WholeBodyController(HumanoidConfig.load()), 1.0, 3)
    assert len(done.cpu_ms) == len(done.q) == 250
    assert min(done.cpu_ms) > 0


def test_the_bench_measures_what_is_installed():
    result = measure(0.3, solvers=('daqp',), pink_seconds=0.1)
    figures = result['controllers']['daqp']
    assert figures['cpu_ms']['ticks'] == 75
    assert figures['rows']['self_collision'] >= 16
    assert figures['violations'] == []
    if find_spec('pink') is None:
        assert 'LGPL' in result['pink']['skipped']


@pytest.mark.slow
def test_ten_random_traces_with_pushes():
    result = measure_physics(10, seed=1)
    for name in ('undisturbed', 'pushed'):
        assert result[name]['falls'] == 0
        assert result[name]['touched'] == []
    assert result['undisturbed']['hand_error_rms_mm']['max'] < 10
