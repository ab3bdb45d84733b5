# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Notices that a run has begun to forget, before its checkpoints are worth nothing."""

from __future__ import annotations

from collections.abc import Mapping

#: the running means have settled after this many steps
_SETTLED = 200
#: so much above their lowest are a gradient's norm and a text loss that do not come back
_NORM, _TEXT = 3.0, 1.5


class DivergenceWatch:
    """Compares running means of the gradient norm and of the text loss with the lowest ones so far.

    One alone may rise for good reasons: a model that leaves chance has larger gradients, harder questions a
    larger loss. At a constant rate both can also rise together and for good, slowly enough that every single
    step looks harmless: a run here went from a text loss of 1.2 to 2.7 within 400 steps, and each save
    replaced a better one.
    """

    def __init__(self) -> None:
        self._steps = 0
        self._lowest: dict[str, float] = {}

    def restart(self) -> None:
        """Forget what was lowest: other questions are asked from now on."""
        self._steps, self._lowest = 0, {}

    def diverges(self, figures: Mapping[str, float]) -> str:
        """Take the running means of a step; return what is wrong, or an empty text."""
        self._steps += 1
        if self._steps < _SETTLED or 'lm' not in figures:
            return ''
        found = {name: figures[name] for name in ('norm', 'lm')}
        for name, value in found.items():
            self._lowest[name] = min(self._lowest.get(name, value), value)
        low = self._lowest
        if found['norm'] > _NORM * low['norm'] and found['lm'] > _TEXT * low['lm']:
            return (
                f'the running mean of the text loss rose from {low["lm"]:.2f} to {found["lm"]:.2f} (limit: '
                f'{_TEXT} times) and that of the gradient norm from {low["norm"]:.1f} to {found["norm"]:.1f} '
                f'(limit: {_NORM} times)'
            )
        return ''
