# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Where the coordinate tuples of an answer stand, paired with what they mean."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.data.record import Mention

_TUPLE = re.compile(r'\(\d+, \d+(?:, \d+\.\d+)?\)')

#: owner (object id or None), world point (3,), and (u, v, d) as written
Meaning = tuple[str | None, NDArray[np.float64], tuple[float, float, float]]


def mentions_of(answer: str, meant: Sequence[Meaning]) -> tuple[Mention, ...]:
    """Pair every tuple of an answer with its meaning, in order."""
    found = list(_TUPLE.finditer(answer))
    if len(found) != len(meant):
        raise AssertionError(
            f'{len(found)} coordinate tuples stand for {len(meant)} points in {answer!r}'
        )
    return tuple(
        Mention(m.start(), m.end(), owner, world, uvd)
        for m, (owner, world, uvd) in zip(found, meant, strict=True)
    )
