# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From a model's text to the typed answers of the tracer contract; shared by all backends."""

from __future__ import annotations

import numpy as np

from robotracer_ros.errors import InvalidTraceError, NoIntrinsicsError, TraceParseError
from robotracer_ros.geometry.camera import UV_RANGE
from robotracer_ros.geometry.depth import depth_at
from robotracer_ros.geometry.trace import MAX_DEPTH_M, Scale, Trace, TraceKind
from robotracer_ros.tracer.base import LengthAnswer, Observation, PointAnswer
from robotracer_ros.tracer.text import parse_answer, parse_length


def trace_from_answer(
    text: str,
    observation: Observation,
    instruction: str,
    kind: TraceKind,
    model: str,
    inference_time_s: float,
    metric_scale: float = float('nan'),
) -> Trace:
    """Make a trace of a model's text.

    A 2D answer is lifted with the observation's depth at each point.

    Args:
        text: The whole answer in the format of :mod:`robotracer_ros.tracer.text`.
        observation: What the model saw; gives intrinsics, frame and stamp.
        instruction: What the person said.
        kind: What the trace is the path of.
        model: Backend and checkpoint.
        inference_time_s: Seconds from request to answer.
        metric_scale: The decoded scale; when NaN, the written scale step is taken.

    Raises:
        TraceParseError: the text holds fewer than two points, or points out of range.
        NoIntrinsicsError: the observation has no camera.
        InvalidDepthError: a 2D answer has a point without valid depth.
    """
    if observation.camera is None:
        raise NoIntrinsicsError(
            'a trace needs camera intrinsics to be lifted: none came with the image'
        )
    parsed = parse_answer(text)
    if len(parsed.points) < 2:
        raise TraceParseError(
            f"the answer holds {len(parsed.points)} point(s): a trace has at least 2; it reads '{text[:200]}'",
            raw_text=text,
        )
    if np.isnan(metric_scale):
        metric_scale = next(
            (s.value for s in parsed.reasoning if isinstance(s, Scale)), float('nan')
        )
    points = (
        parsed.points if parsed.points.shape[1] == 3 else _with_depth(parsed.points, observation)
    )
    try:
        return Trace(
            points,
            observation.camera,
            kind,
            instruction,
            parsed.reasoning,
            metric_scale,
            observation.frame_id,
            observation.stamp_ns,
            model,
            inference_time_s,
            text,
        )
    except InvalidTraceError as error:
        raise TraceParseError(str(error), raw_text=text) from error


def point_from_answer(
    text: str, observation: Observation, model: str, inference_time_s: float
) -> PointAnswer:
    """Make the answer to a referring question; a 2D point takes the observation's depth.

    Raises:
        TraceParseError: there is not exactly one point, or it is out of range.
        InvalidDepthError: a 2D answer at a point without valid depth.
    """
    points = parse_answer(text).points
    if len(points) != 1:
        raise TraceParseError(
            f"the answer holds {len(points)} points: exactly 1 is needed; it reads '{text[:200]}'",
            raw_text=text,
        )
    u, v, d = (points if points.shape[1] == 3 else _with_depth(points, observation))[0]
    if not (0 <= u <= UV_RANGE and 0 <= v <= UV_RANGE and 0 < d <= MAX_DEPTH_M):
        raise TraceParseError(
            f'the answered point ({u:g}, {v:g}, {d:g}) is out of range', raw_text=text
        )
    return PointAnswer((float(u), float(v), float(d)), model, inference_time_s, text)


def length_from_answer(text: str, model: str, inference_time_s: float) -> LengthAnswer:
    """Make the answer to a measuring question. Raises TraceParseError when it holds no length."""
    start = text.rfind('<answer>')
    metres, words = parse_length(text[start + len('<answer>') :] if start >= 0 else text)
    return LengthAnswer(metres, words, model, inference_time_s, text)


def _with_depth(points: np.ndarray, observation: Observation) -> np.ndarray:
    if observation.depth is None:
        raise TraceParseError('the answer is 2D and the observation has no depth to lift it with')
    if not ((points >= 0) & (points <= UV_RANGE)).all():
        raise TraceParseError(f'a point of the answer is outside 0..{UV_RANGE:g}')
    height, width = observation.depth.shape
    pixels = points * (width / UV_RANGE, height / UV_RANGE)
    pixels = np.minimum(pixels, (width - 1, height - 1))
    return np.column_stack([points, [depth_at(observation.depth, u, v) for u, v in pixels]])
