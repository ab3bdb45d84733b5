# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Every text survives the tokenizer; numbers are single tokens; roles are found."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from robotracer_ros.geometry.trace import TraceKind
from robotracer_ros.tracer.model.tokenizer import SPECIAL, NumberTokens, build_tokenizer
from robotracer_ros.tracer.prompts import lift_prompt, measure_prompt, refer_prompt, trace_prompt

TOKENIZER = build_tokenizer()
ANSWER = (
    '<think>\n[Scale] [Scene]: 1.498\n[Referring] [the leftmost tray]: [(369, 0, 1.037)]\n[Measuring] [the distance to '
    'move]: 14.000 centimeters\n</think>\n<answer>[(466, 458, 1.095), (1000, 7, 0.099)]</answer>'
)


def test_every_number_is_one_token() -> None:
    for text in [str(i) for i in range(1001)] + [f'{i:03d}' for i in range(1000)]:
        ids = TOKENIZER.encode(text, add_special_tokens=False)
        assert len(ids) == 1 and TOKENIZER.decode(ids) == text


def test_answer_is_short_and_unchanged() -> None:
    ids = TOKENIZER.encode(ANSWER, add_special_tokens=False)
    assert TOKENIZER.decode(ids) == ANSWER
    assert len(ids) <= 40


def test_roles() -> None:
    ids = TOKENIZER.encode(ANSWER, add_special_tokens=False)
    roles = NumberTokens(TOKENIZER).roles(ids)
    found = [(r, TOKENIZER.decode([i])) for r, i in zip(roles, ids, strict=True) if r]
    assert found == [
        ('f', '498'),
        ('u', '369'),
        ('v', '0'),
        ('d', '037'),
        ('f', '000'),
        ('u', '466'),
        ('v', '458'),
        ('d', '095'),
        ('u', '1000'),
        ('v', '7'),
        ('d', '099'),
    ]


def test_prompts_are_unchanged_and_their_fixed_parts_cheap() -> None:
    for kind in TraceKind:
        for dimensions in (2, 3):
            text = trace_prompt('Put it there.', kind=kind, dimensions=dimensions)
            ids = TOKENIZER.encode(text, add_special_tokens=False)
            assert TOKENIZER.decode(ids) == text and len(ids) == 7
        text = lift_prompt('Put it there', [[1, 2], [3, 4]], kind=kind)
        assert TOKENIZER.decode(TOKENIZER.encode(text, add_special_tokens=False)) == text
    assert len(TOKENIZER.encode(refer_prompt('the red mug'), add_special_tokens=False)) == 5
    assert len(TOKENIZER.encode(measure_prompt('the height'), add_special_tokens=False)) == 4


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60).filter(lambda t: not any(s in t for s in SPECIAL)))
def test_any_text_round_trips(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text, add_special_tokens=False)) == text
