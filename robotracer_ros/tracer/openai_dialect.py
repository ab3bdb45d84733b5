# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How a general vision-language model is asked, and how its JSON is read.

The protocol is that of RoboTracer's evaluation of general models: key points of the image in
0..1000 with depth in metres, as JSON. Two things are other than there: the trace begins on the
object that the task itself names (the released prompts name one fixed object for every task), and
that object still lies where the picture shows it (they say that it was picked up already).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.errors import TraceParseError
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.trace import MAX_POINTS, TraceKind
from robotracer_ros.tracer.text import (
    MAX_TEXT_CHARS,
    parse_answer,
    parse_length,
    write_points,
)

KEY_POINTS = 10
GRID = (12, 9)

_MOVED = {
    TraceKind.OBJECT_CENTRIC: 'the object that the task moves. The first point lies on that object, '
    'where the picture shows it; the last one is where it ends',
    TraceKind.END_EFFECTOR_CENTRIC: "the robot's gripper. The first point is where the gripper is "
    'in the picture, or where it enters; the path goes by what the task handles',
}
_PLACE = {
    2: 'x and y run from 0 to 1000 across the picture, from its left and from its top',
    3: 'x and y run from 0 to 1000 across the picture, from its left and from its top; d is the '
    'depth in metres along the viewing direction of the camera, a plain number without a unit',
}
_FORM = {2: '[x, y]', 3: '[x, y, d]'}
_FENCE = re.compile(r'```[A-Za-z]{0,16}[ \t]{0,8}\n')
_LENGTH_KEYS = ('metres', 'meters', 'length_m', 'm')


def trace_question(instruction: str, kind: TraceKind, dimensions: int) -> str:
    """Ask for the key points of a trace."""
    return (
        f'You guide a robot that manipulates things. The task: "{instruction}". '
        f'Give the path of {_MOVED[kind]}. Use 2 to {KEY_POINTS} key points in order, around what '
        f'stands in the way. {_PLACE[dimensions]}. '
        f'Answer with JSON only: {{"points": [{_FORM[dimensions]}, ...]}}'
    )


def refer_question(target: str, dimensions: int) -> str:
    """Ask for one point."""
    return (
        f'Point to {target}, with one point that lies on it. {_PLACE[dimensions]}. '
        f'Answer with JSON only: {{"points": [{_FORM[dimensions]}]}}'
    )


def measure_question(quantity: str) -> str:
    """Ask for a length."""
    return (
        f'Estimate {quantity} in the real world. Answer with JSON only: '
        '{"metres": number}, a plain number without a unit.'
    )


def camera_words(camera: CameraModel) -> str:
    """Tell intrinsics in units of the 0..1000 coordinates, which no resizing changes."""
    fx, cx = camera.fx * 1000 / camera.width, camera.cx * 1000 / camera.width
    fy, cy = camera.fy * 1000 / camera.height, camera.cy * 1000 / camera.height
    return (
        f'The camera is a pinhole; in the 0 to 1000 coordinates its focal lengths are {fx:.0f} '
        f'(x) and {fy:.0f} (y) and its principal point is ({cx:.0f}, {cy:.0f}).'
    )


def depth_words(depth: NDArray[np.floating]) -> str:
    """Tell measured depth as a coarse table: the median of each cell, '-' without measurement."""
    columns, rows = GRID
    height, width = depth.shape
    lines = []
    for r in range(rows):
        band = depth[r * height // rows : max(r * height // rows + 1, (r + 1) * height // rows)]
        cells = []
        for c in range(columns):
            left = c * width // columns
            cell = band[:, left : max(left + 1, (c + 1) * width // columns)]
            valid = cell[np.isfinite(cell) & (cell > 0)]
            cells.append(f'{np.median(valid):.2f}' if valid.size else '-')
        lines.append(f'y={round((r + 0.5) * 1000 / rows)}: ' + ' '.join(cells))
    across = ' '.join(str(round((c + 0.5) * 1000 / columns)) for c in range(columns))
    return (
        'A sensor measured these depths in metres (median of each cell of the picture, - where it '
        f'saw nothing). Columns are at x = {across}.\n' + '\n'.join(lines)
    )


def depth_picture(depth: NDArray[np.floating]) -> tuple[NDArray[np.uint8], str] | None:
    """Draw measured depth (H, W) in grey, near bright; with words that give the range.

    Returns:
        Picture (H, W, 3) and words, or None when nothing was measured.
    """
    good = np.isfinite(depth) & (depth > 0)
    if not good.any():
        return None
    near, far = (float(x) for x in np.percentile(depth[good], (1, 99)))
    span = max(far - near, 1e-6)
    with np.errstate(invalid='ignore'):
        grey = np.where(good, 255 - 205 * np.clip((depth - near) / span, 0, 1), 0)
    words = (
        'The second picture shows the same view as measured depth: linear from '
        f'{near:.2f} m (white) to {far:.2f} m (dark grey); black was not measured.'
    )
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2), words


def points_text(text: str) -> str:
    """Return the points of a model's answer in the paper's format, ``<answer>[(u, v, d), ...]``.

    The JSON may stand in a fence, bare or within prose. Points are lists of 2 or 3 numbers, or
    objects with x and y (and d, depth or z), or ``point``/``point_2d`` (and depth).
    Without JSON, tuples in brackets are read as the paper's format.

    Raises:
        TraceParseError: nothing of the kind, too much, a number out of range, 2D mixed with 3D, or
            coordinates that are fractions of 1 instead of 0..1000.
    """
    if len(text) > MAX_TEXT_CHARS:
        raise TraceParseError(f'the answer has {len(text)} characters: at most {MAX_TEXT_CHARS}')
    for value in _json_values(text):
        points = list(_points_in(value))
        if not points:
            continue
        if len(points) > MAX_POINTS:
            raise TraceParseError(f'the answer has more than {MAX_POINTS} points', raw_text=text)
        if len({len(p) for p in points}) > 1:
            raise TraceParseError('the answer mixes 2D and 3D points', raw_text=text)
        return f'<answer>{_written(points, text)}</answer>'
    found = parse_answer(text).points
    if not len(found):
        raise TraceParseError(f"the answer holds no points; it reads '{text[:200]}'", raw_text=text)
    return f'<answer>{_written([tuple(p) for p in found], text)}</answer>'


def length_text(text: str) -> str:
    """Return the length of a model's answer as ``<answer>0.095 m</answer>``.

    Raises:
        TraceParseError: there is none, or it is not a finite length >= 0.
    """
    if len(text) > MAX_TEXT_CHARS:
        raise TraceParseError(f'the answer has {len(text)} characters: at most {MAX_TEXT_CHARS}')
    for value in _json_values(text):
        for key in (k for k in _LENGTH_KEYS if isinstance(value, dict) and k in value):
            number = _number(value[key])
            if number is None:
                # A unit against the rule is better read than guessed.
                return f'<answer>{parse_length(str(value[key]))[1]}</answer>'
            if number < 0:
                raise TraceParseError(f'length {number:g} m: must be >= 0', raw_text=text)
            return f'<answer>{number:.6f} m</answer>'
    return f'<answer>{parse_length(text)[1]}</answer>'


def _written(points: list[tuple[float, ...]], text: str) -> str:
    if all(0 <= p[0] <= 1 and 0 <= p[1] <= 1 for p in points) and any(
        c not in (0.0, 1.0) for p in points for c in p[:2]
    ):
        raise TraceParseError(
            f'x and y of the answer are fractions of 1, asked for were 0..1000: {points[:3]}',
            raw_text=text,
        )
    try:
        return write_points(points)
    except ValueError as error:
        raise TraceParseError(f'the answer is out of range: {error}', raw_text=text) from error


def _json_values(text: str) -> Iterator[Any]:
    """Yield the JSON values of a text: of its fences, of the whole, and the first one within."""
    decoder = json.JSONDecoder()
    starts = [m.end() for m in _FENCE.finditer(text)][:8]
    plain = len(text) - len(text.lstrip())
    within = [i for i in (text.find('{'), text.find('[')) if i >= 0]
    for start in dict.fromkeys([*starts, plain, *sorted(within)]):
        while start < len(text) and text[start] in ' \t\r\n':
            start += 1
        try:
            value, _ = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, (dict, list)):
            yield value


def _points_in(value: Any, depth: int = 0) -> Iterator[tuple[float, ...]]:
    if depth > 8:
        return
    if isinstance(value, list):
        if len(value) in (2, 3) and any(isinstance(v, (int, float)) for v in value):
            yield _point(value)
            return
        for item in value:
            yield from _points_in(item, depth + 1)
    elif isinstance(value, dict):
        place = next((value[k] for k in ('point', 'point_2d') if k in value), None)
        if place is None and 'x' in value and 'y' in value:
            place = [value['x'], value['y']]
        if isinstance(place, list) and len(place) in (2, 3):
            deep = [value[k] for k in ('d', 'depth', 'depth_m', 'z') if k in value][:1]
            yield _point([*place, *deep][:3])
            return
        for item in value.values():
            yield from _points_in(item, depth + 1)


def _point(values: list[Any]) -> tuple[float, ...]:
    """Return the numbers of one point. A point left out in silence would be another path."""
    numbers = [_number(v) for v in values]
    if any(n is None for n in numbers):
        raise TraceParseError(f'point {str(values)[:120]} of the answer: must be finite numbers')
    return tuple(n for n in numbers if n is not None)


def _number(value: Any) -> float | None:
    """Return a finite number; None for anything else, NaN, infinity and True included."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
