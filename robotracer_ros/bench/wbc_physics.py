# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The G1 follows random traces in MuJoCo, pushed on the way: falls, and how far the hand was off.

Reference at 250 Hz from the whole-body controller, joint impedance and feed-forward torques at 500 Hz
from a noisy state; friction, damping and rotors left on in the simulation, which the model of the
feed-forward does not know.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pinocchio as pin
from numpy.typing import NDArray

from robotracer_ros.bench.figures import json_safe
from robotracer_ros.bench.wbc import TABLE, mixed_traces
from robotracer_ros.control.wbc.config import HumanoidConfig
from robotracer_ros.control.wbc.controller import WholeBodyController
from robotracer_ros.control.wbc.follow import FollowOptions, Hand, TraceFollower
from robotracer_ros.control.wbc.model import HumanoidModel
from robotracer_ros.control.wbc.torques import StandingTorques
from robotracer_ros.errors import PlanningError
from robotracer_ros.g1_description import HAND_FRAMES, JOINTS
from robotracer_ros.sim.g1 import G1World, Table

Matrix = NDArray[np.float64]

#: the same table as in the kinematic bench
SIM_TABLE = Table(TABLE.name, (0.66, 0.0, 0.68), (0.6, 1.2, 0.04))
#: physics steps per tick of the controller
STEPS = 2
#: ticks to stand before a trace begins: feet sink in and motors take up the load
SETTLE = 75


@dataclass(frozen=True)
class StateNoise:
    """Standard deviations of what is measured, white, at every step of 2 ms.

    Attributes:
        joint_rad, joint_rate: Encoders, rad and rad/s.
        place_m, speed: Of the base, m and m/s.
        tilt_rad, turn_rate: Of the base, rad and rad/s.
    """

    joint_rad: float = 0.0005
    joint_rate: float = 0.05
    place_m: float = 0.001
    speed: float = 0.02
    tilt_rad: float = 0.002
    turn_rate: float = 0.02

    def measured(self, q: Matrix, v: Matrix, rng: np.random.Generator) -> tuple[Matrix, Matrix]:
        """Return configuration and velocity as they are seen."""
        n = len(JOINTS)
        step = np.concatenate([rng.normal(0, self.place_m, 3), rng.normal(0, self.tilt_rad, 3),
                               np.zeros(n)])
        seen = q.copy()
        turned = pin.SE3(pin.Quaternion(q[3:7]).toRotationMatrix(), q[:3]) * pin.exp6(step[:6])
        seen[:3], seen[3:7] = turned.translation, pin.Quaternion(turned.rotation).coeffs()
        seen[7:] += rng.normal(0, self.joint_rad, n)
        rate = v + np.concatenate([rng.normal(0, self.speed, 3), rng.normal(0, self.turn_rate, 3),
                                   rng.normal(0, self.joint_rate, n)])
        return seen, rate


@dataclass(frozen=True)
class Push:
    """A force on the torso from a time on: (3,) newtons, seconds."""

    force: Matrix
    start_s: float
    duration_s: float = 0.2


@dataclass(frozen=True)
class PhysicsFigures:
    """What happened on one trace.

    Attributes:
        fallen: Whether the robot fell.
        error_rms_m, error_max_m: Of the hand to where the trace wanted it, approach included.
        touched: Pairs of bodies that touched, soles and ground aside.
        saturated: Share of the steps in which a motor was at its limit.
        seconds: Simulated.
        given_up: Name of the error when the trace could not be followed, or ''.
    """

    fallen: bool
    error_rms_m: float
    error_max_m: float
    touched: tuple[str, ...]
    saturated: float
    seconds: float
    given_up: str = ''


class PhysicsRig:
    """A robot in physics with its controllers, used again and again.

    Args:
        config: Limits and parameters.
        noise: Of the measured state; None measures exactly.
    """

    def __init__(self, config: HumanoidConfig | None = None,
                 noise: StateNoise | None = StateNoise()) -> None:
        self.config = config or HumanoidConfig.load()
        self.controller = WholeBodyController(self.config, boxes=[TABLE])
        self.home = self.controller.q.copy()
        self.torques = StandingTorques(HumanoidModel())
        self.world = G1World(tables=(SIM_TABLE,))
        self.noise = noise
        self._limit = self.world.model.actuator_forcerange[:, 1]

    def follow(self, points: Matrix, hand: Hand, seed: int = 0,
               push: Push | None = None) -> PhysicsFigures:
        """Follow one trace from the standing posture."""
        c, world, rng = self.controller, self.world, np.random.default_rng(seed)
        c.reset(self.home)
        world.reset(self.home)
        still = np.zeros(c.model.nv)
        for _ in range(SETTLE):
            self._tick(still, still, rng, None)
        follower = TraceFollower(c, points, FollowOptions(hand=hand))
        errors, saturated, touched = [], 0, set()
        before, given_up = still, ''
        while not follower.done and not world.fallen():
            try:
                follower.step()
            except PlanningError as error:
                given_up = error.name
                break
            saturated += self._tick(c.v, (c.v - before) / c.period, rng, push)
            before = c.v
            at = world.frame_pose(HAND_FRAMES[follower.side])[:3, 3]
            errors.append(float(np.linalg.norm(at - follower.wanted)))
            touched |= {' and '.join(sorted(pair)) for pair in world.touches()}
        return PhysicsFigures(world.fallen(), float(np.sqrt(np.mean(np.square(errors)))),
                              max(errors), tuple(sorted(touched)),
                              saturated / (STEPS * len(errors)), world.time, given_up)

    def _tick(self, v_ref: Matrix, a_ref: Matrix, rng: np.random.Generator,
              push: Push | None) -> int:
        """Advance by one tick of the controller; return in how many steps a motor was at its limit."""
        c, world, saturated = self.controller, self.world, 0
        for _ in range(STEPS):
            if push is not None:
                on = push.start_s <= world.time < push.start_s + push.duration_s
                world.push(push.force if on else np.zeros(3))
            q, v = world.q, world.v
            if self.noise is not None:
                q, v = self.noise.measured(q, v, rng)
            effort = self.torques.compute(q, v, c.q, v_ref, a_ref)
            world.command(c.q[7:], v_ref[6:], effort.torques)
            world.step()
            saturated += bool((np.abs(world.torques) > 0.999 * self._limit).any())
        return saturated


def measure(traces: int = 50, seed: int = 0, force_n: float = 20.0) -> dict[str, Any]:
    """Follow random reachable traces, each undisturbed and with a push of 0.2 s at the torso."""
    rig = PhysicsRig()
    rng = np.random.default_rng(seed)
    runs: dict[str, list[PhysicsFigures]] = {'undisturbed': [], 'pushed': []}
    begin, chosen = time.process_time(), (t for t in mixed_traces(seed) if not t.hostile)
    for number, trace in zip(range(traces), chosen, strict=False):
        angle, start = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 3.0)
        push = Push(force_n * np.array([np.cos(angle), np.sin(angle), 0.0]), float(start))
        runs['undisturbed'].append(rig.follow(trace.points, trace.hand, number))
        runs['pushed'].append(rig.follow(trace.points, trace.hand, number, push))
    return {'traces': traces, 'seed': seed, 'push_n': force_n, 'cpus': os.cpu_count(),
            'cpu_s': time.process_time() - begin, 'noise': asdict(StateNoise()),
            **{name: _summary(found) for name, found in runs.items()}}


def _summary(runs: Sequence[PhysicsFigures]) -> dict[str, Any]:
    rms = [1e3 * r.error_rms_m for r in runs]
    return {
        'falls': sum(r.fallen for r in runs), 'given_up': [r.given_up for r in runs if r.given_up],
        'hand_error_rms_mm': {'median': float(np.median(rms)), 'max': max(rms)},
        'hand_error_max_mm': 1e3 * max(r.error_max_m for r in runs),
        'touched': sorted({t for r in runs for t in r.touched}),
        'saturated_steps_share_max': max(r.saturated for r in runs),
        'seconds': sum(r.seconds for r in runs)}


def main(traces: int = 50, seed: int = 0, force_n: float = 20.0, json_output: bool = False) -> int:
    """Print the figures; exit status 1 when the robot fell or touched anything."""
    result = measure(traces, seed, force_n)
    if json_output:
        print(json.dumps(json_safe(result), indent=2))
    else:
        for name in ('undisturbed', 'pushed'):
            r = result[name]
            print(f'{name}: {r["falls"]} falls of {traces}; hand {r["hand_error_rms_mm"]["median"]:.1f}'
                  f' mm rms (median), {r["hand_error_rms_mm"]["max"]:.1f} mm (worst); touched: '
                  f'{", ".join(r["touched"]) or "nothing"}; given up: {r["given_up"] or "none"}')
    return int(any(result[n]['falls'] or result[n]['touched'] for n in ('undisturbed', 'pushed')))
