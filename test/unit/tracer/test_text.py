# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import contextlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robotracer_ros.errors import TraceParseError
from robotracer_ros.geometry.trace import Measuring, Referring, Scale
from robotracer_ros.tracer import text

EXAMPLE = """<think>
[Scale] [Scene]: 1.912
[Referring] [the leftmost green mug]: [(212, 640, 0.874)]
[Measuring] [the height of the leftmost green mug]: 9.500 centimeters
[Position] [the wooden tray]: [(655, 702, 0.790)]
</think>
<answer>[(212, 640, 0.874), (240, 512, 0.861), (655, 690, 0.792)]</answer>"""


def test_reads_the_papers_layout():
    parsed = text.parse_answer(EXAMPLE)
    assert parsed.well_formed
    assert not parsed.truncated
    assert parsed.malformed_steps == 0
    assert parsed.points.tolist() == [[212, 640, 0.874], [240, 512, 0.861], [655, 690, 0.792]]
    scale, mug, height, tray = parsed.reasoning
    assert scale == Scale(1.912)
    assert mug == Referring('the leftmost green mug', (212.0, 640.0, 0.874))
    assert isinstance(height, Measuring)
    assert height.metres == pytest.approx(0.095)
    assert tray == Referring('the wooden tray', (655.0, 702.0, 0.790))


POINT = st.tuples(
    st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 19999).map(lambda d: d / 1000)
)
TARGET = (
    st.text('abcdefghijklmnopqrstuvwxyz ,.()-', min_size=1, max_size=40).map(str.strip).filter(bool)
)
STEP = st.one_of(
    st.integers(0, 99999).map(lambda s: Scale(s / 1000)),
    st.builds(Referring, TARGET, POINT.map(lambda p: tuple(float(x) for x in p))),
)


@settings(deadline=None)
@given(st.lists(POINT, min_size=1, max_size=12), st.lists(STEP, max_size=8))
def test_what_is_written_is_read_back(points, steps):
    parsed = text.parse_answer(text.write_answer(points, steps))
    assert np.array_equal(parsed.points, np.array(points, dtype=float))
    assert parsed.reasoning == tuple(steps)
    assert parsed.malformed_steps == 0
    assert parsed.well_formed == bool(steps)


@pytest.mark.parametrize(
    ('unit', 'metres'),
    [('centimeters', 0.01), ('inches', 0.0254), ('feet', 0.3048), ('meters', 1.0)],
)
def test_lengths_carry_their_unit(unit, metres):
    step = Measuring('the height', 2 * metres, text.write_length(2 * metres, unit))
    (read,) = text.parse_answer(
        '<think>\n' + text.write_step(step) + '\n</think><answer>[]</answer>'
    ).reasoning
    assert isinstance(read, Measuring)
    assert read.metres == pytest.approx(2 * metres)
    assert read.text == f'2.000 {unit}'


@pytest.mark.parametrize(
    'written', ['The mug is 9.5 cm tall.', '9.5cm', 'about 9.5 centimetres', 'roughly 0.095 m']
)
def test_a_length_is_found_in_a_sentence(written):
    assert text.parse_length(written)[0] == pytest.approx(0.095)


@pytest.mark.parametrize('written', ['', 'tall', '9.5', '9.5 parsecs', '١٢ cm', '1e999 m', '-3 cm'])
def test_what_is_not_a_length_is_refused(written):
    with pytest.raises(TraceParseError):
        text.parse_length(written)


@pytest.mark.parametrize(
    ('written', 'count'),
    [
        ('[(1, 2, 0.5), (3, 4, 0.6)]', 2),  # the released answers: no tags at all
        ('<answer>[(1,2,.5),( 3 ,4 , 6e-1 )]', 2),  # truncated after the last tuple
        ('<answer>[(1, 2, 0.5), (3, 4, 0.', 1),  # truncated inside a tuple
        ('<think>\n[Referring] [x]: [(9, 9, 9.0)]\n', 0),  # truncated inside the reasoning
        ('<answer>[(9, 9, 9)]</answer> or <answer>[(1, 2, 3)]</answer>', 1),
        ('no points here', 0),
        ('(١, ٢, ٣)', 0),
    ],
)
def test_forgives(written, count):
    assert len(text.parse_answer(written).points) == count


@pytest.mark.parametrize(
    ('written', 'reason'),
    [
        ('[(1, 2, 0.5), (3, 4)]', 'mixes 2D and 3D'),
        ('[(1, 2, 1e999)]', 'not finite'),
        ('(1, 2, 3)' * 65, 'more than 64 points'),
        ('x' * 1_000_001, '1000001 characters'),
        ('<think>' + '[Scale] [Scene]: 1\n' * 65 + '</think>', 'more than 64 reasoning steps'),
    ],
)
def test_refuses_with_a_reason(written, reason):
    with pytest.raises(TraceParseError, match=reason):
        text.parse_answer(written)


def test_malformed_steps_are_counted_not_lost():
    parsed = text.parse_answer(
        '<think>\nI think so\n[Scale] [Scene]: one\n[Scale] [Scene]: 2\n[Guess] [x]: 1\n</think>'
    )
    assert parsed.malformed_steps == 3
    assert parsed.reasoning == (Scale(2.0),)


HOSTILE = st.one_of(
    st.text(max_size=300),
    st.text('()[]<>/,.+-eE0123456789 \n\t:thinkanswerScaleRefPosition١²∞', max_size=400),
    st.lists(
        st.sampled_from(
            [
                '<think>',
                '</think>',
                '<answer>',
                '</answer>',
                '(1, 2, 3)',
                '(1,',
                '[',
                ']:',
                '[Scale]',
                '[a]',
                '[Referring] [',
                '1e308',
                '9' * 400,
                '\x00',
                '\n',
                ' cm',
                '-',
                '𝟙',
            ]
        ),
        max_size=40,
    ).map(''.join),
)


@settings(max_examples=300, deadline=None)
@given(HOSTILE)
def test_any_text_gives_a_typed_result_or_a_typed_error(written):
    for parse in (text.parse_answer, text.parse_length):
        with contextlib.suppress(TraceParseError):
            parse(written)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    'unit',
    ['(', '(1,', '[', '<answer>', '<think>', '[Scale] [', '(' + ' ' * 8, '1', 'e', '(1,2,3', '\n'],
)
def test_a_megabyte_of_anything_is_read(unit):
    """A quadratic pattern would need hours for a megabyte."""
    written = unit * (text.MAX_TEXT_CHARS // len(unit))
    assert len(text.parse_answer(written).points) == 0


@pytest.mark.parametrize(
    'point',
    [(-1, 0, 1), (0, 1001, 1), (0, 0, 0), (0, 0, 0.0004), (0, 0, math.nan), (0, 0, 999.9996), (1,)],
)
def test_the_writer_is_strict(point):
    with pytest.raises(ValueError):
        text.write_point(point)


@pytest.mark.parametrize(
    'step',
    [
        Scale(math.nan),
        Scale(-1.0),
        Scale(1e300),
        Referring('x', (0, 0, math.inf)),
        Measuring('x', math.nan),
        Measuring('x', -0.1),
        Measuring('x', 0.1, 'quite long'),
        Measuring('x', 0.1, '3 in a row, 10 cm each'),
        Measuring('x', 0.1, '1 m'),
        Scale(1.0, 'x' * 2000),
    ],
)
def test_the_writer_refuses_steps_that_would_not_come_back(step):
    with pytest.raises(ValueError):
        text.write_step(step)


def test_the_writer_refuses_more_than_the_parser_reads():
    with pytest.raises(ValueError, match='65 points'):
        text.write_points([(1, 2, 3)] * 65)
    with pytest.raises(ValueError, match='65 steps'):
        text.write_answer([(1, 2, 3)], [Scale(1.0)] * 65)
    with pytest.raises(ValueError, match='parsec'):
        text.write_length(1.0, 'parsec')


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60), POINT)
def test_no_name_breaks_the_format(target, point):
    """Brackets, tags, line breaks of any alphabet: a step stays a step."""
    steps = (Referring(target, point), Scale(1.5, target), Measuring(target, 0.1))
    parsed = text.parse_answer(text.write_answer([(1, 2, 3)], steps))
    assert parsed.well_formed
    assert parsed.malformed_steps == 0
    assert [type(s) for s in parsed.reasoning] == [Referring, Scale, Measuring]
    assert len({s.target for s in parsed.reasoning}) == 1
