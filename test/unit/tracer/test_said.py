# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Lengths and places that a text has said, as the step reader gets them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robotracer_ros.tracer.model.said import SaidReader
from robotracer_ros.tracer.model.tokenizer import build_tokenizer
from robotracer_ros.tracer.text import write_length

TOKENIZER = build_tokenizer()
READER = SaidReader(len(TOKENIZER))
READER.learn(TOKENIZER)


def said(text: str) -> list[float]:
    """Return the last length at every token."""
    found = READER(torch.tensor([TOKENIZER(text)['input_ids']])).length[0]
    return [round(x, 5) for x in found.tolist()]


@pytest.mark.parametrize(
    ('text', 'metres'),
    [
        ('Move the cup to the left by 5 inches.', 0.127),
        ('14 cm to the right of the tray', 0.14),
        ('put it 0.120 m further away', 0.12),
        ('put it 0.12 meters away', 0.12),
        ('put it 0.05 m away', 0.05),
        ('put it 1.5 m away', 1.5),
        ('hover 1-5 cm above each', 0.05),
        ('[Measuring] [the distance to move]: 12.700 centimeters\n', 0.127),
        ('Put 2 in the bowl', 0.0),
        ('the second cup from the left', 0.0),
        ('[(516, 450, 1.041), (517, 380, 1.041)]', 0.0),
        ('a cm of nothing', 0.0),
    ],
)
def test_last_length(text: str, metres: float) -> None:
    """Numbers with a unit are lengths, and nothing else is."""
    ids = torch.tensor([TOKENIZER(text)['input_ids']])
    assert said(text)[-1] == pytest.approx(metres, rel=1e-4)
    assert float(READER.last(ids).length) == pytest.approx(metres, rel=1e-4)


def test_only_what_was_said_before() -> None:
    """Each token knows the lengths up to itself, never a later one."""
    text = '14 cm to the right, then 0.120 m further'
    found = said(text)
    first = found.index(0.14)
    assert found[:first] == [0.0] * first
    assert found[-1] == 0.12
    assert sorted(set(found), key=found.index) == [0.0, 0.14, 0.12]
    ids = TOKENIZER(text)['input_ids']
    for n in range(1, len(ids) + 1):
        assert float(READER.last(torch.tensor([ids[:n]])).length) == pytest.approx(found[n - 1], abs=1e-5)


def test_rows_of_a_padded_batch_stay_apart() -> None:
    """Padding on the left says nothing and shifts nothing."""
    rows = [TOKENIZER(t)['input_ids'] for t in ('by 5 inches', 'move it 30 cm to the left')]
    width = max(len(r) for r in rows)
    padded = torch.tensor([[TOKENIZER.pad_token_id] * (width - len(r)) + r for r in rows])
    assert READER.last(padded).length.tolist() == pytest.approx([0.127, 0.30])


@settings(max_examples=200, deadline=None)
@given(st.floats(0.01, 0.9), st.sampled_from(['meters', 'centimeters', 'millimeters', 'inches']))
def test_reads_what_the_writer_writes(metres: float, unit: str) -> None:
    """A written length is read back to its third decimal."""
    text = write_length(metres, unit)
    assert said(f'[Measuring] [it]: {text}')[-1] == pytest.approx(metres, abs=6e-4)


def test_without_a_table_nothing_is_found() -> None:
    """A vocabulary that was never learned holds no lengths."""
    empty = SaidReader(len(TOKENIZER))
    said = empty(torch.tensor([TOKENIZER('14 cm away [(516, 450, 1.041)]')['input_ids']]))
    assert said.length.abs().sum() == 0 and not said.known.any() and not said.places.any()


REASONED = (
    '<user>Move the cup 27 cm to the left.<assistant><think>\n[Scale] [Scene]: 1.322\n'
    '[Referring] [the cup]: [(450, 754, 0.876)]\n[Measuring] [the distance to move]: 25.000 centimeters\n'
    '[Referring] [the place left of it]: [(155, 792, 0.945)]\n</think>\n'
    '<answer>[(450, 754, 0.876), (448, 680, 1.861), (12, 7, 0.005)]</answer>'
)


def test_the_question_says_how_far() -> None:
    """What the reasoning repeats wrongly does not change what was asked for; without a question it counts."""
    assert said(REASONED)[-1] == pytest.approx(0.27)
    unasked = REASONED.replace(' 27 cm', '')
    assert said(unasked)[-1] == pytest.approx(0.25)
    assert float(READER.last(torch.tensor([TOKENIZER(unasked)['input_ids']])).length) == pytest.approx(0.25)


def test_places_of_the_reasoning_and_last_ones() -> None:
    """After the reasoning its places stay, the last one first; the other is always the one finished before."""
    ids = TOKENIZER(REASONED)['input_ids']
    found = READER(torch.tensor([ids]))
    points = [(450, 754, 0.876), (155, 792, 0.945), (450, 754, 0.876), (448, 680, 1.861), (12, 7, 0.005)]
    metres = torch.tensor([(u / 1000, v / 1000, d) for u, v, d in points])
    last = found.places[0, :, -1]
    changes = [0, *((last[1:] != last[:-1]).any(-1).nonzero()[:, 0] + 1).tolist()]
    assert torch.allclose(last[changes][1:], metres, atol=1e-6)
    assert not found.known[0, 0].any() and not last[0].any()
    closed = next(i for i, t in enumerate(ids) if '</think>' in TOKENIZER.decode([t]))
    for k, point in enumerate([metres[1], metres[0], None, None, None]):
        said = [point is not None and i >= closed for i in range(len(ids))]
        assert found.known[0, :, k].tolist() == said
        place = torch.zeros(3) if point is None else point
        assert torch.allclose(found.places[0, closed:, k], place.expand(len(ids) - closed, 3), atol=1e-6)
        assert not found.places[0, :closed, k].any()
    for n in range(1, len(ids) + 1):
        at_end = READER.last(torch.tensor([ids[:n]]))
        for whole, end in zip(found, at_end, strict=True):
            assert torch.equal(whole[:, n - 1], end)


@pytest.mark.parametrize(
    'text',
    [
        '[(516, 450), (517, 380)]',
        '[(+0.516, -0.450, 1.041)]',
        '[Scale] [Scene]: 1.322',
        '(516, 450, 1',
        '516 450 1.041',
    ],
)
def test_what_is_no_place(text: str) -> None:
    """Points in the picture, metric points, lengths and unfinished points are not taken for places."""
    assert not READER.last(torch.tensor([TOKENIZER(text)['input_ids']])).known.any()
