# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A run that forgets is stopped; one that learns or is asked harder questions is not."""

from __future__ import annotations

import pytest

from robotracer_ros.training.divergence import DivergenceWatch


def fed(watch: DivergenceWatch, norms: list[float], losses: list[float]) -> list[str]:
    return [watch.diverges({'norm': n, 'lm': x}) for n, x in zip(norms, losses, strict=True)]


def rising(low: float, high: float, steps: int) -> list[float]:
    return [low + (high - low) * i / (steps - 1) for i in range(steps)]


def test_both_rising_together_is_divergence() -> None:
    watch = DivergenceWatch()
    assert not any(fed(watch, [12.0] * 300, [1.2] * 300))
    found = fed(watch, rising(12, 100, 400), rising(1.2, 2.7, 400))
    first = next(i for i, text in enumerate(found) if text)
    assert 100 < first < 250
    assert 'from 1.20 to' in found[first] and 'from 12.0 to' in found[first]
    assert all(found[first:])


@pytest.mark.parametrize(
    ('norms', 'losses'),
    [
        (rising(12, 100, 400), [1.2] * 400),  # it leaves chance
        ([12.0] * 400, rising(1.2, 2.7, 400)),  # harder questions
        (rising(12, 30, 400), rising(1.2, 1.7, 400)),
    ],
)
def test_one_alone_or_a_little_is_none(norms: list[float], losses: list[float]) -> None:
    watch = DivergenceWatch()
    assert not any(fed(watch, [12.0] * 300 + norms, [1.2] * 300 + losses))


def test_other_questions_have_other_limits() -> None:
    watch = DivergenceWatch()
    fed(watch, [1.0] * 300, [0.1] * 300)
    watch.restart()
    assert not any(fed(watch, [12.0] * 300, [2.0] * 300))


def test_before_any_text_nothing_is_judged() -> None:
    watch = DivergenceWatch()
    assert not any(watch.diverges({'norm': float(i), 'dense': 1.0}) for i in range(1, 400))
