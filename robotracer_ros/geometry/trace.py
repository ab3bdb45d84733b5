# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The trace: what a tracer answers and a planner follows. Mirrors ``robotracer_msgs/msg/Trace.msg``."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.errors import InvalidTraceError
from robotracer_ros.geometry.camera import UV_RANGE, CameraModel

#: No keypoint of a table-top or room scene lies further away; a larger depth is a model error, not a place.
MAX_DEPTH_M = 20.0
MAX_POINTS = 64


class TraceKind(enum.IntEnum):
    """What the trace is the path of."""

    OBJECT_CENTRIC = 1
    END_EFFECTOR_CENTRIC = 2


@dataclass(frozen=True)
class Scale:
    """Reasoning step ``[Scale] [Scene]: 1.912``: the metric scale factor, no unit."""

    value: float
    target: str = 'Scene'


@dataclass(frozen=True)
class Referring:
    """Reasoning step ``[Referring] [the red mug]: [(212, 640, 0.874)]``: where something is."""

    target: str
    point: tuple[float, float, float]


@dataclass(frozen=True)
class Measuring:
    """Reasoning step ``[Measuring] [the height of the red mug]: 9.500 centimeters``."""

    target: str
    metres: float
    text: str = ''


ReasoningStep = Scale | Referring | Measuring


@dataclass(frozen=True)
class Trace:
    """An ordered metric path predicted from one image and one instruction.

    Attributes:
        points: (N, 3) with u, v in 0..1000 and d in metres along the optical axis, in the order of travel.
        camera: Intrinsics of the image behind u and v; lifts the points.
        kind: What the trace is the path of.
        instruction: What the person said.
        reasoning: The model's steps, in the order written.
        metric_scale: Scale factor decoded by the model, NaN when it gives none.
        frame_id: Optical frame of the image.
        stamp_ns: Time of the image in nanoseconds.
        model: Backend and checkpoint, e.g. ``local:robotracer-tiny``.
        inference_time_s: Seconds from request to answer.
        raw_text: The model's whole answer.
    """

    points: NDArray[np.float64]
    camera: CameraModel
    kind: TraceKind = TraceKind.OBJECT_CENTRIC
    instruction: str = ''
    reasoning: tuple[ReasoningStep, ...] = field(default=())
    metric_scale: float = float('nan')
    frame_id: str = ''
    stamp_ns: int = 0
    model: str = ''
    inference_time_s: float = 0.0
    raw_text: str = ''

    def __post_init__(self) -> None:
        points = np.array(self.points, dtype=float)
        if points.ndim != 2 or points.shape[1] != 3 or not 2 <= len(points) <= MAX_POINTS:
            raise InvalidTraceError(
                f'trace points have shape {points.shape}: must be (N, 3) with N in 2..{MAX_POINTS}'
            )
        for i, (u, v, d) in enumerate(points):
            if not np.isfinite((u, v, d)).all():
                raise InvalidTraceError(
                    f'trace point {i} is not finite: ({u}, {v}, {d})', waypoint=i
                )
            if not (0 <= u <= UV_RANGE and 0 <= v <= UV_RANGE):
                raise InvalidTraceError(
                    f'trace point {i} has (u, v) = ({u:g}, {v:g}): must be in 0..1000', waypoint=i
                )
            if not 0 < d <= MAX_DEPTH_M:
                raise InvalidTraceError(
                    f'trace point {i} has depth {d:g} m: must be in (0, {MAX_DEPTH_M:g}]',
                    waypoint=i,
                )
        points.flags.writeable = False
        object.__setattr__(self, 'points', points)

    @property
    def xyz(self) -> NDArray[np.float64]:
        """Points (N, 3) lifted to metres in the optical frame."""
        return self.camera.lift(self.points)
