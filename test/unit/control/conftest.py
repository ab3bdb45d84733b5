# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A simulated arm behind a joint trajectory controller, and smooth motions to send to it."""

from __future__ import annotations

import bisect
import threading
import time
from dataclasses import dataclass, field

import numpy as np
import pytest

from robotracer_ros.planning.base import Grip, Motion, Phase, RobotState, TimedPlan

NAMES = tuple(f'joint_{i}' for i in range(6))
HOME = np.array([0.0, -1.9, 1.7, -1.4, -1.57, 0.0])


def smooth_motion(start, goal, seconds, phase=Phase.CARRY, wiggle=0.0, carrying=False, dt=0.01):
    """A curved motion at rest at both ends: quintic progress along a line, with a side swing."""
    t = np.linspace(0.0, seconds, max(3, round(seconds / dt) + 1))
    x = t / seconds
    s, ds, dds = (x**3 * (10 - 15 * x + 6 * x**2), 30 * x**2 * (1 - x) ** 2 / seconds,
                  60 * x * (1 - x) * (1 - 2 * x) / seconds**2)
    line = (goal - start)[None, :]
    side = wiggle * np.cos(np.arange(len(start)))[None, :]
    w = 2 * np.pi
    a, da, dda = np.sin(w * s) ** 2, w * np.sin(2 * w * s), 2 * w**2 * np.cos(2 * w * s)
    q = start + s[:, None] * line + a[:, None] * side
    v = ds[:, None] * line + (da * ds)[:, None] * side
    acc = dds[:, None] * line + (dda * ds**2 + da * dds)[:, None] * side
    n = len(t)
    return Motion(phase, t, q, v, acc, np.tile(np.eye(4), (n, 1, 1)),
                  np.minimum(np.arange(n) * 4 // n, 3), carrying)


def make_plan(steps):
    return TimedPlan(NAMES, tuple(steps), (), np.zeros((4, 3)), np.zeros((2, 3)), 0.02, 0.25, 0.0)


def hermite(t, t0, t1, p0, p1):
    """Quintic through (q, v, a) at both ends, as ros2_control interpolates; returns q and v."""
    h = t1 - t0
    u = (t - t0) / h
    (q0, v0, a0), (q1, v1, a1) = p0, p1
    c0, c1, c2 = q0, v0 * h, a0 * h * h / 2
    d0, d1, d2 = q1 - c0 - c1 - c2, v1 * h - c1 - 2 * c2, a1 * h * h - 2 * c2
    c3, c4, c5 = 10 * d0 - 4 * d1 + d2 / 2, -15 * d0 + 7 * d1 - d2, 6 * d0 - 3 * d1 + d2 / 2
    q = c0 + u * (c1 + u * (c2 + u * (c3 + u * (c4 + u * c5))))
    v = (c1 + u * (2 * c2 + u * (3 * c3 + u * (4 * c4 + u * 5 * c5)))) / h
    return q, v


@dataclass
class SimulatedRobot:
    """Joint trajectory controller over a first-order arm and jaws, in a clock of its own.

    The clock is stepped by a thread, so a starved machine slows robot and clock alike. ``deaf`` drops messages as a
    dead sender would; ``frozen`` stops the feedback; ``stuck`` holds a joint.
    """

    lag_s: float = 0.02
    latency_s: float = 0.005
    speed: float = 1.0
    q: np.ndarray = field(default_factory=HOME.copy)
    object_width: float = 0.04
    jaw_speed: float = 0.3

    def __post_init__(self):
        self.v = np.zeros(len(self.q))
        self.now = 100.0
        self.opening, self.jaw_command = 0.08, 0.08
        self.deaf = self.frozen = self.clock_stands = self.holding = False
        self.stuck = None
        self.messages, self.history, self.inbox = [], [], []
        self.trajectory = None
        self.hold = self.q.copy()
        self.state = None
        self.condition = threading.Condition()
        self.stopped = False
        self.before_step = None
        self._measure()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def close(self):
        self.stopped = True
        self.thread.join()

    def _run(self):
        dt = 0.004
        while not self.stopped:
            time.sleep(dt / self.speed)
            with self.condition:
                if not self.clock_stands:
                    self._advance(dt)
                self.condition.notify_all()

    def _advance(self, dt):
        self.now += dt
        while self.inbox and self.inbox[0][0] <= self.now:
            self.trajectory = self.inbox.pop(0)[1]
        if self.trajectory is not None:
            start, times, q, v, a = self.trajectory
            t = self.now - start
            if t >= times[-1]:
                self.hold = q[-1]
            elif t > times[0]:
                i = bisect.bisect_right(times.tolist(), t) - 1
                self.hold, _ = hermite(t, times[i], times[i + 1], (q[i], v[i], a[i]), (q[i + 1], v[i + 1], a[i + 1]))
        before = self.q
        self.q = before + (self.hold - before) * min(1.0, dt / self.lag_s)
        if self.stuck is not None:
            self.q[self.stuck] = before[self.stuck]
        self.v = (self.q - before) / dt
        target = self.jaw_command
        if self.holding and target < self.object_width <= self.opening:
            target = self.object_width
        step = np.clip(target - self.opening, -self.jaw_speed * dt, self.jaw_speed * dt)
        self.opening += step
        if not self.frozen:
            self._measure()

    def _measure(self):
        self.state = RobotState(NAMES, self.q.copy(), self.v.copy(), int(self.now * 1e9))
        self.seen_opening = self.opening
        self.history.append((self.now, self.q.copy(), self.v.copy(), self.hold.copy()))

    # RobotPort
    def now_s(self):
        return self.now

    def sleep(self, seconds):
        until = self.now + seconds
        with self.condition:
            # A standing clock must not hang the caller: the port promises to return early.
            self.condition.wait_for(lambda: self.now >= until or self.clock_stands or self.stopped, 5.0)
        if self.clock_stands:
            time.sleep(0.01)

    def joint_state(self):
        return self.state

    def send_trajectory(self, names, start_s, times, positions, velocities, accelerations):
        assert names == NAMES
        self.messages.append((start_s, times, positions, velocities, accelerations))
        if not self.deaf:
            with self.condition:
                self.inbox.append((self.now + self.latency_s, self.messages[-1]))

    def send_gripper(self, opening, force):
        self.jaw_command = opening

    def gripper_opening(self):
        return self.seen_opening

    def gripper_measured_s(self):
        return self.state.stamp_ns * 1e-9

    # what tests ask
    def wait_until(self, condition, timeout=20.0):
        with self.condition:
            assert self.condition.wait_for(condition, timeout), 'the simulated robot never got there'

    def rest_after(self, t, limit=0.02):
        """Seconds from t until the arm rests for good."""
        moving = [s for s, _, v, _ in self.history if np.abs(v).max() > limit]
        return max(0.0, max(moving, default=t) - t)


@pytest.fixture
def robot():
    r = SimulatedRobot(speed=2.0)
    yield r
    r.close()


@pytest.fixture(scope='session')
def tools():
    """Helpers without an import path."""
    class Tools:
        names, home = NAMES, HOME
        motion = staticmethod(smooth_motion)
        plan = staticmethod(make_plan)
        robot = SimulatedRobot
        grip = Grip
    return Tools
