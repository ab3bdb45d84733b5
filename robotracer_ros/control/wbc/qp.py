# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Dense quadratic programs of fixed size, solved again and again: DAQP or ProxQP behind one interface.

    minimise  1/2 x' H x + g' x   subject to   low <= x <= high,  lower <= A x <= upper

with the first ``equalities`` rows of A being equations (``lower == upper``). Both solvers keep their
memory and begin with what was active in the tick before. They are optional packages
(``pip install robotracer_ros[g1]``) and imported when one is made.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.errors import InvalidParameterError, MissingPackageError

Matrix = NDArray[np.float64]

#: multipliers below this are those of rows that do not bind
ACTIVE = 1e-7


@dataclass(frozen=True)
class Solution:
    """What a solver found.

    Attributes:
        x: (n,) the minimiser; the best it had when ``solved`` is False.
        multipliers: (n + m,) of the bounds, then of the rows: positive where the upper one binds,
            negative where the lower one does.
        solved: Whether ``x`` is optimal and feasible to the solver's tolerance.
        iterations: Of the solver.
        status: The solver's own word for how it ended.
    """

    x: Matrix
    multipliers: Matrix
    solved: bool
    iterations: int
    status: str


class QpSolver(abc.ABC):
    """A solver for problems of one size.

    Args:
        variables: n.
        equalities: How many of the first rows are equations.
        rows: m, equations included.
    """

    name: str

    def __init__(self, variables: int, equalities: int, rows: int) -> None:
        self.variables, self.equalities, self.rows = variables, equalities, rows
        self._warm = False

    def solve(self, h: Matrix, g: Matrix, a: Matrix, lower: Matrix, upper: Matrix, low: Matrix,
              high: Matrix) -> Solution:
        """Solve; H (n, n) symmetric and positive definite, A (m, n), bounds of rows and variables.

        What was active in the last problem may lead astray in this one: without a solution it is
        tried once more from scratch.
        """
        found = self._attempt(h, g, a, lower, upper, low, high)
        if not found.solved and self._warm:
            self._warm = False
            found = self._attempt(h, g, a, lower, upper, low, high)
        self._warm = found.solved
        return found

    @abc.abstractmethod
    def _attempt(self, h: Matrix, g: Matrix, a: Matrix, lower: Matrix, upper: Matrix, low: Matrix,
                 high: Matrix) -> Solution:
        """Solve once, from the last solution when ``_warm`` is set."""


class DaqpSolver(QpSolver):
    """DAQP: dual active set; exact, and quick when few constraints change from tick to tick."""

    name = 'daqp'

    _STATUS = {  # noqa: RUF012  (a constant)
        2: 'soft optimal', 1: 'optimal', -1: 'infeasible', -2: 'cycling', -3: 'unbounded',
        -4: 'iteration limit', -5: 'not convex', -6: 'overdetermined start'}

    def __init__(self, variables: int, equalities: int, rows: int) -> None:
        super().__init__(variables, equalities, rows)
        try:
            import daqp
        except ImportError as e:
            raise MissingPackageError("whole-body control needs the Python package 'daqp': pip "
                                      'install daqp', package='daqp') from e
        self._model = daqp.Model()
        self._ready = False
        self._plain = np.zeros(variables + rows, dtype=np.int32)
        self._plain[variables : variables + equalities] = 5
        self._sense = self._plain.copy()
        self._upper = np.empty(variables + rows)
        self._lower = np.empty(variables + rows)

    def _attempt(self, h: Matrix, g: Matrix, a: Matrix, lower: Matrix, upper: Matrix, low: Matrix,
                 high: Matrix) -> Solution:
        n = self.variables
        if not self._warm:
            np.copyto(self._sense, self._plain)
        self._upper[:n], self._upper[n:] = high, upper
        self._lower[:n], self._lower[n:] = low, lower
        if self._ready:
            self._model.update(h, g, a, self._upper, self._lower, self._sense)
        else:
            self._model.setup(h, g, a, self._upper, self._lower, self._sense)
            self._ready = True
        x, _, flag, info = self._model.solve()
        multipliers = np.asarray(info['lam'])
        # 1: active at the upper bound, 3: at the lower one.
        np.copyto(self._sense, self._plain)
        self._sense[multipliers > ACTIVE] = 1
        self._sense[multipliers < -ACTIVE] = 3
        self._sense[n : n + self.equalities] = 5
        return Solution(np.asarray(x), multipliers, flag == 1, int(info['iterations']),
                        self._STATUS.get(int(flag), str(flag)))


class ProxqpSolver(QpSolver):
    """ProxQP: augmented Lagrangian; feasible to a tolerance, and robust where rows depend on others.

    Args:
        variables: n.
        equalities: How many of the first rows are equations.
        rows: m.
        tolerance: On constraints and gradient.
    """

    name = 'proxqp'

    def __init__(self, variables: int, equalities: int, rows: int, tolerance: float = 1e-6) -> None:
        super().__init__(variables, equalities, rows)
        try:
            from proxsuite import proxqp
        except ImportError as e:
            raise MissingPackageError("solver 'proxqp' needs the Python package 'proxsuite': pip "
                                      'install proxsuite', package='proxsuite') from e
        self._qp = proxqp.dense.QP(variables, equalities, rows - equalities, True)
        self._qp.settings.eps_abs = tolerance
        self._qp.settings.eps_rel = 0.0
        self._guess = proxqp.InitialGuess
        self._optimal = proxqp.QPSolverOutput.PROXQP_SOLVED

    def _attempt(self, h: Matrix, g: Matrix, a: Matrix, lower: Matrix, upper: Matrix, low: Matrix,
                 high: Matrix) -> Solution:
        e = self.equalities
        self._qp.settings.initial_guess = (
            self._guess.WARM_START_WITH_PREVIOUS_RESULT if self._warm
            else self._guess.NO_INITIAL_GUESS)
        step = self._qp.update if self._warm else self._qp.init
        step(h, g, a[:e], upper[:e], a[e:], lower[e:], upper[e:], low, high)
        self._qp.solve()
        results = self._qp.results
        z = np.asarray(results.z)
        inequalities = self.rows - e
        multipliers = np.concatenate([z[inequalities:], results.y, z[:inequalities]])
        status = results.info.status
        return Solution(np.array(results.x), multipliers, status == self._optimal,
                        int(results.info.iter), status.name)


def make_solver(name: str, variables: int, equalities: int, rows: int) -> QpSolver:
    """Make a solver by name.

    Raises:
        MissingPackageError: its package is not installed.
        InvalidParameterError: there is none of that name.
    """
    known: dict[str, type[QpSolver]] = {s.name: s for s in (DaqpSolver, ProxqpSolver)}
    if name not in known:
        raise InvalidParameterError(f"unknown QP solver '{name}'; known: {', '.join(known)}",
                                    parameter='solver')
    return known[name](variables, equalities, rows)
