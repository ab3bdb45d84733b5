# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Points in a model's words, in the unit in which its family writes, as pixels.

============  ==================================================================================
thousand      tuples or JSON ``[x, y]`` in 0..1000 (RoboTracer, Qwen3-VL, this suite); a depth is left out
fraction      tuples in 0..1; tuples of whole numbers are pixels (RoboRefer, RoboPoint)
pixels        tuples or JSON in pixels (RoboBrain, Qwen2.5-VL)
yx_thousand   JSON objects with ``point`` as [y, x] in 0..1000 (Gemini)
percent       ``x1="12.5" y1="40.0"`` in per cent (Molmo)
============  ==================================================================================

A tuple of four numbers is a box in ``fraction``: RoboPoint's protocol counts every pixel of it.
"""

from __future__ import annotations

import re

import numpy as np

from robotracer_ros.data.files import Array
from robotracer_ros.errors import InvalidParameterError, TraceParseError
from robotracer_ros.tracer.openai_dialect import points_text
from robotracer_ros.tracer.text import MAX_TEXT_CHARS, parse_answer

UNITS = ('thousand', 'fraction', 'pixels', 'yx_thousand', 'percent')
_NUMBER = r'[-+]?\d{1,9}(?:\.\d{0,9})?'
_GROUP = re.compile(rf'[(\[]\s{{0,8}}({_NUMBER}(?:\s{{0,8}},\s{{0,8}}{_NUMBER}){{1,3}})\s{{0,8}}[)\]]')
_MOLMO = re.compile(rf'x\d{{0,3}}="({_NUMBER})"\s{{1,8}}y\d{{0,3}}="({_NUMBER})"')
#: points of one answer at most; the pixels of boxes apart
_MAX_POINTS = 1000


def pixels_of(text: str, unit: str, size: tuple[int, int]) -> Array:
    """Return the points (N, 2) of an answer in pixels, N >= 1, not cut to whole ones.

    Args:
        text: The answer.
        unit: One of ``UNITS``.
        size: Width and height of the picture, pixels.

    Raises:
        InvalidParameterError: no such unit.
        TraceParseError: there are no points, or too many.
    """
    if unit not in UNITS:
        raise InvalidParameterError(f"unit '{unit}': must be one of {', '.join(UNITS)}")
    if len(text) > MAX_TEXT_CHARS:
        raise TraceParseError(f'the answer has {len(text)} characters: at most {MAX_TEXT_CHARS}')
    if unit == 'thousand':
        found = parse_answer(text).points
        if not len(found):
            found = parse_answer(points_text(text)).points
        points = found[:, :2] * size / 1000
    elif unit == 'percent':
        points = np.array([[float(x), float(y)] for x, y in _MOLMO.findall(text)]).reshape(-1, 2)
        points = points * size / 100
    else:
        groups = [m[1] for m in _GROUP.finditer(text)]
        if len(groups) > _MAX_POINTS:
            raise TraceParseError(f'the answer has {len(groups)} points: at most {_MAX_POINTS}')
        rows = [_group(g, unit, size) for g in groups]
        points = np.concatenate([r for r in rows if r is not None] or [np.zeros((0, 2))])
    if not len(points):
        raise TraceParseError(f"the answer holds no points; it reads '{text[:120]}'")
    return np.asarray(points, dtype=float)


def _group(text: str, unit: str, size: tuple[int, int]) -> Array | None:
    parts = [p.strip() for p in text.split(',')]
    values = np.array([float(p) for p in parts])
    if unit == 'fraction' and any('.' in p for p in parts):
        values = values * (np.tile(size, 2)[: len(values)])
    if unit == 'yx_thousand' and len(values) == 2:
        values = values[::-1] * size / 1000
    if unit == 'fraction' and len(values) == 4:
        x0, y0, x1, y1 = (int(v) for v in np.clip(values, 0, [*size, *size]))
        y, x = np.mgrid[y0:y1, x0:x1]
        return np.stack([x.ravel(), y.ravel()], axis=1).astype(float)
    return values[None] if len(values) == 2 else None
