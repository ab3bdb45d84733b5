# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Another scale is really put into the text, and a way is said to help only where it does."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from robotracer_ros.bench import decoded_scale
from robotracer_ros.bench.tracer_questions import picture, questions
from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.tracer.decoding import Decoded
from robotracer_ros.tracer.model.processor import question_ids
from robotracer_ros.tracer.model.tokenizer import build_tokenizer

SEED = 3


class Scaled:
    """Writes the true answer as of a scene 1.1 times as large, or of the scale that its text begins with."""

    name, image_width, image_height, prefix_tokens = 'scaled', 320, 240, 301

    def __init__(self, scale: float) -> None:
        self._tokenizer = build_tokenizer()
        facts, _ = picture(SEED)
        sample = next(q.sample for q in questions(SEED, facts, 'val') if q.mode == 'think')
        self._true, self._answer, self._scale = facts.scale, sample.answer, scale
        self._question = self.encode(sample.prompt)
        self.begun: list[str] = []

    def encode(self, prompt: str) -> list[int]:
        return question_ids(self._tokenizer, prompt)

    def text(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(tokens)))

    def greedy(
        self,
        pixels: NDArray[np.float32],
        prompts: Sequence[Sequence[int]],
        max_new: int,
        check: Callable[[], None] | None = None,
    ) -> Decoded:
        written = []
        for prompt in prompts:
            assert list(prompt[: len(self._question)]) == self._question
            begun = self.text(prompt[len(self._question) :])
            scale = float(begun.rsplit(' ', 1)[1]) if begun else 1.1 * self._true
            answer = self._with_scale(scale)
            assert answer.startswith(begun), 'the text goes on where it was begun'
            self.begun += [begun] if begun else []
            written.append(self._tokenizer(answer[len(begun) :], add_special_tokens=False)['input_ids'])
        return Decoded(written, [True] * len(written), self._scale)

    def _with_scale(self, scale: float) -> str:
        factor = scale / self._true

        def larger(match: re.Match[str]) -> str:
            return f', {float(match[1]) * factor:.3f})'

        text = re.sub(r', ([0-9]\.[0-9]{3})\)', larger, self._answer)
        return re.sub(r'(\[Scale\] \[Scene\]: )[0-9.]+', rf'\g<1>{scale:.3f}', text)


def test_depths_follow_the_scale_that_is_put_into_the_text() -> None:
    facts, _ = picture(SEED)
    decoder = Scaled(scale=1.02 * facts.scale)
    errors = decoded_scale.ask_scene(SEED, decoder, ['RGB'])['RGB']
    expected = {
        'as written': 1.1, 'decoded, in the text': 1.02, 'decoded, ratio': 1.02,
        'true, in the text': 1.0, 'true, ratio': 1.0,
    }  # fmt: skip
    assert set(errors) == {*decoded_scale.WAYS, 'scale'}
    for way, factor in expected.items():
        assert errors[way][0] == pytest.approx(math.log(factor), abs=0.006), way
    assert errors['scale'] == pytest.approx([math.log(1.02), math.log(1.1)], abs=0.001)
    assert decoder.begun == [
        f'<think>\n[Scale] [Scene]: {s:.3f}' for s in (1.02 * facts.scale, facts.scale)
    ]


def test_a_difference_comes_with_its_interval() -> None:
    rng = np.random.default_rng(0)
    lines: list[dict[str, list[float]] | None] = [None]
    for _ in range(60):
        off = float(rng.normal(0, 0.05))
        lines.append({
            'as written': [off], 'decoded, in the text': [0.5 * off], 'decoded, ratio': [2 * off],
            'true, in the text': [off], 'true, ratio': [-off], 'scale': [0.01, -0.02],
        })  # fmt: skip
    found = decoded_scale.figures(lines)
    assert found['n'] == 60
    mean, low, high = found['decoded, in the text']['difference']
    assert low < mean < high < 0, 'helps'
    assert found['decoded, ratio']['difference'][1] > 0, 'harms'
    assert found['true, ratio']['difference'] == pytest.approx([0, 0, 0])
    assert found['scale'] == pytest.approx({'decoded': 0.01, 'written': 0.02})
    assert decoded_scale.figures([None, {}]) == {'n': 0}
    console = Console(record=True, width=140)
    decoded_scale.tell({'checkpoint': 'x', 'figures': {'RGB': found, 'RGB+I': {'n': 0}}}, console)
    assert 'decoded, ratio' in console.export_text()


def test_results_of_an_earlier_run_are_read_without_the_line_that_was_cut_off(tmp_path: Path) -> None:
    file = tmp_path / 'r.jsonl'
    file.write_text(json.dumps({'seed': 0, 'errors': {}}) + '\n{"seed": 1, "err')
    assert list(decoded_scale._read(file)) == [0]
    assert file.read_text().endswith('}\n')


@pytest.mark.parametrize(('options', 'words'), [
    ({'conditions': ['D']}, "conditions 'D'"), ({'scenes': 0}, 'scenes 0'), ({'conditions': []}, 'conditions'),
])  # fmt: skip
def test_arguments_are_checked(options: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidParameterError, match=words):
        decoded_scale.main(**({'scenes': 1} | options))  # type: ignore[arg-type]
