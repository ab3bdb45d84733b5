# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The paper's text format: one strict writer and one forgiving, bounded, linear-time parser.

.. code-block:: text

    <think>
    [Scale] [Scene]: 1.912
    [Referring] [the leftmost green mug]: [(212, 640, 0.874)]
    [Measuring] [the height of the leftmost green mug]: 9.500 centimeters
    </think>
    <answer>[(212, 640, 0.874), (240, 512, 0.861), (655, 690, 0.792)]</answer>

The writer prints u and v as integers in 0..1000 and d in metres with three decimals, and refuses what the parser would
not read back. The parser accepts what models really write: missing tags, a truncated end, ``[Position]`` for
``[Referring]``, signs, exponents, odd spacing. It never evaluates text, never reads more than ``MAX_TEXT_CHARS`` and
treats only ASCII digits as numbers. No pattern below repeats without a bound, so the steps at one place of the text
are bounded too, and the whole is linear in its length.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robotracer_ros.errors import TraceParseError
from robotracer_ros.geometry.trace import MAX_POINTS, Measuring, ReasoningStep, Referring, Scale

MAX_TEXT_CHARS = 1_000_000
MAX_STEPS = 64
_MAX_LINE_CHARS = 2000

#: metres per unit, by every spelling that is understood
UNITS_M = {
    **dict.fromkeys(('m', 'meter', 'meters', 'metre', 'metres'), 1.0),
    **dict.fromkeys(('cm', 'centimeter', 'centimeters', 'centimetre', 'centimetres'), 0.01),
    **dict.fromkeys(('mm', 'millimeter', 'millimeters', 'millimetre', 'millimetres'), 0.001),
    **dict.fromkeys(('in', 'inch', 'inches'), 0.0254),
    **dict.fromkeys(('ft', 'foot', 'feet'), 0.3048),
}

_NUMBER = r'[+-]?(?:[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(?:[eE][+-]?[0-9]{1,3})?'
_GAP = r'[ \t\r\n]{0,8}'
_TUPLE = re.compile(
    rf'\({_GAP}({_NUMBER}){_GAP},{_GAP}({_NUMBER}){_GAP}(?:,{_GAP}({_NUMBER}){_GAP})?\)'
)
_LENGTH = re.compile(rf'({_NUMBER})[ \t]{{0,8}}([A-Za-z]{{1,12}})(?![A-Za-z])')
_SCALAR = re.compile(rf'{_GAP}({_NUMBER})(?![0-9A-Za-z.])')
_STEP = re.compile(r'[ \t]{0,8}\[([A-Za-z ]{1,32})\][ \t]{0,8}\[')

#: what has a meaning in the format, as what stands for it inside a name
_PLAIN = str.maketrans('[]<>', '()()')

_KINDS = {
    'scale': 'scale',
    'referring': 'referring',
    'position': 'referring',
    'measuring': 'measuring',
}


@dataclass(frozen=True)
class ParsedAnswer:
    """What a model wrote, typed.

    Attributes:
        points: (N, 3) as (u, v, d), or (N, 2) for a 2D answer; N may be 0. Finite, otherwise as written.
        reasoning: Steps that could be read, in order.
        malformed_steps: Lines of the reasoning that are not a step.
        well_formed: Reasoning and answer both stand inside their tags, once, in that order.
        truncated: The text ends inside the reasoning or the answer.
    """

    points: NDArray[np.float64]
    reasoning: tuple[ReasoningStep, ...]
    malformed_steps: int
    well_formed: bool
    truncated: bool


def write_point(point: ArrayLike) -> str:
    """Write one point (u, v) or (u, v, d), e.g. ``(212, 640, 0.874)``.

    Raises:
        ValueError: u or v is outside 0..1000, d is not in 0.001..999.999, or a number is not finite.
    """
    p = [float(x) for x in np.asarray(point, dtype=float)]
    if len(p) not in (2, 3) or not all(math.isfinite(x) for x in p):
        raise ValueError(f'point {p}: must be 2 or 3 finite numbers')
    u, v = round(p[0]), round(p[1])
    if not (0 <= u <= 1000 and 0 <= v <= 1000):
        raise ValueError(f'point {p}: u and v must be in 0..1000')
    if len(p) == 2:
        return f'({u}, {v})'
    if not 0.0005 < p[2] < 999.9995:
        raise ValueError(f'point {p}: d must be in 0.001..999.999 m')
    return f'({u}, {v}, {p[2]:.3f})'


def write_points(points: ArrayLike) -> str:
    """Write points (N, 2) or (N, 3) as ``[(u, v, d), ...]``.

    Raises:
        ValueError: there are more than ``MAX_POINTS``, or one cannot be written.
    """
    rows = np.asarray(points, dtype=float)
    if len(rows) > MAX_POINTS:
        raise ValueError(f'{len(rows)} points: at most {MAX_POINTS}')
    return '[' + ', '.join(write_point(p) for p in rows) + ']'


def write_length(metres: float, unit: str = 'centimeters') -> str:
    """Write a length with three decimals in a unit of ``UNITS_M``, e.g. ``9.500 centimeters``.

    Raises:
        ValueError: the unit is unknown, or the length is negative or not finite.
    """
    if unit not in UNITS_M:
        raise ValueError(f"unit '{unit}': must be one of {', '.join(UNITS_M)}")
    if not (math.isfinite(metres) and metres >= 0):
        raise ValueError(f'length {metres} m: must be finite and >= 0')
    return f'{metres / UNITS_M[unit]:.3f} {unit}'


def write_step(step: ReasoningStep) -> str:
    """Write one reasoning step as a line.

    Brackets of any kind and line breaks in a target have a meaning in the format: they become
    round brackets and spaces.

    Raises:
        ValueError: a number is out of range, the text of a measuring step is not its length, or the
            line is too long to be read back.
    """
    target = ' '.join(step.target.translate(_PLAIN).split())
    match step:
        case Scale():
            if not (math.isfinite(step.value) and 0 <= step.value < 1e15):
                raise ValueError(f'scale {step.value}: must be finite and >= 0')
            line = f'[Scale] [{target}]: {step.value:.3f}'
        case Referring():
            line = f'[Referring] [{target}]: [{write_point(step.point)}]'
        case Measuring():
            words = ' '.join((step.text or write_length(step.metres)).split())
            _check_length(words, step)
            line = f'[Measuring] [{target}]: {words}'
    if len(line) > _MAX_LINE_CHARS:
        raise ValueError(f'a step of {len(line)} characters: at most {_MAX_LINE_CHARS}')
    return line


def write_answer(points: ArrayLike, reasoning: Sequence[ReasoningStep] = ()) -> str:
    """Write a whole answer; without steps there is no ``<think>`` block.

    Raises:
        ValueError: there are more than ``MAX_POINTS`` points or ``MAX_STEPS`` steps, or one cannot be
            written.
    """
    if len(reasoning) > MAX_STEPS:
        raise ValueError(f'{len(reasoning)} steps: at most {MAX_STEPS}')
    answer = f'<answer>{write_points(points)}</answer>'
    if not reasoning:
        return answer
    return '<think>\n' + '\n'.join(write_step(s) for s in reasoning) + '\n</think>\n' + answer


def _check_length(words: str, step: Measuring) -> None:
    """Raise ValueError when the words of a step do not say its length."""
    try:
        read = parse_length(words)[0]
    except TraceParseError as error:
        raise ValueError(f"'{words}' is not a length: {error}") from error
    if not math.isclose(read, step.metres, rel_tol=0.05, abs_tol=0.001):
        raise ValueError(f"'{words}' is {read} m, the step says {step.metres} m")


def parse_answer(text: str) -> ParsedAnswer:
    """Read a model's answer.

    Tuples are taken from the last ``<answer>`` block; without one from what follows ``</think>``,
    or from the whole text.

    Raises:
        TraceParseError: the text is too long, holds more than ``MAX_POINTS`` points or
            ``MAX_STEPS`` steps, mixes 2D and 3D
            points, or a number overflows.
    """
    if len(text) > MAX_TEXT_CHARS:
        raise TraceParseError(f'the answer has {len(text)} characters: at most {MAX_TEXT_CHARS}')
    think, answer, well_formed, truncated = _split(text)
    reasoning, malformed = _parse_steps(think)
    return ParsedAnswer(_parse_points(answer), reasoning, malformed, well_formed, truncated)


def parse_length(text: str) -> tuple[float, str]:
    """Find the first length in a text; return metres and the words it was read from.

    Raises:
        TraceParseError: there is no number followed by a unit of ``UNITS_M``, or it is not finite and >= 0.
    """
    if len(text) > MAX_TEXT_CHARS:
        raise TraceParseError(f'the answer has {len(text)} characters: at most {MAX_TEXT_CHARS}')
    for match in _LENGTH.finditer(text):
        unit = match[2].lower()
        if unit in UNITS_M:
            metres = float(match[1]) * UNITS_M[unit]
            if not math.isfinite(metres) or metres < 0:
                raise TraceParseError(f"length '{match[0]}' is not a finite length >= 0")
            return metres, match[0]
    raise TraceParseError(f"no length with a unit in '{_shorten(text)}'")


def _split(text: str) -> tuple[str, str, bool, bool]:
    """Split into reasoning, answer, whether the tags are as they should be, and whether the end is missing."""
    opened, closed = text.find('<think>'), text.find('</think>')
    start = text.rfind('<answer>')
    end = text.find('</answer>', start) if start >= 0 else -1
    well_formed = (
        0 <= opened < closed < start < end
        and text.count('<answer>') == 1
        and text.count('<think>') == 1
    )
    if opened >= 0 and closed < 0:
        stop = start if start > opened else len(text)
        think = text[opened + len('<think>') : stop]
    else:
        think = text[opened + len('<think>') : closed] if 0 <= opened < closed else ''
    if start >= 0:
        answer = text[start + len('<answer>') : end if end >= 0 else len(text)]
    elif opened >= 0 and closed < 0:
        answer = ''
    else:
        answer = text[closed + len('</think>') :] if closed >= 0 else text
    truncated = (start >= 0 and end < 0) or (opened >= 0 and closed < 0 and start < 0)
    return think, answer, well_formed, truncated


def _parse_points(text: str) -> NDArray[np.float64]:
    rows: list[tuple[float, ...]] = []
    for match in _TUPLE.finditer(text):
        rows.append(tuple(float(g) for g in match.groups() if g is not None))
        if len(rows) > MAX_POINTS:
            raise TraceParseError(f'the answer has more than {MAX_POINTS} points')
        if len(rows[-1]) != len(rows[0]):
            raise TraceParseError(
                f'the answer mixes 2D and 3D points: point {len(rows) - 1} is {match[0]}'
            )
        if not all(math.isfinite(x) for x in rows[-1]):
            raise TraceParseError(f'point {len(rows) - 1} of the answer is not finite: {match[0]}')
    return np.array(rows, dtype=float) if rows else np.zeros((0, 3))


def _parse_steps(text: str) -> tuple[tuple[ReasoningStep, ...], int]:
    steps: list[ReasoningStep] = []
    malformed = 0
    for line in text.splitlines():
        if not line.strip():
            continue
        step = _parse_step(line)
        if step is None:
            malformed += 1
            continue
        steps.append(step)
        if len(steps) > MAX_STEPS:
            raise TraceParseError(f'the answer has more than {MAX_STEPS} reasoning steps')
    return tuple(steps), malformed


def _parse_step(line: str) -> ReasoningStep | None:
    if len(line) > _MAX_LINE_CHARS:
        return None
    head = _STEP.match(line)
    kind = _KINDS.get(head[1].strip().lower()) if head else None
    close = line.find(']:', head.end()) if head else -1
    if head is None or kind is None or close < 0:
        return None
    target, value = line[head.end() : close].strip(), line[close + 2 :]
    if kind == 'scale':
        number = _SCALAR.match(value)
        return (
            Scale(float(number[1]), target) if number and math.isfinite(float(number[1])) else None
        )
    if kind == 'measuring':
        try:
            metres, words = parse_length(value)
        except TraceParseError:
            return None
        return Measuring(target, metres, words)
    found = _TUPLE.search(value)
    if (
        found is None
        or found[3] is None
        or not all(math.isfinite(float(g)) for g in found.groups())
    ):
        return None
    return Referring(target, (float(found[1]), float(found[2]), float(found[3])))


def _shorten(text: str, limit: int = 120) -> str:
    return text if len(text) <= limit else text[:limit] + '...'
