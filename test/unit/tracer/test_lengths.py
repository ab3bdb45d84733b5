# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The lengths that a text has said, as the step reader gets them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robotracer_ros.tracer.model.lengths import SaidLengths
from robotracer_ros.tracer.model.tokenizer import build_tokenizer
from robotracer_ros.tracer.text import write_length

TOKENIZER = build_tokenizer()
LENGTHS = SaidLengths(len(TOKENIZER))
LENGTHS.learn(TOKENIZER)


def said(text: str) -> list[float]:
    """Return the last length at every token."""
    found = LENGTHS(torch.tensor([TOKENIZER(text)['input_ids']]))[0]
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
    assert float(LENGTHS.last(ids)) == pytest.approx(metres, rel=1e-4)


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
        assert float(LENGTHS.last(torch.tensor([ids[:n]]))) == pytest.approx(found[n - 1], abs=1e-5)


def test_rows_of_a_padded_batch_stay_apart() -> None:
    """Padding on the left says nothing and shifts nothing."""
    rows = [TOKENIZER(t)['input_ids'] for t in ('by 5 inches', 'move it 30 cm to the left')]
    width = max(len(r) for r in rows)
    padded = torch.tensor([[TOKENIZER.pad_token_id] * (width - len(r)) + r for r in rows])
    assert LENGTHS.last(padded).tolist() == pytest.approx([0.127, 0.30])


@settings(max_examples=200, deadline=None)
@given(st.floats(0.01, 0.9), st.sampled_from(['meters', 'centimeters', 'millimeters', 'inches']))
def test_reads_what_the_writer_writes(metres: float, unit: str) -> None:
    """A written length is read back to its third decimal."""
    text = write_length(metres, unit)
    assert said(f'[Measuring] [it]: {text}')[-1] == pytest.approx(metres, abs=6e-4)


def test_without_a_table_nothing_is_found() -> None:
    """A vocabulary that was never learned holds no lengths."""
    empty = SaidLengths(len(TOKENIZER))
    assert empty(torch.tensor([TOKENIZER('14 cm away')['input_ids']])).abs().sum() == 0
