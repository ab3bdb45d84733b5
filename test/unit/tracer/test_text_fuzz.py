# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Fuzz of everything that reads what a model wrote.

By default some thousand mutated answers. More, with the figures that doc/tracer.md states::

    ROBOTRACER_FUZZ_CASES=1000000 python -m pytest -s test/unit/tracer/test_text_fuzz.py -k mutated
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robotracer_ros.errors import RobotracerError, TraceParseError
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.trace import (
    MAX_POINTS,
    Measuring,
    ReasoningStep,
    Referring,
    Scale,
    TraceKind,
)
from robotracer_ros.tracer import text
from robotracer_ros.tracer.answers import (
    length_from_answer,
    point_from_answer,
    trace_from_answer,
)
from robotracer_ros.tracer.base import Observation

CASES = int(os.environ.get('ROBOTRACER_FUZZ_CASES', '6000'))
#: wide enough that a number of 1e308 overflows when it becomes a pixel
SEEN = Observation(
    np.zeros((3, 2000, 3), np.uint8), np.ones((3, 2000), np.float32), CameraModel(2000, 3, 9, 9, 1, 1)
)

#: what a mutation inserts: pieces of the format, and what is easily mistaken for a number or an end
PIECES = (
    *('<think>', '</think>', '<answer>', '</answer>', '<answer', 'think>', '<', '>', '&lt;answer&gt;'),
    *('[Scale] [Scene]: ', '[Referring] [', '[Position] [', '[Measuring] [', ']: [(', ']:', '] [', '\n'),
    *('(', ')', '[', ']', ',', ', ', '()', '((', '))', '(,', ',)', '(1, 2)', '(1, 2, 3)', '[[', ']]'),
    *('0', '-0', '+1', '1000', '1e308', '1e309', '-1e308', '1e999', '1e-999', '1e', 'e1', '.', '.5', '5.', '1.2.3'),
    *('9' * 18, '9' * 19, '9' * 400, '0' * 300, '0x10', '1_000', '1,000', 'nan', 'inf', '-inf', 'Infinity', '∞'),
    *('١٢', '𝟙', '²', '½', '１２', '٫', '−1', '\u00a0', '\u2028', '\u200b', '\x00', '\x0b', '\x85', '\ud800'),
    *(' cm', ' centimeters', ' ft', ' in', 'm', ' parsec', '\t', '\r', '\r\n', ' ' * 9, '{"x": 1}', '```', '\\'),
)  # fmt: skip


def answer(rng: random.Random) -> str:
    """Return an answer as the writer writes it."""
    d = 3 if rng.random() < 0.8 else 2
    points = [
        (rng.randint(0, 1000), rng.randint(0, 1000), rng.randint(1, 5000) / 1000)[:d]
        for _ in range(rng.randint(1, 9))
    ]
    steps: list[ReasoningStep] = []
    for _ in range(rng.randint(0, 6)):
        length = rng.randint(1, 3000) / 1000
        steps.append(
            rng.choice(
                (
                    Scale(rng.randint(1, 9000) / 1000),
                    Referring('the red mug', (rng.randint(0, 1000), rng.randint(0, 1000), 0.5)),
                    Measuring('the height', length, text.write_length(length, rng.choice(list(text.UNITS_M)))),
                )
            )
        )
    return text.write_answer(points, steps)


def mutated(rng: random.Random, written: str) -> str:
    """Return a text after one to six random changes."""
    for _ in range(rng.randint(1, 6)):
        i = rng.randint(0, len(written))
        j = min(len(written), i + rng.choice((0, 1, 1, 2, 5, 20, 80)))
        kind = rng.randrange(7)
        if kind == 0:  # cut
            written = written[:i] + written[j:]
        elif kind == 1:  # insert
            written = written[:i] + rng.choice(PIECES) + written[i:]
        elif kind == 2:  # replace
            written = written[:i] + rng.choice(PIECES) + written[j:]
        elif kind == 3:  # repeat
            written = written[:i] + written[i:j] * rng.choice((2, 3, 70)) + written[j:]
        elif kind == 4:  # truncate
            written = written[:i]
        elif kind == 5:  # a letter that looks like it, or any other
            written = written[:i] + chr(rng.choice((rng.randrange(128), rng.randrange(0x11000)))) + written[i + 1 :]
        else:  # move
            written = written[:i] + written[j:] + written[i:j]
    return written


def check(written: str) -> str:
    """Read a text, also as one kind of answer; return what became of it.

    Whatever is not a typed error is raised.
    """
    try:
        parsed = text.parse_answer(written)
    except TraceParseError:
        outcome = 'refused'
    else:
        assert parsed.points.ndim == 2
        assert parsed.points.shape[1] in (2, 3)
        assert len(parsed.points) <= MAX_POINTS
        assert np.isfinite(parsed.points).all()
        assert len(parsed.reasoning) <= text.MAX_STEPS
        for step in parsed.reasoning:
            match step:
                case Referring():
                    assert np.isfinite(step.point).all()
                case Scale():
                    assert np.isfinite(step.value)
                case Measuring():
                    assert 0 <= step.metres < np.inf
        outcome = 'points' if len(parsed.points) else 'no points'
    with contextlib.suppress(RobotracerError):
        match len(written) % 3:
            case 0:
                trace_from_answer(written, SEEN, 'x', TraceKind.OBJECT_CENTRIC, 'm', 0.0)
            case 1:
                point_from_answer(written, SEEN, 'm', 0.0)
            case _:
                length_from_answer(written, 'm', 0.0)
        outcome += ', accepted'
    return outcome


def test_mutated_answers_give_typed_results_or_typed_errors() -> None:
    """Not a single exception of another kind. Each outcome occurs, so that all paths are taken."""
    start, outcomes, letters = time.process_time(), Counter[str](), 0
    rng = random.Random(0)
    for _ in range(CASES):
        written = mutated(rng, answer(rng))
        letters += len(written)
        try:
            outcomes[check(written)] += 1
        except Exception as error:
            raise AssertionError(f'{written!r} raises {error!r}') from error
    spent = time.process_time() - start
    print(f'\n{CASES} cases, {letters} characters, {spent:.1f} CPU-s, 0 uncaught; {dict(outcomes)}')
    assert {'refused', 'points', 'no points', 'points, accepted'} <= set(outcomes)
    assert min(outcomes[o] for o in ('refused', 'points', 'no points')) > CASES // 200


@settings(max_examples=max(200, CASES // 100), deadline=None)
@given(st.data())
def test_hypothesis_finds_nothing_either(data: st.DataObject) -> None:
    rng = random.Random(data.draw(st.integers(0, 2**32)))
    written = answer(rng)
    for _ in range(data.draw(st.integers(1, 4))):
        i = data.draw(st.integers(0, len(written)))
        inserted = data.draw(st.one_of(st.text(max_size=20), st.sampled_from(PIECES)))
        written = written[:i] + inserted + written[i + data.draw(st.integers(0, 9)) :]
    check(written)


def cost(pattern: object) -> int:
    """Return an upper bound of the ways in which a compiled pattern can be tried at one place.

    Raises ValueError when it repeats without a bound.
    """
    from re import _constants as op
    from re import _parser as parser

    def ways(tree: object) -> int:
        product = 1
        for code, value in tree:  # type: ignore[attr-defined]
            if code in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
                low, high, inner = value
                if high is op.MAXREPEAT:
                    raise ValueError(f'unbounded repetition in {pattern!r}')
                product *= (high - low + 1) * max(1, ways(inner))
            elif code is op.SUBPATTERN:
                product *= ways(value[-1])
            elif code is op.BRANCH:
                product *= sum(ways(branch) for branch in value[1])
            elif code in (op.ASSERT, op.ASSERT_NOT):
                product *= ways(value[1])
            else:
                assert code in (op.LITERAL, op.NOT_LITERAL, op.IN, op.ANY, op.AT), code
        return product

    return ways(parser.parse(pattern.pattern, pattern.flags))  # type: ignore[attr-defined]


def test_no_pattern_repeats_without_a_bound() -> None:
    """So the steps at one place do not grow with the text; the rest are single passes (find, count, split)."""
    patterns = {n: p for n, p in vars(text).items() if isinstance(p, re.Pattern)}
    assert {'_TUPLE', '_LENGTH', '_SCALAR', '_STEP'} <= set(patterns)
    for pattern in patterns.values():
        assert cost(pattern) > 0
    with pytest.raises(ValueError, match='unbounded'):
        cost(re.compile('a*b'))


HARD = (
    *('(', '(1,', '(1, 2', '[', '<answer>', '<think>', '[Scale] [', '[Scale] [a]: 1', '(' + ' ' * 8, '1', '9.', 'e'),
    *('(1,2,3', '\n', '\r', 'a]: ', '1 c', '1e9', '</think>', '(1 1', '١', '\ud800'),
)  # fmt: skip


def seconds(read: Callable[[str], object], written: str) -> float:
    """Return the CPU time of reading a text once; the shortest of three."""
    times = []
    for _ in range(3):
        start = time.process_time()
        with contextlib.suppress(TraceParseError):
            read(written)
        times.append(time.process_time() - start)
    return min(times)


@pytest.mark.slow
@pytest.mark.parametrize('read', [text.parse_answer, text.parse_length])
@pytest.mark.parametrize('unit', HARD)
def test_four_times_the_text_takes_about_four_times_as_long(
    unit: str, read: Callable[[str], object]
) -> None:
    """A ratio of one run: quadratic would be 16. Printed with -s."""
    short = unit * (text.MAX_TEXT_CHARS // 4 // len(unit))
    ratio = seconds(read, short * 4) / max(seconds(read, short), 1e-4)
    print(f'{unit!r}: {ratio:.1f}')
    assert ratio < 10
