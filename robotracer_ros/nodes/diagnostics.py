# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Diagnostics: rates, ages, drops, latency percentiles, the last error with its number."""

from __future__ import annotations

import enum
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from robotracer_ros.errors import RobotracerError

if TYPE_CHECKING:
    from rclpy.node import Node


class Level(enum.IntEnum):
    """Levels of ``diagnostic_msgs/DiagnosticStatus``."""

    OK = 0
    WARN = 1
    ERROR = 2
    STALE = 3


@dataclass
class Status:
    """One entry of a report.

    Attributes:
        level: How bad.
        message: One line for people.
        values: Figures by name; floats are written with 6 digits.
    """

    level: Level = Level.OK
    message: str = 'ok'
    values: dict[str, Any] = field(default_factory=dict)

    def raise_to(self, level: Level, message: str) -> None:
        """Make it at least that bad; messages of equal badness are joined."""
        if level > self.level:
            self.level, self.message = level, message
        elif level == self.level and level > Level.OK:
            self.message = f'{self.message}; {message}'


def percentile(ordered: list[float], share: float) -> float:
    """Return the value at ``share`` (0..1) of a sorted list, nearest rank; NaN when empty."""
    if not ordered:
        return math.nan
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]


class Window:
    """The newest values of one quantity. Thread-safe."""

    def __init__(self, size: int = 256) -> None:
        self._values: deque[float] = deque(maxlen=size)
        self._lock = threading.Lock()
        self.count = 0

    def add(self, value: float) -> None:
        """Add a value."""
        with self._lock:
            self._values.append(value)
            self.count += 1

    def figures(self, name: str, scale: float = 1.0) -> dict[str, float]:
        """Return last, median, 95th and 99th percentile and maximum, times ``scale``."""
        with self._lock:
            last = self._values[-1] if self._values else math.nan
            ordered = sorted(self._values)
        figures = {'last': last, 'p50': percentile(ordered, 0.5), 'p95': percentile(ordered, 0.95),
                   'p99': percentile(ordered, 0.99), 'max': ordered[-1] if ordered else math.nan}
        return {f'{name}_{key}': value * scale for key, value in figures.items()}


class Meter:
    """Count and rate of events over the last seconds. Thread-safe.

    Args:
        window_s: Seconds that the rate is taken over.
        clock: Monotonic seconds; a test passes its own.
    """

    def __init__(self, window_s: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._window_s = window_s
        self._clock = clock
        self._times: deque[float] = deque()
        self._lock = threading.Lock()
        self._start = clock()
        self.count = 0

    def tick(self) -> None:
        """Count one event now."""
        now = self._clock()
        with self._lock:
            self.count += 1
            self._times.append(now)
            self._trim(now)

    def _trim(self, now: float) -> None:
        while self._times and self._times[0] < now - self._window_s:
            self._times.popleft()

    @property
    def rate_hz(self) -> float:
        """Events per second over the window, or over the time since the start if shorter."""
        now = self._clock()
        with self._lock:
            self._trim(now)
            return len(self._times) / max(1e-3, min(self._window_s, now - self._start))

    @property
    def since_s(self) -> float:
        """Seconds since the last event; infinite before the first."""
        with self._lock:
            return self._clock() - self._times[-1] if self._times else math.inf


class ErrorLog:
    """The last error and how often each code came. Thread-safe.

    An error counts as present until :meth:`clear` is called after the same kind of work succeeded.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._present = False
        self.last: RobotracerError | None = None
        self.counts: dict[int, int] = {}

    def record(self, error: RobotracerError) -> None:
        """Keep an error as the last one."""
        with self._lock:
            self.last, self._present = error, True
            self.counts[error.code] = self.counts.get(error.code, 0) + 1

    def clear(self) -> None:
        """Say that things work again; the last error stays readable."""
        with self._lock:
            self._present = False

    def report(self, status: Status) -> None:
        """Write the last error into a status, which becomes ERROR while it is present."""
        with self._lock:
            last, present, counts = self.last, self._present, dict(self.counts)
        status.values['error_code'] = last.code if last and present else 0
        status.values['last_error_code'] = last.code if last else 0
        status.values['last_error_name'] = last.name if last else 'NONE'
        status.values['last_error'] = str(last) if last else ''
        for code, count in sorted(counts.items()):
            status.values[f'errors_{code}'] = count
        if last and present:
            status.raise_to(Level.ERROR, f'{last.name} ({last.code}): {last}')


def as_error(error: BaseException) -> RobotracerError:
    """Return a RobotracerError as it is, anything else as INTERNAL naming its type."""
    if isinstance(error, RobotracerError):
        return error
    return RobotracerError(f'{type(error).__name__}: {error}')


def _text(value: Any) -> str:
    return f'{value:.6g}' if isinstance(value, float) else str(value)


class DiagnosticsPublisher:
    """Publish ``/diagnostics`` at a steady rate and on demand.

    Args:
        node: The node; its name begins every status name.
        sources: Callables that each return (name, status); one that raises is reported as ERROR.
        period_s: Seconds between reports (steady time, so it runs without a clock topic).
        callback_group: Group of the timer; None is the node's own.
    """

    def __init__(self, node: Node, sources: Iterable[Callable[[], tuple[str, Status]]] = (),
                 period_s: float = 1.0, callback_group: Any = None) -> None:
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.clock import Clock, ClockType
        self._node = node
        self._sources = list(sources)
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(period_s, self.publish, clock=self._clock,
                                        callback_group=callback_group)

    def add(self, source: Callable[[], tuple[str, Status]]) -> None:
        """Add a source."""
        self._sources.append(source)

    def publish(self) -> None:
        """Publish a report now."""
        from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
        msg = DiagnosticArray()
        msg.header.stamp = self._node.get_clock().now().to_msg()
        statuses = []
        for source in self._sources:
            try:
                name, status = source()
            except Exception as e:  # a broken figure must not silence all the others
                name, status = getattr(source, '__name__', 'source'), Status(
                    Level.ERROR, f'diagnostics failed: {type(e).__name__}: {e}')
            statuses.append(DiagnosticStatus(
                level=bytes([status.level]), name=f'{self._node.get_name()}: {name}',
                message=status.message, hardware_id=self._node.get_fully_qualified_name(),
                values=[KeyValue(key=k, value=_text(v)) for k, v in status.values.items()]))
        msg.status = statuses
        self._publisher.publish(msg)

    def destroy(self) -> None:
        """Stop reporting."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._publisher)
