# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How long a tick of the whole-body controller takes with every constraint on, how well the hand
follows, and whether anything was violated; the same for pink where it is installed.

One run is a row of traces without a pause: random ones that can be followed, with one hand or both,
and hostile ones (out of reach, behind the back, through torso and table). All solvers get the same
traces. Times are CPU times of the thread (and wall times beside them), as machines are shared.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pinocchio as pin
from numpy.typing import NDArray

from robotracer_ros.bench.figures import json_safe
from robotracer_ros.control.wbc.check import MotionCheck, collision_geometry
from robotracer_ros.control.wbc.config import HumanoidConfig
from robotracer_ros.control.wbc.controller import WholeBodyController
from robotracer_ros.control.wbc.follow import FollowOptions, Hand, TraceFollower
from robotracer_ros.control.wbc.separation import SceneBox
from robotracer_ros.errors import MissingPackageError, PlanningError
from robotracer_ros.g1_description import HAND_FRAMES, SIDES, SOLE_FRAMES

Matrix = NDArray[np.float64]

#: a table at working height, metres
TABLE = SceneBox('table', np.array([[1.0, 0, 0, 0.66], [0, 1, 0, 0], [0, 0, 1, 0.68], [0, 0, 0, 1]]),
                 np.array([0.3, 0.6, 0.02]))
#: places for the right hand that can be reached from anywhere among them; mirrored for the left
REACHABLE = np.array([[0.22, -0.40, 0.82], [0.42, 0.00, 1.10]])
HOSTILE = (
    [[0.4, -0.2, 0.9], [1.6, -0.2, 0.9]],
    [[0.3, -0.3, 0.9], [-0.6, 0.1, 0.9]],
    [[0.3, -0.2, 0.9], [0.0, 0.0, 1.0], [0.3, 0.2, 0.9]],
    [[0.3, -0.3, 0.9], [0.5, -0.2, 0.85], [0.5, -0.2, 0.6]],
    [[0.3, -0.2, 0.9], [0.3, 0.5, 1.2], [0.35, -0.4, 0.85]],
)
#: pairs in pink's barrier
PINK_PAIRS = 16


@dataclass(frozen=True)
class MixedTrace:
    """One trace of the run."""

    points: Matrix
    hand: Hand
    hostile: bool


def mixed_traces(seed: int) -> Iterator[MixedTrace]:
    """Yield traces without end; same seed, same traces."""
    rng = np.random.default_rng(seed)
    for number in itertools.count():
        hand: Hand = 'right' if rng.random() < 0.5 else 'left'
        mirror = np.array([1.0, 1.0 if hand == 'right' else -1.0, 1.0])
        if number % 3 == 2:
            chosen = HOSTILE[int(rng.integers(len(HOSTILE)))]
            yield MixedTrace(np.array(chosen) * mirror, hand, True)
        else:
            points = rng.uniform(REACHABLE[0], REACHABLE[1], (int(rng.integers(2, 6)), 3)) * mirror
            yield MixedTrace(points, hand, False)


@dataclass
class _Run:
    """What one controller did."""

    cpu_ms: list[float] = field(default_factory=list)
    wall_ms: list[float] = field(default_factory=list)
    errors_m: list[float] = field(default_factory=list)
    iterations: list[int] = field(default_factory=list)
    q: list[Matrix] = field(default_factory=list)
    targets: list[tuple[str, Matrix]] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    relaxed: Counter[int] = field(default_factory=Counter)


def run(controller: WholeBodyController, seconds: float, seed: int) -> _Run:
    """Follow traces for that much simulated time."""
    out, options = _Run(), FollowOptions()
    count = round(seconds / controller.period)
    for trace in mixed_traces(seed):
        for side in SIDES:
            controller.release(side)
        follower = TraceFollower(controller, trace.points,
                                 FollowOptions(**{**asdict(options), 'hand': trace.hand}))
        kind = 'hostile' if trace.hostile else 'reachable'
        while not follower.done:
            if len(out.cpu_ms) >= count:
                return out
            out.q.append(controller.q)
            wall, cpu = time.perf_counter(), time.thread_time()
            try:
                tick = follower.step()
            except PlanningError as error:
                # The tick in which it gives up moves the robot like any other, but looks for reasons.
                out.outcomes[f'{kind}: {error.details["reason"]}'] += 1
                break
            out.cpu_ms.append(1e3 * (time.thread_time() - cpu))
            out.wall_ms.append(1e3 * (time.perf_counter() - wall))
            out.iterations.append(tick.iterations)
            out.relaxed[tick.relaxed] += 1
            out.targets.append((follower.side, follower.wanted))
            if not trace.hostile and not follower.approaching:
                out.errors_m.append(tick.hand_error[follower.side])
        else:
            out.outcomes[f'{kind}: followed'] += 1
    return out


def measure(seconds: float = 60.0, seed: int = 0, solvers: Sequence[str] = ('daqp', 'proxqp'),
            pink_seconds: float = 10.0) -> dict[str, Any]:
    """Measure every solver that is installed, then pink; times in milliseconds."""
    result: dict[str, Any] = {
        'seconds': seconds, 'seed': seed, 'cpus': os.cpu_count(),
        'load_average': os.getloadavg()[0], 'controllers': {}}
    targets: list[tuple[str, Matrix]] = []
    for name in solvers:
        config = HumanoidConfig.load(overrides={'solver': name})
        try:
            controller = WholeBodyController(config, boxes=[TABLE])
        except MissingPackageError as error:
            result['controllers'][name] = {'skipped': str(error)}
            continue
        apart = controller._apart
        done = run(controller, seconds, seed)
        targets = targets or done.targets
        errors = done.errors_m or [float('nan')]  # a short run is all approach
        figures = MotionCheck(config, [TABLE]).figures(np.array(done.q), config.wbc.period_s)
        result['controllers'][name] = {
            'cpu_ms': _spread(done.cpu_ms), 'wall_ms': _spread(done.wall_ms),
            'tracking_rms_mm': 1e3 * float(np.sqrt(np.mean(np.square(errors)))),
            'tracking_max_mm': 1e3 * max(errors),
            'solver_iterations': {'mean': float(np.mean(done.iterations)),
                                  'max': max(done.iterations)},
            'ticks_by_relaxation': dict(sorted(done.relaxed.items())),
            'outcomes': dict(sorted(done.outcomes.items())),
            'violations': figures.violations(config), 'figures': asdict(figures),
            'rows': {'feet': 12, 'balance': controller._balance.rows,
                     'self_collision': apart.self_rows, 'scene': apart.scene_rows,
                     'self_pairs_watched': len(apart.first), 'joints': 29}}
    result['pink'] = _pink(targets[: round(pink_seconds / HumanoidConfig.load().wbc.period_s)])
    return result


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {'median': float(np.median(values)), 'p99': float(np.percentile(values, 99)),
            'max': float(np.max(values)), 'ticks': len(values)}


def _pink(targets: Sequence[tuple[str, Matrix]]) -> dict[str, Any]:
    """Follow the same hand targets with pink: feet as hard constraints, limits, posture, centre of
    mass, and its self-collision barrier on the same capsules. It has no rows for balance and scene.
    """
    if not targets:
        return {'skipped': 'not asked for'}
    try:
        import pink  # type: ignore[import-not-found,unused-ignore]
        from pink.barriers import SelfCollisionBarrier  # type: ignore[import-not-found,unused-ignore]
        from pink.limits import (  # type: ignore[import-not-found,unused-ignore]
            AccelerationLimit,
            ConfigurationLimit,
            VelocityLimit,
        )
        from pink.tasks import (  # type: ignore[import-not-found,unused-ignore]
            ComTask,
            FrameTask,
            PostureTask,
        )
    except ImportError as error:
        return {'skipped': f'{error}; to compare: pip install pin-pink daqp (its qpsolvers is '
                           'LGPL-3.0, therefore no requirement of ours)'}
    config = HumanoidConfig.load()
    controller = WholeBodyController(config)
    model, dt = controller.model.model, config.wbc.period_s
    geometry = collision_geometry(model)
    out: dict[str, Any] = {'pairs': PINK_PAIRS, 'seconds': len(targets) * dt}
    for label, pairs in (('without_barrier', 0), ('with_barrier', PINK_PAIRS)):
        state = pink.Configuration(model, model.createData(), controller.q,
                                   collision_model=geometry, collision_data=geometry.createData())
        hands = {s: FrameTask(HAND_FRAMES[s], 10.0, 0.0, gain=0.5) for s in SIDES}
        feet = [FrameTask(f, 1.0, 1.0, gain=config.wbc.contact_gain * dt)
                for f in SOLE_FRAMES.values()]
        posture = PostureTask(cost=config.wbc.posture_weight, gain=config.wbc.posture_gain * dt)
        com = ComTask(cost=config.wbc.com_weight, gain=config.wbc.com_gain * dt)
        for task in (*feet, posture, com):
            task.set_target_from_configuration(state)
        speed = np.concatenate([np.full(6, 10.0), config.velocity])
        brake = AccelerationLimit(model, np.concatenate([np.full(6, 1e3), config.acceleration]))
        limits = [ConfigurationLimit(model), VelocityLimit(model, speed), brake]
        barriers = [SelfCollisionBarrier(pairs, gain=config.wbc.barrier_gain,
                                         d_min=config.wbc.self_margin_m)] if pairs else []
        cpu, errors, unsolved, q = [], [], 0, []
        for side, place in targets:
            hand = hands[side]
            hand.set_target(pin.SE3(np.eye(3), place))
            q.append(state.q.copy())
            begin = time.thread_time()
            try:
                v = pink.solve_ik(state, [hand, posture, com], dt, solver='daqp', limits=limits,
                                  barriers=barriers, constraints=feet, safety_break=False)
            except pink.exceptions.NoSolutionFound:
                unsolved += 1
                v = np.zeros(model.nv)
            state.integrate_inplace(v, dt)
            brake.set_last_integration(v, dt)
            cpu.append(1e3 * (time.thread_time() - begin))
            at = state.get_transform_frame_to_world(HAND_FRAMES[side]).translation
            errors.append(float(np.linalg.norm(at - place)))
        seen = MotionCheck(config).figures(np.array(q), dt)
        out[label] = {'cpu_ms': _spread(cpu), 'unsolved': unsolved, 'self_m': seen.self_m,
                      'feet_m': seen.feet_m, 'hand_error_median_mm': 1e3 * float(np.median(errors))}
    return out


def main(seconds: float = 60.0, seed: int = 0, pink_seconds: float = 10.0,
         json_output: bool = False) -> int:
    """Print the figures; exit status 1 when a constraint was violated or a reachable trace not
    followed.
    """
    result = measure(seconds, seed, pink_seconds=pink_seconds)
    measured = [c for c in result['controllers'].values() if 'skipped' not in c]
    if json_output:
        print(json.dumps(json_safe(result), indent=2))
    else:
        for name, c in result['controllers'].items():
            if 'skipped' in c:
                print(f'{name}: {c["skipped"]}')
                continue
            print(f'{name}: tick {c["cpu_ms"]["median"]:.2f} ms median, {c["cpu_ms"]["p99"]:.2f} ms '
                  f'p99 (CPU); hand {c["tracking_rms_mm"]:.2f} mm rms; '
                  f'violations: {"; ".join(c["violations"]) or "none"}')
            print(f'  {c["outcomes"]}')
        print(f'pink: {result["pink"]}')
    bad = any(c['violations'] or any(k.startswith('reachable') and not k.endswith('followed')
                                     for k in c['outcomes']) for c in measured)
    return int(bad or not measured)
