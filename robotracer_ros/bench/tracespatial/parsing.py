# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From a model's words to points: as the official code reads them, and as this suite does.

Two families write differently: ``robotracer`` models tuples, ``general`` ones (Gemini, Qwen) JSON in a code block.
Coordinates come out as shares of the picture's width and height.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from robotracer_ros.data.files import Array
from robotracer_ros.errors import InvalidParameterError, TraceParseError
from robotracer_ros.tracer.openai_dialect import points_text
from robotracer_ros.tracer.text import MAX_TEXT_CHARS, parse_answer

Family = Literal['robotracer', 'general']
FAMILIES: tuple[Family, ...] = ('robotracer', 'general')
#: what the official code looks for in a model's name
_NAMES: tuple[tuple[str, Family], ...] = (
    ('RoboTracer', 'robotracer'),
    ('Qwen', 'general'),
    ('Gemini', 'general'),
)
_NUMBER = r'[-+]?\d{1,40}(?:\.\d{0,40})?'
#: what the official pattern accepts (nothing may stand between a number and a comma or the closing bracket after it),
#: with bounds, because theirs takes cubic time on long runs of digits
_GROUP = re.compile(rf'\(({_NUMBER}(?:,\s{{0,40}}{_NUMBER}){{0,64}})\)')
_FENCE = re.compile(r'```(?:\w+)?\n(.*?)```', re.DOTALL)


class OfficialError(Exception):
    """The official code ends with an exception here."""


def family_of(name: str, texts: Sequence[str]) -> Family:
    """Return the family by a model's name, else by what most answers look like.

    Raises:
        InvalidParameterError: neither tells.
    """
    for word, family in _NAMES:
        if word.lower() in name.lower():
            return family
    tuples = sum(len(_official_tuples(t)) > 0 for t in texts)
    fences = sum(_FENCE.search(t[:MAX_TEXT_CHARS]) is not None for t in texts)
    if tuples == fences:
        raise InvalidParameterError(
            f"'{name}': neither its name nor its answers ({tuples} with tuples, {fences} with code blocks) tell how it "
            f'writes: name its family, one of {", ".join(FAMILIES)}'
        )
    return 'robotracer' if tuples > fences else 'general'


def official_points(text: str, family: Family) -> Array:
    """Return the points as the official code does.

    Returns:
        (N, 2) or (N, 3); missing depths among others are NaN. Without points the shape says what the official code
        goes on with: (0, 2) for tuples, (0, 3) for no code block or no JSON in it, (0,) for JSON without points.

    Raises:
        OfficialError: JSON mixes points of two and three numbers, or the block cannot be read for other reasons.
    """
    text = text[:MAX_TEXT_CHARS]
    return _official_tuples(text) if family == 'robotracer' else _official_json(text)


def points_of(text: str, family: Family) -> Array:
    """Return the points (N, 2) or (N, 3) as this suite reads them, N >= 1.

    Raises:
        TraceParseError: there are none, too many, 2D mixed with 3D, or a depth that is not above 0.
    """
    points = parse_answer(text if family == 'robotracer' else points_text(text)).points
    if not len(points):
        raise TraceParseError(f"the answer holds no points; it reads '{text[:120]}'")
    if points.shape[1] == 3 and not (points[:, 2] > 0).all():
        raise TraceParseError(f'depth {points[:, 2].min():g} m of the answer: must be > 0')
    return points / ([1000.0, 1000.0, 1.0] if points.shape[1] == 3 else [1000.0, 1000.0])


def _official_tuples(text: str) -> Array:
    rows: list[list[float]] = []
    for match in _GROUP.finditer(text):
        row = [float(part) for part in match[1].split(',')][:3]
        if len(row) >= 2:
            rows.append([round(row[0] / 1000, 6), round(row[1] / 1000, 6), *row[2:]])
    if not rows:
        return np.zeros((0, 2))
    width = max(len(row) for row in rows)
    points = np.full((len(rows), width), np.nan)
    for i, row in enumerate(rows):
        points[i, : len(row)] = row
    return points


def _official_json(text: str) -> Array:
    block = _FENCE.search(text)
    if block is None:
        return np.zeros((0, 3))
    try:
        data = json.loads(block[1].strip())
    except json.JSONDecodeError:
        return np.zeros((0, 3))
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, brackets of thousands of levels
        raise OfficialError(str(error)) from error
    rows: list[list[float]] = []
    try:
        _collect(data, rows)
        written = [[round(r[0] / 1000, 6), round(r[1] / 1000, 6), *r[2:]] for r in rows]
        return np.array(written, dtype=float)
    except (ValueError, OverflowError, RecursionError) as error:
        raise OfficialError(f'points of two and of three numbers, or none: {error}') from error


def _collect(value: Any, rows: list[list[float]]) -> None:
    """Gather every list of two or three numbers (true and false are numbers in Python), depth first."""
    if isinstance(value, list):
        if len(value) in (2, 3) and all(isinstance(v, (int, float)) for v in value):
            rows.append(value)
            return
        for item in value:
            _collect(item, rows)
    elif isinstance(value, dict):
        for item in value.values():
            _collect(item, rows)
