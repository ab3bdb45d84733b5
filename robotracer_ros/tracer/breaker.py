# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A circuit breaker: after several failures in a row, fail at once instead of waiting again."""

from __future__ import annotations

import time
from collections.abc import Callable

from robotracer_ros.errors import TracerBackendError


class CircuitBreaker:
    """Counts failed requests in a row; open, it refuses; after a pause it lets one request try.

    Args:
        who: What is protected, for messages.
        failures: Failed requests in a row that open it; 0 never opens it.
        pause_s: Seconds that it stays open.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        who: str,
        failures: int,
        pause_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._who, self._limit, self._pause_s, self._clock = who, failures, pause_s, clock
        self._count = 0
        self._last = ''
        self._opened_at: float | None = None

    @property
    def on_trial(self) -> bool:
        """Whether the next request is the one that tries after a pause."""
        return self._opened_at is not None

    def check(self) -> None:
        """Return when a request may be made. Raises TracerBackendError while open."""
        opened_at = self._opened_at
        if opened_at is None:
            return
        left = opened_at + self._pause_s - self._clock()
        if left > 0:
            raise TracerBackendError(
                f'{self._who} failed {self._count} times in a row and is left alone for another '
                f'{left:.1f} s; last: {self._last}',
                failures=self._count,
                retry_in_s=left,
            )

    def succeeded(self) -> None:
        """Close it."""
        self._count, self._opened_at = 0, None

    def failed(self, why: str) -> None:
        """Count a failed request; open at the limit, and again after a failed trial."""
        self._count += 1
        self._last = why
        if 0 < self._limit <= self._count:
            self._opened_at = self._clock()
