# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Scores of single answers, and rates of many with their intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Rate:
    """Successes of trials with a 95 % Wilson interval."""

    hits: float = 0.0
    n: int = 0

    def add(self, hit: float) -> None:
        """Count a trial."""
        self.hits += float(hit)
        self.n += 1

    @property
    def value(self) -> float:
        """Share of hits."""
        return self.hits / self.n if self.n else float('nan')

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson interval, 95 %."""
        if not self.n:
            return (0.0, 1.0)
        z, p, n = 1.96, self.value, self.n
        middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        low, high = (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)
        return max(0.0, low), min(1.0, high)

    def __str__(self) -> str:
        low, high = self.interval
        return f'{100 * self.value:.1f} % [{100 * low:.1f}, {100 * high:.1f}] (n={self.n})'


@dataclass
class Outcome:
    """Score of one answer.

    Attributes:
        hits: 0 or 1 by name (shares for comparisons with many objects); what does not apply is not there.
        errors: Sizes by name, only of answers that could be read.
        note: Why it is wrong, empty when it is right.
    """

    hits: dict[str, float] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    note: str = ''


@dataclass
class Scores:
    """Rates by name, and lists of errors by name (the median is reported)."""

    rates: dict[str, Rate] = field(default_factory=dict)
    errors: dict[str, list[float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, outcome: Outcome, prefix: str = '') -> None:
        """Count an answer."""
        for name, value in outcome.hits.items():
            self.rates.setdefault(prefix + name, Rate()).add(value)
        for name, value in outcome.errors.items():
            self.errors.setdefault(prefix + name, []).append(value)

    def summary(self) -> dict[str, str]:
        """Return readable figures."""
        lines = {k: str(v) for k, v in sorted(self.rates.items())}
        return lines | {
            f'median {k}': f'{np.median(v):.4f} (n={len(v)})'
            for k, v in sorted(self.errors.items())
        }
