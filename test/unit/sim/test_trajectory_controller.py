# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The joint trajectory controller's semantics, one test per sentence of its docstring."""

import numpy as np
import pytest

from robotracer_ros.errors import ControllerRefusedError, InvalidParameterError
from robotracer_ros.sim.trajectory_controller import (
    JointBounds,
    TrajectoryCommand,
    TrajectoryController,
    TrajectoryPoint,
)

P = TrajectoryPoint


def command(*points, names=('a', 'b'), start=None):
    return TrajectoryCommand(names, points, start)


@pytest.fixture
def controller():
    bounds = JointBounds(('a', 'b'), [-2, -3], [2, 3], [2, 2], [8, 8], [0.05, 0.05])
    return TrajectoryController(bounds, [0.0, 0.0])


def speed_and_acceleration(controller, start, stop, dt=1e-3):
    """Differentiate what is commanded, as the servos feel it."""
    q = np.array([controller.sample(t)[0] for t in np.arange(start, stop, dt)])
    v = np.diff(q, axis=0) / dt
    return v, np.diff(v, axis=0) / dt


def test_holds_until_told(controller):
    q, v, a = controller.sample(5.0)
    assert q.tolist() == [0, 0] and v.tolist() == [0, 0] and a.tolist() == [0, 0]
    assert not controller.active


def test_names_may_come_in_any_order(controller):
    controller.accept(command(P(1.0, (1.0, -1.0)), names=('b', 'a')), now=0.0)
    assert controller.sample(1.0)[0].tolist() == [-1.0, 1.0]


def test_positions_alone_are_joined_by_straight_lines(controller):
    controller.accept(command(P(1.0, (1.0, 0.0)), P(2.0, (0.0, 1.0))), now=10.0)
    assert controller.sample(10.25)[0] == pytest.approx([0.25, 0.0])
    assert controller.sample(11.5)[0] == pytest.approx([0.5, 0.5])
    assert controller.sample(11.5)[1] == pytest.approx([-1.0, 1.0])


def test_velocities_make_cubics(controller):
    controller.accept(command(P(1.0, (0.5, 0.0), (1.0, 0.0)), P(2.0, (1.0, 0.0), (0.0, 0.0))), 0.0)
    q, v, _ = controller.sample(1.0)
    assert q == pytest.approx([0.5, 0]) and v == pytest.approx([1.0, 0])
    # the cubic from (0, rest) to (0.5, 1 rad/s) over one second is t^2 / 2
    for t in (0.2, 0.5, 0.9):
        assert controller.sample(t)[0][0] == pytest.approx(t ** 2 / 2)
        assert controller.sample(t)[1][0] == pytest.approx(t)


def test_accelerations_make_quintics(controller):
    t = np.linspace(0, 2, 9)[1:]
    def shape(x):  # rest to rest over two seconds, known in closed form
        s = x / 2
        return (10 * s**3 - 15 * s**4 + 6 * s**5, (30 * s**2 - 60 * s**3 + 30 * s**4) / 2,
                (60 * s - 180 * s**2 + 120 * s**3) / 4)
    points = [P(float(x), *((float(y), 0.0) for y in shape(x))) for x in t]
    controller.accept(command(*points), now=3.0)
    for x in np.linspace(0, 2, 101):
        q, v, a = controller.sample(3.0 + x)
        expected = shape(x)
        assert (q[0], v[0], a[0]) == pytest.approx(expected, abs=1e-9)


def test_commanded_motion_is_what_its_derivatives_say(controller):
    controller.accept(command(P(0.5, (0.3, 0.1), (0.8, -0.2), (0.1, 0.3)),
                              P(1.2, (0.6, 0.0), (0.0, 0.0), (0.0, 0.0))), now=0.0)
    for t in (0.1, 0.3, 0.5, 0.7, 1.1):
        before, after = controller.sample(t - 1e-5), controller.sample(t + 1e-5)
        q, v, a = controller.sample(t)
        assert (after[0] - before[0]) / 2e-5 == pytest.approx(v, abs=1e-4)
        if t != 0.5:
            assert (after[1] - before[1]) / 2e-5 == pytest.approx(a, abs=1e-3)
        assert q == pytest.approx((before[0] + after[0]) / 2, abs=1e-6)


def test_a_start_in_the_future_is_waited_for(controller):
    controller.accept(command(P(0.0, (0.0, 0.0), (0.0, 0.0)), P(1.0, (1.0, 0.0), (0.0, 0.0)),
                              start=5.0), now=4.0)
    assert controller.sample(4.9)[0][0] == pytest.approx(0, abs=1e-9)
    assert controller.sample(5.5)[0][0] == pytest.approx(0.5)


def test_a_start_in_the_past_is_joined_where_it_is_by_now(controller):
    points = [P(x, (x**2 * 0.25, 0.0), (x * 0.5, 0.0)) for x in (0.0, 0.5, 1.0)]
    points.append(P(2.0, (0.5, 0.0), (0.0, 0.0)))
    controller.accept(command(*points, start=-0.2), now=0.0)
    assert controller.sample(0.3)[0][0] == pytest.approx(0.25 * 0.5**2)


def test_a_new_trajectory_begins_at_the_commanded_state(controller):
    controller.accept(command(P(1.0, (1.0, 0.0), (0, 0), (0, 0))), now=0.0)
    q, v, a = controller.sample(0.5)
    controller.accept(command(P(2.0, (-0.5, 0.5), (0, 0), (0, 0))), now=0.5)
    for before, after in zip((q, v, a), controller.sample(0.5), strict=True):
        assert after == pytest.approx(before, abs=1e-9)
    _, acceleration = speed_and_acceleration(controller, 0.5, 2.6)
    assert np.abs(acceleration).max() < 15
    assert controller.sample(2.5)[0] == pytest.approx([-0.5, 0.5])


def test_the_end_is_held(controller):
    controller.accept(command(P(0.5, (0.3, 0.3))), now=0.0)
    assert controller.active
    for t in (0.5, 1.0, 100.0):
        q, v, _ = controller.sample(t)
        assert q == pytest.approx([0.3, 0.3]) and v.tolist() == [0, 0]
    assert not controller.active


def test_no_points_means_brake_and_hold(controller):
    controller.accept(command(P(1.0, (1.0, -0.5), (0, 0), (0, 0))), now=0.0)
    q, v, _ = controller.sample(0.5)
    controller.accept(command(), now=0.5)
    rest = float(np.abs(v).max() / 8)
    _, acceleration = speed_and_acceleration(controller, 0.5, 0.5 + rest + 0.1)
    assert np.abs(acceleration).max() < 8.5
    end, speed, _ = controller.sample(0.5 + rest)
    assert speed.tolist() == [0, 0]
    assert end == pytest.approx(q + v * rest / 2)
    assert controller.sample(10.0)[0].tolist() == end.tolist()
    # joints keep their ratio: the arm stops on the tangent of its way
    assert (end - q)[0] / (end - q)[1] == pytest.approx(v[0] / v[1])


@pytest.mark.parametrize(('bad', 'reason'), [
    (command(P(1.0, (0.1,)), names=('a',)), 'must name each of a, b once'),
    (command(P(1.0, (0.1, 0.1, 0.1)), names=('a', 'b', 'c')), 'must name each of a, b once'),
    (command(P(1.0, (0.1, 0.1)), names=('a', 'a')), 'must name each of a, b once'),
    (command(names=('a', 'c')), 'must name each of a, b once'),
    (command(P(1.0, (0.1,))), 'has 1 positions: must have 2'),
    (command(P(1.0, ())), 'has 0 positions'),
    (command(P(1.0, (0.1, 0.1), (0.0,))), 'has 1 velocities'),
    (command(P(1.0, (0.1, 0.1), (0.0, 0.0), (1.0,))), 'has 1 accelerations'),
    (command(P(1.0, (float('nan'), 0.1))), 'positions .* must be finite'),
    (command(P(1.0, (0.1, 0.1), (float('inf'), 0.0))), 'velocities .* must be finite'),
    (command(P(float('nan'), (0.1, 0.1))), 'finite and >= 0'),
    (command(P(-1.0, (0.1, 0.1))), 'finite and >= 0'),
    (command(P(1.0, (0.1, 0.1)), P(1.0, (0.2, 0.1))), 'points 0 and 1 .* must increase'),
    (command(P(1.0, (0.1, 0.1)), P(0.5, (0.2, 0.1))), 'points 0 and 1 .* must increase'),
    (command(P(1.0, (0.1, 0.1), (0.5, 0.0))), "ends with 'a' at 0.5.* must end at rest"),
    (command(P(9.0, (0.1, 3.1))), "'b' at 3.* must be in -3.0000..3.0000"),
    (command(P(0.1, (1.0, 0.0))), "'a' at 10.0.* limit is 2.000"),
    (command(P(1.0, (0.1, 0.1)), start=-5.0), 'ago: must end in the future'),
    (command(P(0.0, (0.4, 0.1))), "'a' 0.4000 rad .* away from the commanded position"),
])
def test_what_cannot_be_executed_is_refused(controller, bad, reason):
    controller.accept(command(P(0.4, (0.02, 0.0))), now=0.0)
    before = [controller.sample(t)[0].tolist() for t in (0.0, 0.2, 0.4, 1.0)]
    with pytest.raises(ControllerRefusedError, match=reason):
        controller.accept(bad, now=0.0)
    assert [controller.sample(t)[0].tolist() for t in (0.0, 0.2, 0.4, 1.0)] == before


def test_overshoot_between_points_is_refused(controller):
    with pytest.raises(ControllerRefusedError, match='must be in'):
        controller.accept(command(P(2.0, (1.95, 0.0), (1.5, 0.0)), P(3.0, (1.95, 0.0), (0, 0))), 0.0)


def test_bounds_must_fit_the_joints():
    with pytest.raises(InvalidParameterError, match=r'velocity has shape \(1,\)'):
        JointBounds(('a', 'b'), [0, 0], [1, 1], [1], [1, 1], [1, 1])
