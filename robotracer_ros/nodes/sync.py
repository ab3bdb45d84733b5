# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Match messages of several topics by stamp and keep the newest complete set only."""

from __future__ import annotations

import bisect
import threading
import time
from dataclasses import dataclass
from typing import Any

#: a step back in time that no reordering on the way explains
_RESET_NS = 2_000_000_000


@dataclass(frozen=True)
class Stamped:
    """One message and its stamp."""

    stamp_ns: int
    message: Any


class NewestMatch:
    """Finds, for the newest possible leader, the nearest message of every follower.

    Callbacks only call :meth:`add`; a worker asks for :meth:`newest` or waits. No callback is
    ever called with a lock held, and nothing but the newest set is kept for later.

    Args:
        leader: Name of the leading input (the colour image).
        followers: Names of the others.
        slop_s: Largest difference of stamps within a set.
        depth: Unmatched messages kept per input.
        latched: Followers of which the last message counts whatever its stamp.
    """

    def __init__(self, leader: str, followers: tuple[str, ...], slop_s: float, depth: int = 8,
                 latched: tuple[str, ...] = ()) -> None:
        self._leader = leader
        self._names = (leader, *followers)
        self._slop_ns = round(slop_s * 1e9)
        self._depth = depth
        self._latched = latched
        self._waiting: dict[str, list[Stamped]] = {name: [] for name in self._names}
        self._last: dict[str, Stamped] = {}
        self._set: dict[str, Stamped] | None = None
        self._changed = threading.Condition()
        self.matched = 0
        self.unmatched = dict.fromkeys(self._names, 0)

    @property
    def slop_s(self) -> float:
        """Largest difference of stamps within a set."""
        return self._slop_ns * 1e-9

    def add(self, name: str, stamp_ns: int, message: Any) -> None:
        """Add a message; one whose stamp lies before the matched set is of no use any more.

        A stamp that lies more than two seconds before the last one means that time was set back:
        everything older is forgotten.
        """
        item = Stamped(stamp_ns, message)
        with self._changed:
            last = self._last.get(name)
            if last is not None and stamp_ns < last.stamp_ns - _RESET_NS:
                self._forget()
            self._last[name] = item
            if name == self._leader and self._set is not None and \
                    stamp_ns <= self._set[name].stamp_ns:
                self.unmatched[name] += 1
                return
            if name in self._latched:
                self._waiting[name] = [item]
            else:
                queue = self._waiting[name]
                queue.insert(bisect.bisect_right([s.stamp_ns for s in queue], stamp_ns), item)
                if len(queue) > self._depth:
                    del queue[0]
                    self.unmatched[name] += 1
            if self._match():
                self._changed.notify_all()

    def newest(self) -> dict[str, Stamped] | None:
        """Return the newest complete set, by name, or None before the first."""
        with self._changed:
            return dict(self._set) if self._set is not None else None

    def last(self, name: str) -> Stamped | None:
        """Return the last message of one input, matched or not."""
        with self._changed:
            return self._last.get(name)

    def nearest_gap_s(self, name: str, stamp_ns: int) -> float:
        """Return the distance in seconds from a stamp to the nearest kept message of an input."""
        with self._changed:
            stamps = [s.stamp_ns for s in self._waiting[name]]
            if (last := self._last.get(name)) is not None:
                stamps.append(last.stamp_ns)
            if self._set is not None:
                stamps.append(self._set[name].stamp_ns)
        return min((abs(stamp_ns - s) for s in stamps), default=2**62) * 1e-9

    def wait_from(self, stamp_ns: int, timeout_s: float) -> dict[str, Stamped] | None:
        """Wait for a set whose leader is not older than a stamp; None when none came in time."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while self._set is None or self._set[self._leader].stamp_ns < stamp_ns:
                left = deadline - time.monotonic()
                if left <= 0.0 or not self._changed.wait(left):
                    return None
            return dict(self._set)

    def clear(self) -> None:
        """Forget everything but the counts."""
        with self._changed:
            self._forget()

    def _forget(self) -> None:
        for queue in self._waiting.values():
            queue.clear()
        self._last.clear()
        self._set = None

    def _match(self) -> bool:
        for leader in reversed(self._waiting[self._leader]):
            found = {self._leader: leader}
            for name in self._names[1:]:
                queue = self._waiting[name]
                if not queue:
                    return False
                best = min(queue, key=lambda s: abs(s.stamp_ns - leader.stamp_ns))
                if name not in self._latched and \
                        abs(best.stamp_ns - leader.stamp_ns) > self._slop_ns:
                    break
                found[name] = best
            else:
                self._set = found
                self.matched += 1
                for name, item in found.items():
                    if name not in self._latched:
                        self._drop_through(name, item)
                return True
        return False

    def _drop_through(self, name: str, item: Stamped) -> None:
        queue = self._waiting[name]
        at = queue.index(item)
        self.unmatched[name] += at
        del queue[:at + 1]
