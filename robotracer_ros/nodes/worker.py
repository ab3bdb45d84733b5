# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""One thread for slow work: the newest request wins, deadlines hold, everything can be cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from robotracer_ros.errors import (
    PreemptedError,
    RobotracerError,
    TracerCancelledError,
    TracerTimeoutError,
)
from robotracer_ros.nodes.diagnostics import as_error
from robotracer_ros.tracer.base import Budget

T = TypeVar('T')

#: A backend checks its deadline itself, between tokens; this much later it is overruled.
GRACE_S = 0.25


class Job(Generic[T]):
    """One request: settled once, with a value or an error, by whoever comes first.

    Args:
        work: Called in the worker's thread with the job's budget.
        timeout_s: Deadline from now, seconds.
        on_settled: Called once, in any thread, right after the job was settled.
        after: Called in the worker's thread when the work returned a value that counted; for
            what may wait, such as drawing. It must not raise.
    """

    def __init__(self, work: Callable[[Budget], T], timeout_s: float,
                 on_settled: Callable[[Job[T]], None] | None = None,
                 after: Callable[[T], None] | None = None) -> None:
        self.work = work
        self.after = after
        self.timeout_s = timeout_s
        self.budget = Budget(timeout_s)
        self.value: T | None = None
        self.error: RobotracerError | None = None
        self._on_settled = on_settled
        self._watchdog: threading.Timer | None = None
        self._lock = threading.Lock()
        self._settled = threading.Event()

    @property
    def settled(self) -> bool:
        """Whether there is a value or an error."""
        return self._settled.is_set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until settled; return whether it is."""
        return self._settled.wait(timeout_s)

    def settle(self, value: T | None, error: RobotracerError | None) -> bool:
        """Settle the job; return whether this call was the first."""
        with self._lock:
            if self._settled.is_set():
                return False
            self.value, self.error = value, error
            self._settled.set()
            if self._watchdog is not None:
                self._watchdog.cancel()
        if self._on_settled is not None:
            self._on_settled(self)
        return True

    def watch(self) -> None:
        """Fail the job when its deadline has passed and the backend has not noticed."""
        error = TracerTimeoutError(f'no answer within {self.timeout_s:.3f} s (the backend did not '
                                   'stop by itself)', timeout_s=self.timeout_s)
        watchdog = threading.Timer(self.timeout_s + GRACE_S, self.fail, (error,))
        watchdog.daemon = True
        with self._lock:
            if not self._settled.is_set():
                self._watchdog = watchdog
                watchdog.start()

    def fail(self, error: RobotracerError) -> bool:
        """Settle with an error and stop the work at its next check."""
        self.budget.cancel()
        return self.settle(None, error)


class NewestWorker:
    """Runs one job at a time; a new one replaces the waiting one and stops the running one.

    The replaced caller is answered with PreemptedError at once. A backend that overruns its
    deadline is answered for with TracerTimeoutError, even while it still holds the thread.

    Args:
        name: Name of the thread.
    """

    def __init__(self, name: str = 'worker') -> None:
        self._wake = threading.Condition()
        self._waiting: Job[object] | None = None
        self._running: Job[object] | None = None
        self._in_backend = False
        self._closed = False
        self.preempted = 0
        self.discarded = 0
        """Answers that came after their job was settled otherwise."""
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether the backend is at work or about to be.

        A cancelled job counts until the backend returns; drawing after an answer does not count.
        """
        with self._wake:
            return self._in_backend or self._waiting is not None

    def submit(self, job: Job[T]) -> None:
        """Run a job as soon as the running one has stopped."""
        with self._wake:
            closed = self._closed
            replaced = [j for j in (self._waiting, self._running) if j is not None]
            if not closed:
                self._waiting = job  # type: ignore[assignment]
                self._wake.notify()
        if closed:
            job.fail(TracerCancelledError('the worker is shut down'))
            return
        for old in replaced:
            if old.fail(PreemptedError('replaced by a newer request')):
                self.preempted += 1
        job.watch()

    def cancel(self, error: RobotracerError) -> int:
        """Fail the waiting and the running job with ``error``; return how many there were."""
        with self._wake:
            jobs = [j for j in (self._waiting, self._running) if j is not None]
            self._waiting = None
        return sum(j.fail(error) for j in jobs)

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing runs; return whether that was reached."""
        with self._wake:
            return self._wake.wait_for(
                lambda: not self._in_backend and self._waiting is None, timeout_s)

    def close(self, timeout_s: float = 5.0) -> bool:
        """Cancel everything and end the thread; return whether it ended in time."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self.cancel(TracerCancelledError('the node shuts down'))
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _loop(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._waiting is not None or self._closed)
                if self._closed and self._waiting is None:
                    return
                job, self._waiting = self._waiting, None
                self._running = job
                self._in_backend = True
            assert job is not None
            value, error = self._work(job)
            with self._wake:
                # Before the caller hears: who has the answer finds the worker idle.
                self._in_backend = False
                self._wake.notify_all()
            counted = job.settle(value, error)
            if not counted and error is None:
                self.discarded += 1
            elif counted and error is None and job.after is not None:
                job.after(value)
            with self._wake:
                self._running = None

    @staticmethod
    def _work(job: Job[T]) -> tuple[T | None, RobotracerError | None]:
        try:
            job.budget.check()
            return job.work(job.budget), None
        except Exception as e:  # the boundary: whatever a backend raises becomes a typed error
            return None, as_error(e)
