# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the model is asked, word for word: one set of prompts for training, inference, serving and bench.

They follow the shape of the released evaluation (verb, kind of trace, quoted instruction, answer rule),
condensed because a tiny model pays for every token. Change a text here and every checkpoint trained before
must be trained again.
"""

from __future__ import annotations

from numpy.typing import ArrayLike

from robotracer_ros.geometry.trace import TraceKind
from robotracer_ros.tracer.text import write_points

_KIND = {
    TraceKind.OBJECT_CENTRIC: 'object-centric',
    TraceKind.END_EFFECTOR_CENTRIC: 'end-effector-centric',
}
_RULE = {2: '[(x1, y1), ...]', 3: '[(x1, y1, d1), ...]'}
_POINT = {2: '[(x, y)]', 3: '[(x, y, d)]'}
_REASON = 'Reason step by step. '


def trace_prompt(
    instruction: str,
    *,
    kind: TraceKind = TraceKind.OBJECT_CENTRIC,
    dimensions: int = 3,
    reasoning: bool = True,
) -> str:
    """Ask for a trace.

    Args:
        instruction: What the person said.
        kind: What the trace is the path of.
        dimensions: 3 for (u, v, d), 2 for (u, v).
        reasoning: Ask for the steps before the answer.
    """
    return (
        f'{_REASON if reasoning else ""}Predict the {dimensions}D {_KIND[kind]} visual trace: "{instruction.strip()}" '
        f'Answer {_RULE[dimensions]}'
    )


def lift_prompt(
    instruction: str, points: ArrayLike, *, kind: TraceKind = TraceKind.OBJECT_CENTRIC
) -> str:
    """Ask to lift a 2D trace, points (N, 2) in 0..1000, to 3D."""
    trace = f'Lift the 2D {_KIND[kind]} visual trace {write_points(points)}'
    return f'{trace} of "{instruction.strip()}" to 3D. Answer {_RULE[3]}'


def refer_prompt(target: str, dimensions: int = 3) -> str:
    """Ask where something is, e.g. ``the leftmost mug`` or ``a free place behind the bowl``."""
    return f'Point to {target.strip()}. Answer {_POINT[dimensions]}'


def measure_prompt(quantity: str) -> str:
    """Ask for a length, e.g. ``the height of the red mug``."""
    return f'Measure {quantity.strip()}.'
