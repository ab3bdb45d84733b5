# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The place for one goal at a time: who is in it, who may enter, who has to leave."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from robotracer_ros.errors import (
    BusyError,
    NotActiveError,
    PreemptedError,
    RefusedWhileMovingError,
    RobotracerError,
)
from robotracer_ros.nodes.execution import GoalRun

#: longest wait for a stopped goal to end: brake, settle, and a planner that cannot be interrupted
STOP_S = 15.0


class GoalSlot:
    """Holds the running goal. Goals of all actions and of the topic pass through it.

    Args:
        preempt: Asked when a goal meets another: whether the newer one replaces the older.
    """

    def __init__(self, preempt: Callable[[], bool]) -> None:
        self._preempt = preempt
        self._changed = threading.Condition()
        self._current: GoalRun | None = None
        self._open = False
        self._changing = False

    @property
    def current(self) -> GoalRun | None:
        """The running goal."""
        return self._current

    @property
    def is_open(self) -> bool:
        """Whether goals are taken."""
        return self._open

    def open(self) -> None:
        """Take goals from now on."""
        self._open = True

    def close(self, error: RobotracerError) -> bool:
        """Take no more goals and stop the running one; return whether it ended in time."""
        self._open = False
        with self._changed:
            run = self._current
        if run is None:
            return True
        run.stop(error)
        return run.done.wait(STOP_S)

    def enter(self, run: GoalRun) -> None:
        """Make a goal the current one; waits for the one that it replaces.

        Raises:
            NotActiveError: no goals are taken.
            BusyError: another goal runs and must not be replaced; names its phase.
            RobotracerError: what stopped the goal while it waited.
        """
        with self._changed:
            while True:
                if not self._open:
                    raise NotActiveError('the planner node is not active: configure and activate '
                                         'it first')
                run.check()
                if self._current is None and not self._changing:
                    self._current = run
                    return
                if self._current is not None:
                    if not self._preempt():
                        raise BusyError('another goal is running, in phase '
                                        f'{self._current.phase.name}; set preempt to replace it')
                    self._current.stop(PreemptedError('a newer goal replaced this one in phase '
                                                      f'{self._current.phase.name}'))
                self._changed.wait(0.05)

    def leave(self, run: GoalRun) -> None:
        """Make room for the next goal."""
        with self._changed:
            if self._current is run:
                self._current = None
            self._changed.notify_all()

    @contextmanager
    def kept_empty(self, what: str) -> Iterator[None]:
        """Let no goal in for a while; goals that come meanwhile wait.

        Args:
            what: What is to change meanwhile, for the message.

        Raises:
            RefusedWhileMovingError: a goal is running; names its phase.
        """
        with self._changed:
            if self._current is not None or self._changing:
                phase = self._current.phase.name if self._current is not None else 'PLANNING'
                raise RefusedWhileMovingError(
                    f'{what} cannot change while a goal is running (phase {phase}): cancel it or '
                    'wait for its end')
            self._changing = True
        try:
            yield
        finally:
            with self._changed:
                self._changing = False
                self._changed.notify_all()
