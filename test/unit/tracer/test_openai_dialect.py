# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a general model is asked, and what is made of whatever it writes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robotracer_ros.errors import TraceParseError
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.trace import TraceKind
from robotracer_ros.tracer.openai_dialect import (
    camera_words,
    depth_picture,
    depth_words,
    length_text,
    points_text,
    refer_question,
    trace_question,
)
from robotracer_ros.tracer.text import parse_answer, parse_length

TWO = '<answer>[(120, 340, 0.812), (500, 300, 0.750)]</answer>'


@pytest.mark.parametrize('text', [
    '{"points": [[120, 340, 0.812], [500, 300, 0.75]]}',
    '```json\n{"points": [[120, 340, 0.812], [500, 300, 0.75]]}\n```',
    'Here is the path.\n```json\n[[120, 340, 0.812], [500, 300, 0.75]]\n```\nI hope it helps.',
    '```\n[[120, 340, 0.812],\n [500, 300, 0.75]]```',
    'Sure: {"points": [[120, 340, 0.812], [500, 300, 0.75]]} as asked.',
    '[{"point": [120, 340], "depth": 0.812}, {"point": [500, 300], "depth": 0.75}]',
    '[{"point_2d": [120, 340], "label": "a", "depth_m": 0.812}, {"point_2d": [500, 300], "d": 0.75}]',
    '{"trace": [{"x": 120, "y": 340, "d": 0.812}, {"x": 500, "y": 300, "z": 0.75}]}',
    '{"note": "2 points", "answer": {"points": [[120.2, 339.8, 0.812], [500, 300, 0.75]]}}',
    '[(120, 340, 0.812), (500, 300, 0.750)]',
    'The path is (120, 340, 0.812), then (500, 300, 0.75).',
])
def test_forms_of_one_answer(text: str) -> None:
    assert points_text(text) == TWO


def test_flat_points() -> None:
    assert points_text('{"points": [[1, 2], [3, 4]]}') == '<answer>[(1, 2), (3, 4)]</answer>'


@pytest.mark.parametrize(('text', 'why'), [
    ('', 'no points'),
    ('I cannot help with that.', 'no points'),
    ('{"points": []}', 'no points'),
    ('[[120, 340, 0.8], [500, 300]]', 'mixes'),
    ('[[120, 340, 0.8], [500, NaN, 0.8]]', 'finite'),
    ('[[120, 340, 0.8], [500, null, 0.8]]', 'finite'),
    ('[[120, 340, 0.8], [500, "300", 0.8]]', 'finite'),
    ('[[120, 340, 0.8], [500, true, 0.8]]', 'finite'),
    ('[{"x": 1, "y": 2, "d": null}]', 'finite'),
    ('[[120, 340, 0.8], [500, 1001, 0.8]]', '0..1000'),
    ('[[120, 340, 0.8], [-5, 100, 0.8]]', '0..1000'),
    ('[[120, 340, 0.8], [500, 300, -0.8]]', 'd must be'),
    ('[[120, 340, 0.8], [500, 300, 0]]', 'd must be'),
    ('[[0.12, 0.34, 0.8], [0.5, 0.3, 0.8]]', 'fractions'),
    ('[[1e400, 340, 0.8], [500, 300, 0.8]]', 'finite'),
    ('[[1' + '0' * 400 + ', 340, 0.8], [500, 300, 0.8]]', 'finite'),
    (json.dumps([[i % 1000, 5, 1.0] for i in range(65)]), 'more than 64'),
    ('x' * 1_000_001, 'at most'),
])
def test_answers_that_are_none(text: str, why: str) -> None:
    with pytest.raises(TraceParseError, match=why):
        points_text(text)


def test_nesting_and_length_are_bounded() -> None:
    for text in ('[' * 100_000, '{"a":' * 100_000, '```json\n' * 100_000, '[[' * 400_000 + ']'):
        with pytest.raises(TraceParseError):
            points_text(text)
    with pytest.raises(TraceParseError):
        points_text('[' * 12 + '1, 2, 3' + ']' * 12)


@pytest.mark.parametrize(('text', 'metres'), [
    ('{"metres": 0.095}', 0.095), ('```json\n{"meters": 2}\n```', 2.0),
    ('{"metres": "9.5 cm"}', 0.095), ('It is about 9.5 cm high.', 0.095),
    ('{"metres": 0}', 0.0), ('{"height": "12 inches"}', 0.3048),
])
def test_lengths(text: str, metres: float) -> None:
    assert parse_length(length_text(text))[0] == pytest.approx(metres)


@pytest.mark.parametrize('text', ['', '{"metres": -1}', '{"metres": null}', '{"metres": NaN}',
                                  '{"metres": true}', 'about so high', '{"metres": 1e999}', '[3]'])
def test_lengths_that_are_none(text: str) -> None:
    with pytest.raises(TraceParseError):
        length_text(text)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda x: st.lists(x, max_size=4)
    | st.dictionaries(st.sampled_from(['points', 'x', 'y', 'd', 'point', 'metres']), x, max_size=4),
    max_leaves=20,
)


@given(st.one_of(st.text(), _JSON.map(json.dumps), _JSON.map(lambda v: f'so:\n```json\n{json.dumps(v)}')))
def test_any_text_gives_points_in_range_or_a_typed_error(text: str) -> None:
    try:
        points = parse_answer(points_text(text)).points
    except TraceParseError:
        pass
    else:
        assert len(points)
        assert np.isfinite(points).all()
        assert (points[:, :2] >= 0).all()
        assert (points[:, :2] <= 1000).all()
    try:
        metres = parse_length(length_text(text))[0]
    except TraceParseError:
        return
    assert 0 <= metres < float('inf')


def test_questions_name_the_thing_of_the_task_and_no_other() -> None:
    """The released prompts name a toothpaste and a pillow, and say that it is in the hand already."""
    task = 'put the red mug on the tray'
    for kind in TraceKind:
        for dimensions in (2, 3):
            question = trace_question(task, kind, dimensions)
            assert f'"{task}"' in question
            for wrong in ('toothpaste', 'pillow', 'pick up', 'picked up'):
                assert wrong not in question
            assert ('[x, y, d]' in question) == (dimensions == 3)
    assert 'gripper' in trace_question(task, TraceKind.END_EFFECTOR_CENTRIC, 3)
    assert 'first point lies on that object' in trace_question(task, TraceKind.OBJECT_CENTRIC, 3)
    assert 'the red mug' in refer_question('the red mug', 3)


def test_the_camera_in_words_is_that_of_any_size() -> None:
    camera = CameraModel(640, 480, 600, 610, 320, 240)
    assert camera_words(camera) == camera_words(camera.resized(320, 240))
    assert '938 (x) and 1271 (y)' in camera_words(camera)
    assert '(500, 500)' in camera_words(camera)


def test_depth_in_words_is_what_was_measured() -> None:
    depth = np.full((90, 120), 2.0, np.float32)
    depth[:10, :10] = 0.5
    depth[80:, 110:] = np.nan
    depth[40, 55] = 9.0  # a median does not mind
    lines = depth_words(depth).splitlines()
    assert len(lines) == 10
    assert lines[0].endswith('42 125 208 292 375 458 542 625 708 792 875 958.')
    assert lines[1] == 'y=56: 0.50' + ' 2.00' * 11
    assert lines[5] == 'y=500:' + ' 2.00' * 12
    assert lines[9] == 'y=944:' + ' 2.00' * 11 + ' -'
    assert len(depth_words(np.full((3, 4), 1.0, np.float32)).splitlines()) == 10


def test_depth_as_a_picture_says_its_range() -> None:
    depth = np.tile(np.linspace(0.5, 1.5, 101, dtype=np.float32), (10, 1))
    depth[0, 50] = np.nan
    drawn = depth_picture(depth)
    assert drawn is not None
    picture, words = drawn
    assert picture.shape == (10, 101, 3)
    assert picture[0, 50].tolist() == [0, 0, 0]
    near, far = (float(w.split(' m')[0]) for w in words.split('from ')[1].split(' to ')[:2])
    # A reader of picture and words gets the depth back.
    for column in (10, 40, 80):
        told = near + (255 - picture[3, column, 0]) / 205 * (far - near)
        assert told == pytest.approx(depth[3, column], abs=0.01)
    assert depth_picture(np.zeros((4, 4), np.float32)) is None
