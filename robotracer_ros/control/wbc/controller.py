# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The whole-body controller: tasks and constraints of one tick become one quadratic program.

It keeps a configuration of its own and integrates what it decides, as a reference for whatever moves
the robot; see ``doc/g1.md`` for the mathematics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pinocchio as pin
from numpy.typing import ArrayLike, NDArray

from robotracer_ros.control.wbc.config import HumanoidConfig
from robotracer_ros.control.wbc.constraints import Balance, JointBounds, PlantedFeet
from robotracer_ros.control.wbc.failures import BalanceError, JointLimitError
from robotracer_ros.control.wbc.model import HumanoidModel
from robotracer_ros.control.wbc.qp import ACTIVE, Solution, make_solver
from robotracer_ros.control.wbc.separation import SceneBox, Separation
from robotracer_ros.control.wbc.tasks import (
    AxisTask,
    ComTask,
    OrientationTask,
    PositionTask,
    PostureTask,
    Task,
)
from robotracer_ros.errors import (
    InvalidParameterError,
    InvalidTraceError,
    NoJointStateError,
    RobotracerError,
    StartInCollisionError,
)
from robotracer_ros.g1_description import HAND_FRAMES, JOINTS, SIDES, TORSO_LINK

Matrix = NDArray[np.float64]
#: what a hand's orientation does: stays as it was when the policy was set, keeps its z axis upright
#: (a thing in the grip stays upright and may turn), or follows from everything else
Policy = Literal['keep', 'level', 'free']
#: groups of constraints that can stand in a hand's way
Obstacle = Literal['collision', 'balance', 'limit']

#: a start may be this far outside of a limit: joint states are measured, rad
START_SLACK = 0.01


@dataclass(frozen=True)
class Tick:
    """What a tick saw (before it moved) and decided.

    Attributes:
        v: (nv,) velocity until the next tick.
        hand_error: Metres between each active hand and its target, by side.
        separation: Smallest distance between proxies that are kept apart, metres.
        scene_separation: The same between robot and scene, inf without one.
        balance: Distance of the centre of mass to the edge of the support polygon, metres.
        feet_error: Largest drift of a sole, m or rad.
        iterations: Of the solver.
        relaxed: What had to be given up to keep everything else: 0 nothing, 1 the zero moment point's
            margin, 2 the zero moment point, 3 accelerations too.
        binding: How many constraints were active, feet not counted.
    """

    v: Matrix
    hand_error: dict[str, float]
    separation: float
    scene_separation: float
    balance: float
    feet_error: float
    iterations: int
    relaxed: int
    binding: int


class WholeBodyController:
    """Moves hands to targets with planted feet, in balance, within limits, touching nothing.

    Args:
        config: Limits and parameters.
        model: The robot; the G1 when None. The controller moves it along.
        boxes: The scene.
    """

    def __init__(self, config: HumanoidConfig, model: HumanoidModel | None = None,
                 boxes: Sequence[SceneBox] = ()) -> None:
        self.config, self.model = config, model or HumanoidModel()
        self.period = config.wbc.period_s
        w = config.wbc
        self._lower, self._upper = config.position_limits(self.model)
        self._joints = JointBounds(self._lower, self._upper, config.velocity, config.acceleration,
                                   w.barrier_gain, w.period_s)
        frames = {side: self.model.frame(HAND_FRAMES[side]) for side in SIDES}
        #: tasks by side
        self.hands = {s: PositionTask(f, w.hand_gain, w.hand_weight, w.max_hand_speed, active=False)
                      for s, f in frames.items()}
        self.turns = {s: OrientationTask(f, w.orientation_gain, w.orientation_weight,
                                         w.max_hand_turn, active=False) for s, f in frames.items()}
        self.levels = {s: AxisTask(f, w.orientation_gain, w.orientation_weight, 2, w.max_hand_turn,
                                   active=False) for s, f in frames.items()}
        self.torso = AxisTask(self.model.frame(TORSO_LINK), w.torso_gain, w.torso_weight, 2, 0.5)
        self.com = ComTask(w.com_gain, w.com_weight, 0.2)
        self.posture = PostureTask(w.posture_gain, w.posture_weight, 1.0, config.home.copy())
        self._tasks: tuple[Task, ...] = (*self.hands.values(), *self.turns.values(),
                                         *self.levels.values(), self.torso, self.com)
        self._boxes = tuple(boxes)
        self.q = self.model.q
        self.v = np.zeros(self.model.nv)
        self._allocate_tasks()
        self.reset(self.model.standing(config.home))

    def _allocate_tasks(self) -> None:
        rows, nv = sum(t.rows for t in self._tasks), self.model.nv
        self._w, self._b = np.zeros((rows, nv)), np.zeros(rows)
        self._h, self._g = np.zeros((nv, nv)), np.zeros(nv)
        self._diagonal = np.full(nv, self.config.wbc.damping**2)
        self._diagonal[6:] += self.posture.weight**2
        self._low, self._high = np.zeros(nv), np.zeros(nv)
        # What "near" means in an emergency: a joint's speed counts, the base follows.
        self._near = np.diag(np.concatenate([np.full(6, 1e-2), np.ones(nv - 6)]))

    def reset(self, q: ArrayLike, boxes: Sequence[SceneBox] | None = None) -> None:
        """Start at rest at a configuration, both feet where they are, hands free.

        Args:
            q: (36,) both feet on the ground.
            boxes: A new scene, or None for the present one.

        Raises:
            NoJointStateError: q is not finite or has another size.
            JointLimitError: a joint is outside of its range.
            BalanceError: the centre of mass is not over the feet.
            StartInCollisionError: proxies overlap each other or the scene.
        """
        start = np.array(q, dtype=float)
        if start.shape != (self.model.nq,) or not np.isfinite(start).all():
            raise NoJointStateError(f'configuration has shape {start.shape} and '
                                    f'{int(np.isfinite(start).sum())} finite numbers: must be '
                                    f'{self.model.nq} of them')
        self._check_limits(start)
        w, model = self.config.wbc, self.model
        scene = self._boxes if boxes is None else tuple(boxes)
        model.update(start)
        feet = PlantedFeet(model, w.contact_gain)
        balance = Balance(model, w.balance_gain, w.balance_margin_m, w.zmp_margin_m, w.period_s)
        apart = Separation(model, scene, w.barrier_gain, w.self_margin_m, w.scene_margin_m,
                           w.self_rows, w.scene_rows)
        apart.admit(model)
        distance = balance.distance(model)
        if distance < w.balance_margin_m:
            raise BalanceError(
                f'the centre of mass is {distance * 1e3:.1f} mm inside the edge of the feet: must be '
                f'at least {w.balance_margin_m * 1e3:.1f} mm', reason='balance', distance=distance)
        gap, names = apart.nearest(model)
        if gap < 0:
            raise StartInCollisionError(f'{names} overlap by {-gap * 1e3:.1f} mm before the robot '
                                        'moves', reason='collision', distance=gap)
        self.q, self.v = start, np.zeros(model.nv)
        self._com_speed = np.zeros(3)
        self._boxes, self._feet, self._balance, self._apart = scene, feet, balance, apart
        self.com.target = balance.centre
        for side in SIDES:
            self.release(side)
        rows = feet.rows + balance.rows + apart.rows
        self._a = np.zeros((rows, model.nv))
        self._lo, self._hi = np.zeros(rows), np.full(rows, 1e30)
        self._solver = make_solver(w.solver, model.nv, feet.rows, rows)
        self._solution: Solution | None = None

    def _check_limits(self, q: Matrix) -> None:
        beyond = np.maximum(self._lower - q[7:], q[7:] - self._upper)
        worst = int(np.argmax(beyond))
        if beyond[worst] > START_SLACK + self.config.position_margin:
            raise JointLimitError(
                f'{JOINTS[worst]} is at {q[7 + worst]:.4f} rad: must be in '
                f'{self._lower[worst]:.4f}..{self._upper[worst]:.4f}', reason='limit',
                joint=JOINTS[worst], value=float(q[7 + worst]))

    # -- what to do -------------------------------------------------------------------------------

    def hand(self, side: str) -> pin.SE3:
        """Return world_from_hand of a hand's tool centre point, at the model's configuration."""
        return pin.SE3(self.model.placement(self.hands[side].frame))

    def track(self, side: str, policy: Policy = 'level') -> None:
        """Take a hand under control: it holds its place until :meth:`aim` moves the target."""
        if policy not in ('keep', 'level', 'free'):
            raise InvalidParameterError(f"hand orientation policy '{policy}': must be keep, level or "
                                        'free', parameter='policy')
        self.model.update(self.q)
        place = self.hand(side)
        task = self.hands[side]
        task.target, task.velocity, task.active = place.translation.copy(), np.zeros(3), True
        self.turns[side].target = place.rotation.copy()
        self.turns[side].active = policy == 'keep'
        self.levels[side].active = policy == 'level'

    def aim(self, side: str, position: ArrayLike, velocity: ArrayLike = (0.0, 0.0, 0.0)) -> None:
        """Set where a tracked hand is to be now, and how fast that place moves; metres, world.

        Raises:
            InvalidTraceError: a number is not finite.
        """
        place, rate = np.array(position, dtype=float), np.array(velocity, dtype=float)
        if place.shape != (3,) or rate.shape != (3,) or not (
            np.isfinite(place).all() and np.isfinite(rate).all()
        ):
            raise InvalidTraceError(f'target of the {side} hand is {place.tolist()} m at '
                                    f'{rate.tolist()} m/s: must be three finite numbers each',
                                    reason='input')
        self.hands[side].target, self.hands[side].velocity = place, rate

    def release(self, side: str) -> None:
        """Let a hand follow the posture again."""
        self.hands[side].active = self.turns[side].active = self.levels[side].active = False

    # -- one tick ---------------------------------------------------------------------------------

    def step(self) -> Tick:
        """Decide a velocity and move along it for one period.

        Raises:
            RobotracerError: no velocity satisfies all constraints, accelerations aside; as standing
                still does, that is a fault of ours.
        """
        errors = self._assemble()
        solution, relaxed = self._solve()
        self.v = solution.x
        self._solution = solution
        tick = Tick(
            self.v, errors, float(self._apart.self_distance.min()),
            float(self._apart.scene_distance.min(initial=np.inf)), self._distance, self._drift,
            solution.iterations, relaxed, self._binding(solution))
        self._com_speed = self.model.com_jacobian @ self.v
        self.q = pin.integrate(self.model.model, self.q, self.v * self.period)
        return tick

    def _assemble(self) -> dict[str, float]:
        """Fill the program at the present configuration; return the hands' errors."""
        model = self.model
        model.update(self.q)
        used = 0
        errors: dict[str, float] = {}
        for task in self._tasks:
            if task.active:
                end = used + task.rows
                norm = task.write(model, self._w[used:end], self._b[used:end])
                used = end
                if isinstance(task, PositionTask):
                    side = 'left' if task is self.hands['left'] else 'right'
                    errors[side] = norm
        w = self._w[:used]
        np.matmul(w.T, w, out=self._h)
        self._h.flat[:: model.nv + 1] += self._diagonal
        np.matmul(self._b[:used], w, out=self._g)
        posture = self.posture
        away = posture.error(model)
        away *= posture.gain * posture.weight**2
        self._g[6:] += away
        np.negative(self._g, out=self._g)
        a, lo, hi = self._a, self._lo, self._hi
        e = 12 + self._balance.rows
        self._drift = self._feet.write(model, a[:12], lo[:12], hi[:12])
        self._distance = self._balance.write(model, self._com_speed, a[12:e], lo[12:e],
                                             hi[12:e])
        self._apart.write(model, a[e:], lo[e:])
        self._joints.write(self.q, self.v, self._low, self._high)
        return errors

    def _solve(self) -> tuple[Solution, int]:
        """Solve the program; give up as little as has to be where it has no solution.

        Standing still satisfies everything but accelerations and zero moment point: the latter goes
        first, then the velocity nearest to the last one is taken that satisfies the rest.
        """
        arguments = (self._h, self._g, self._a, self._lo, self._hi, self._low, self._high)
        rows = slice(12, 12 + self._balance.rows)
        for relaxed in (0, 1, 2):
            if relaxed:
                self._lo[rows] = (self._balance.edge(self.model, self._com_speed) if relaxed == 1
                                  else -1e30)
                np.minimum(self._lo[rows], self._hi[rows], out=self._lo[rows])
            solution = self._solver.solve(*arguments)
            if solution.solved:
                return solution, relaxed
        self._joints.write(self.q, self.v, self._low, self._high, braking=True)
        solution = self._solver.solve(self._near, -self._near.diagonal() * self.v, *arguments[2:])
        if not solution.solved:
            raise RobotracerError(
                f'no velocity satisfies the whole-body constraints ({self._solver.name}: '
                f'{solution.status}); feet are {self._drift * 1e3:.3f} mm off, the centre of mass '
                f'{self._distance * 1e3:.1f} mm inside, nearest {self._apart.nearest(self.model)}')
        return solution, 3

    def _binding(self, solution: Solution) -> int:
        active = np.abs(solution.multipliers) > ACTIVE
        feet = slice(self.model.nv, self.model.nv + 12)
        return int(np.count_nonzero(active) - np.count_nonzero(active[feet]))

    # -- why not ----------------------------------------------------------------------------------

    def obstacles(self, side: str) -> dict[Obstacle, float]:
        """Return how much faster (m/s) a hand could approach its target at this very configuration
        without each group of constraints, accelerations aside.

        The group that counts most is why it does not get there; when none counts, the target is out
        of reach.
        """
        self._assemble()
        rows = 12 + self._balance.rows
        lo, hi = self._lo.copy(), self._hi.copy()
        lo[12:rows] = -1e30  # the zero moment point limits how soon, not whether
        low, high = np.empty(self.model.nv), np.empty(self.model.nv)
        self._joints.write(self.q, self.v, low, high, braking=True)
        task = self.hands[side]
        error = task.error(self.model)
        direction = error / max(float(np.linalg.norm(error)), 1e-9)
        line = direction @ task.jacobian(self.model)

        def speed(group: str) -> float:
            row_lo, row_hi, v_lo, v_hi = lo.copy(), hi.copy(), low.copy(), high.copy()
            if group == 'collision':
                row_lo[rows:] = -1e30
            elif group == 'balance':
                row_hi[12:rows] = 1e30
            elif group == 'limit':
                v_lo[6:], v_hi[6:] = -self._joints.velocity, self._joints.velocity
            solver = make_solver(self.config.wbc.solver, self.model.nv, 12, len(lo))
            found = solver.solve(self._h, self._g, self._a, row_lo, row_hi, v_lo, v_hi)
            return float(line @ found.x) if found.solved else 0.0

        now = speed('')
        groups: tuple[Obstacle, ...] = ('collision', 'balance', 'limit')
        return {g: speed(g) - now for g in groups}

    def in_the_way(self) -> list[str]:
        """Name what bound in the last tick: pairs that touched their margin, joints at a limit, the
        centre of mass at the edge.
        """
        if self._solution is None:
            return []
        names, nv = [], self.model.nv
        active = np.abs(self._solution.multipliers) > ACTIVE
        near, far = self._joints.positions(self.q)
        for j in np.flatnonzero(active[6:nv]):
            if min(-near[j], far[j]) < 0.02 * self._joints.gain:
                names.append(f'limit of {JOINTS[j]}')
        rows = active[nv + 12 :]
        if rows[: self._balance.rows].any():
            names.append('centre of mass at the edge of the feet')
        names += [self._apart.row_name(self.model, int(k))
                  for k in np.flatnonzero(rows[self._balance.rows :])]
        return list(dict.fromkeys(names))
