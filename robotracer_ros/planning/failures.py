# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What went wrong in the attempts of one search, and which of it to tell a person."""

from __future__ import annotations

from robotracer_ros.errors import PlanningError
from robotracer_ros.planning.base import Phase

#: how far an attempt got by the phase that failed: the place is tried before the way there, and the
#: way to the object last
_PROGRESS = {Phase.GRASP: 0.0, Phase.PLACE: 1.0, Phase.CARRY: 2.0, Phase.REACH: 3.0}
#: attempts that turn the object say less than any without a turn, but for those that never had it
_TURNED = 0.5


class Failures:
    """Collects failures of attempts."""

    def __init__(self) -> None:
        self._found: list[tuple[float, PlanningError]] = []

    def add(self, phase: Phase, error: PlanningError, turned: bool = False) -> None:
        """Remember a failure.

        Args:
            phase: GRASP, PLACE, CARRY or REACH: how far the attempt got.
            error: Why it got no further.
            turned: The object was to be turned on the way, which nobody asked for.
        """
        self._found.append((_TURNED if turned else _PROGRESS[phase], error))

    @property
    def furthest(self) -> PlanningError | None:
        """The failure of the attempt that got furthest, the first of them."""
        return max(self._found, key=lambda f: f[0])[1] if self._found else None
