# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robotracer_ros.control.stream import (
    MotionCurve,
    Piece,
    Schedule,
    Stream,
    brake_load,
    cruise_then_brake,
    scaled,
    stoppable_rate,
)
from robotracer_ros.errors import ControllerRefusedError

V_MAX, A_MAX = 3.0, 12.0
LEAD, BRAKE = 0.2, 0.2


def curve(tools, seconds=2.0, swing=0.8, wiggle=0.2):
    goal = tools.home + swing * np.array([1.0, 0.5, -0.7, 0.3, 0.2, -0.9])
    return MotionCurve(tools.motion(tools.home, goal, seconds, wiggle=wiggle))


def distance_to_path(motion_curve, q):
    dense = motion_curve.at(np.linspace(0, motion_curve.duration, 4000))[0]
    return np.array([np.linalg.norm(dense - p, axis=1).min() for p in np.atleast_2d(q)])


@settings(deadline=None, max_examples=60)
@given(tau=st.floats(0, 5), rate=st.floats(0, 1), cruise=st.floats(0.05, 1), lead=st.floats(0, 0.5),
       brake=st.floats(0.05, 0.5))
def test_schedule_is_smooth_and_ends_at_rest(tau, rate, cruise, lead, brake):
    schedule = cruise_then_brake(3.0, tau, min(rate, cruise), cruise_rate=cruise, cruise_s=lead, brake_s=brake)
    t = np.linspace(3.0, schedule.end + 0.1, 2001)
    at, r, slope = schedule.at(t)
    assert schedule.end <= 3.0 + lead + brake + 1e-9
    assert at[0] == pytest.approx(tau)
    assert (r >= -1e-12).all() and (r <= cruise + 1e-9).all()
    assert r[-1] == 0.0 and slope[-1] == 0.0
    # rate is the derivative of tau, and continuous; slope is the derivative of the rate
    step = t[1] - t[0]
    bend = max(6 * abs(p.rate1 - p.rate0) / p.duration**2 for p in schedule.pieces)  # of the rate
    assert np.abs(np.diff(at) / step - (r[1:] + r[:-1]) / 2).max() <= 1.01 * step**2 / 12 * bend + 1e-9
    assert np.abs(np.diff(r)).max() <= 1.01 * step * max(
        1.5 * abs(p.rate1 - p.rate0) / p.duration for p in schedule.pieces) + 1e-5


@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_messages_stay_on_the_path_within_limits_and_end_at_rest(tools, data):
    c = curve(tools, seconds=data.draw(st.floats(1.0, 3.0)), swing=data.draw(st.floats(0.1, 1.2)),
              wiggle=data.draw(st.floats(0.0, 0.3)))
    rate = stoppable_rate(c, BRAKE, V_MAX, A_MAX)
    stream = Stream(c, 10.0, rate=rate, lead_s=LEAD, brake_s=BRAKE)
    now, stop_at = 10.0, 10.0 + data.draw(st.floats(0.0, 3.0))
    while now < stop_at and not stream.arrived(now):
        message = stream.next(now)
        check_message(c, message, rate)
        now += data.draw(st.floats(0.02, 0.6))
    message = stream.stop(now)
    check_message(c, message, rate)
    assert stream.rest_time <= now + 0.02 + BRAKE + 1e-9


def check_message(c, message, rate):
    assert message.times[0] == 0.0 and (np.diff(message.times) > 0).all()
    assert message.times[-1] <= LEAD + BRAKE + 1e-9
    assert (message.velocities[-1] == 0).all() and (message.accelerations[-1] == 0).all()
    assert distance_to_path(c, message.positions).max() < 2e-3  # spacing of the dense path
    assert np.abs(message.velocities).max() <= V_MAX * 1.001
    # the motion's own acceleration counts where it exceeds what braking needs
    own = np.abs(c.at(np.linspace(0, c.duration, 500))[2]).max()
    assert np.abs(message.accelerations).max() <= max(A_MAX, own) * 1.03


def test_consecutive_messages_join_without_a_jump(tools):
    c = curve(tools)
    stream = Stream(c, 0.0, lead_s=LEAD, brake_s=BRAKE)
    times = np.arange(0.0, 2.2, 0.08)
    for now in times:
        before = stream.desired(now)
        message = stream.next(now)
        np.testing.assert_allclose(message.positions[0], before[0], atol=1e-9)
        if now > 0:
            np.testing.assert_allclose(message.velocities[0], before[1], atol=1e-9)
        assert stream.tau(now) == pytest.approx(min(now, c.duration))
    assert stream.stalls == 0
    assert stream.arrived(2.2)


def test_interpolated_message_is_the_scaled_path(tools):
    """What a controller makes of the knots (quintics) is what was meant, to 1e-4 rad and 1 % of acceleration."""
    from scipy.interpolate import BPoly
    c = curve(tools)
    stream = Stream(c, 0.0, lead_s=LEAD, brake_s=BRAKE)
    for now in np.arange(0.0, 0.9, 0.08):
        m = stream.next(now)
    spline = BPoly.from_derivatives(m.times, np.stack([m.positions, m.velocities, m.accelerations], axis=1))
    t = np.linspace(0, m.times[-1], 400)
    schedule = stream._at(m.start)
    q, v, a = scaled(c, schedule, m.start + t)
    assert np.abs(spline(t) - q).max() < 1e-4
    assert np.abs(spline.derivative()(t) - v).max() < 0.01
    assert np.abs(spline.derivative(2)(t) - a).max() < 0.35


def test_a_late_message_continues_from_the_brake(tools):
    c = curve(tools)
    stream = Stream(c, 0.0, lead_s=LEAD, brake_s=BRAKE)
    for now in (0.0, 0.08, 0.16, 0.24):
        stream.next(now)
    late = 0.24 + LEAD + BRAKE / 2  # in the middle of the brake
    q, v = stream.desired(late)
    message = stream.next(late)
    assert stream.stalls == 1
    np.testing.assert_allclose(message.positions[0], q, atol=1e-9)
    np.testing.assert_allclose(message.velocities[0], v, atol=1e-9)
    much_later = late + 1.0  # it stood still meanwhile
    message = stream.next(much_later)
    assert stream.stalls == 2
    assert np.abs(message.velocities[0]).max() == 0.0
    assert np.abs(message.velocities).max() > 0.05


def test_stop_is_kept(tools):
    c = curve(tools)
    stream = Stream(c, 0.0, lead_s=LEAD, brake_s=BRAKE, latency_s=0.02)
    for now in np.arange(0.0, 0.9, 0.08):
        stream.next(now)
    stream.stop(0.9)
    rest, end = stream.rest_time, stream.tau(5.0)
    assert rest == pytest.approx(0.9 + 0.02 + BRAKE)
    again = stream.next(1.0)
    assert stream.rest_time == rest
    np.testing.assert_allclose(again.positions[-1], c.at(end)[0][0], atol=1e-9)


def test_stop_before_the_first_message_holds_the_start(tools):
    c = curve(tools)
    message = Stream(c, 5.0).stop(5.0)
    np.testing.assert_allclose(message.positions, np.tile(tools.home, (len(message.positions), 1)), atol=1e-12)


def test_stop_in_the_last_brake_of_a_message_does_not_prolong_it(tools):
    c = curve(tools)
    stream = Stream(c, 0.0, lead_s=LEAD, brake_s=BRAKE)
    stream.next(0.5)
    end = stream.rest_time
    stream.stop(0.5 + LEAD + 0.1)
    assert stream.rest_time == end


def test_start_offset_fades(tools):
    c = curve(tools)
    offset = np.full(6, 0.02)
    stream = Stream(c, 0.0, offset=offset, blend_s=0.3)
    m = stream.next(0.0)
    np.testing.assert_allclose(m.positions[0], tools.home + offset)
    assert (m.velocities[0] == 0).all()
    assert np.abs(m.accelerations).max() < 5.0
    np.testing.assert_allclose(stream.desired(0.31)[0], c.at(stream.tau(0.31))[0][0], atol=1e-9)


def test_a_stop_during_the_fade_ends_at_rest_on_the_path(tools):
    c = curve(tools)
    stream = Stream(c, 0.0, offset=np.full(6, 0.02), blend_s=0.3)
    stream.next(0.0)
    m = stream.stop(0.05)
    assert distance_to_path(c, m.positions[-1])[0] < 1e-3
    assert m.times[-1] == pytest.approx(0.25)


def test_fast_motion_is_slowed_until_it_can_be_stopped(tools):
    fast = curve(tools, seconds=1.0, swing=1.2, wiggle=0.0)
    load, joint, tau = brake_load(fast, 1.0, BRAKE, V_MAX, A_MAX)
    rate = stoppable_rate(fast, BRAKE, V_MAX, A_MAX)
    assert load > 1.0 and rate < 1.0
    assert joint == 0 and 0.2 < tau < 0.9  # the joint with the largest swing, around its top speed
    assert brake_load(fast, rate, BRAKE, V_MAX, A_MAX)[0] == pytest.approx(1.0, abs=1e-3)
    assert stoppable_rate(curve(tools, seconds=6.0), BRAKE, V_MAX, A_MAX) == 1.0


def test_knots_hold_the_borders():
    schedule = Schedule([Piece(0.0, 0.13, 0.0, 1.0, 1.0), Piece(0.13, 0.2, 0.13, 1.0, 0.0)])
    t = schedule.knots(0.05, 0.025)
    assert t[0] == 0.05 and t[-1] == pytest.approx(0.33)
    assert np.isclose(t, 0.13).any()
    assert np.diff(t).max() <= 0.025 + 1e-9


@pytest.mark.parametrize(('change', 'text'), [
    ({'times': np.array([0.0, 0.2, 0.1])}, 'increase'),
    ({'times': np.array([0.1, 0.2, 0.3])}, 'start at 0'),
    ({'velocities': np.array([[0.0], [0.0], [0.5]])}, 'last point moves at 0.5000 rad/s, limit 0.001'),
    ({'positions': np.array([[0.0], [np.nan], [0.5]])}, 'positions hold values that are not finite'),
    ({'positions': np.zeros((2, 1))}, 'must be (T,)'),
])
def test_bad_motions_are_refused(tools, change, text):
    m = tools.motion(np.zeros(1), np.ones(1), 0.02)
    m = dataclasses.replace(m, times=np.array([0.0, 0.1, 0.2]), positions=np.zeros((3, 1)), velocities=np.zeros((3, 1)),
                            accelerations=np.zeros((3, 1)))
    with pytest.raises(ControllerRefusedError) as e:
        MotionCurve(dataclasses.replace(m, **change))
    assert text in str(e.value)
