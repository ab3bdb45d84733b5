# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How a trace is asked for and written, whatever it was made from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.geometry.trace import TraceKind
from robotracer_ros.tracer.prompts import lift_prompt, trace_prompt

Array = NDArray[np.float64]


def rounded(uvd: Array) -> Array:
    """Return points (..., 3) as answers hold them: whole u and v, d in whole millimetres."""
    return np.concatenate([np.round(uvd[..., :2]), np.round(uvd[..., 2:], 3)], axis=-1)


def trace_question(
    instruction: str, trace: Array, task_type: str, kind: TraceKind
) -> tuple[str, Array]:
    """Return the prompt that asks for a trace, and the points (N, 2 or 3) that answer it.

    Args:
        instruction: What is to be done.
        trace: (N, 3) u, v, d as answers hold them.
        task_type: ``trace_3d``, ``trace_3d_think``, ``trace_2d`` or ``lift``.
        kind: Of the object or of the gripper.
    """
    if task_type == 'lift':
        return lift_prompt(instruction, trace[:, :2], kind=kind), trace
    points = trace[:, :2] if task_type == 'trace_2d' else trace
    think = task_type == 'trace_3d_think'
    prompt = trace_prompt(instruction, kind=kind, dimensions=points.shape[1], reasoning=think)
    return prompt, points
