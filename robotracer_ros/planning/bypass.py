# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Replace the parts of a way that collide by sampled detours between its corners."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.errors import PlanningError
from robotracer_ros.planning.checker import Checker
from robotracer_ros.planning.detour import carried_detour
from robotracer_ros.planning.follow import Tools
from robotracer_ros.planning.segments import TURN_SCALE, moved_poses

Matrix = NDArray[np.float64]

#: sampling searches per plan: one that fails takes its whole time, and the next ones are no
#: likelier to succeed
MAX_DETOURS = 6
#: shares of the corner radius that are tried on a detour
ROUNDINGS = (1.0, 0.4, 0.1)


class Bypass:
    """Finds ways for what moves along the trace, in the arm branch of one configuration.

    Args:
        tools: Robot, parameters, clocks.
        checker: For the moving arm with what it carries.
        pick_centre, grasp: Centre (3,) of what follows the trace and base_from_tcp (4, 4) at one
            moment.
        start: (J,) where the way begins; gives the branch.
    """

    def __init__(
        self, tools: Tools, checker: Checker, pick_centre: Matrix, grasp: Matrix, start: Matrix
    ) -> None:
        self._tools, self._checker = tools, checker
        self._centre, self._grasp, self._start = pick_centre, grasp, start
        self._branch = tools.ik.branch(start)

    def corners(
        self, nodes: Matrix, marks: NDArray[np.int64], cause: PlanningError
    ) -> tuple[Matrix, NDArray[np.int64]]:
        """Return corners (M, 4) and trace indices of a way through all nodes (N, 4) that can be
        reached freely.

        Nodes that are blocked themselves are passed by; first and last must be free.

        Raises:
            PlanningError: ``cause``, when there is no way.
        """
        tools, p = self._tools, self._tools.config.planner
        with tools.clock('detour'):
            free = [i for i in range(len(nodes)) if self._free(nodes[i : i + 1])]
            if len(free) < 2 or free[0] != 0 or free[-1] != len(nodes) - 1:
                raise cause
            # The workspace bounds the tool; where it carries something below, that may be lower.
            room = tools.config.workspace.copy()
            room[:, 2] += self._centre[2] - self._grasp[2, 3]
            out, labels = [nodes[:1]], [marks[:1]]
            for a, b in pairwise(free):
                piece = nodes[[a, b]]
                if b > a + 1 or not self._free(self._samples(piece)):
                    if tools.detours >= MAX_DETOURS:
                        raise cause
                    tools.detours += 1
                    found = carried_detour(
                        tools.ik,
                        self._checker,
                        self._centre,
                        self._grasp,
                        self._start,
                        piece[0],
                        piece[1],
                        room,
                        p.path_step_m,
                        p.detour_s,
                        p.simplify_s,
                        p.seed,
                        tools.cancelled,
                    )
                    tools.check_cancelled()
                    if found is None:
                        raise cause
                    piece = found
                out.append(piece[1:])
                labels.append(np.full(len(piece) - 1, marks[b]))
                tools.check_time(cause)
            return np.concatenate(out), np.concatenate(labels)

    def _samples(self, piece: Matrix) -> Matrix:
        n = max(
            2,
            int(
                np.ceil(
                    np.linalg.norm(piece[1] - piece[0]) / self._tools.config.planner.path_step_m
                )
            ),
        )
        return piece[0] + np.linspace(0.0, 1.0, n + 1)[:, None] * (piece[1] - piece[0])

    def _free(self, states: Matrix) -> bool:
        """Tell whether all states (K, 4) can be reached in the branch without collision."""
        poses = moved_poses(states[:, :3], states[:, 3] / TURN_SCALE, self._centre, self._grasp)
        for pose in poses:
            q = self._tools.ik.in_branch(pose, self._branch, self._start)
            if q is None or self._checker.hit(q):
                return False
        return True
