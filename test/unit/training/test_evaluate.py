# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Evaluation during training asks the same questions with less geometry, and leaves the model as it was."""

import pytest

from robotracer_ros.tracer.model.tokenizer import build_tokenizer
from robotracer_ros.training.evaluate import evaluate
from robotracer_ros.training.scene_cache import SceneCache


def test_a_model_is_scored_on_a_scene_with_each_kind_of_question(tmp_path, micro_model):
    cache = SceneCache(tmp_path, first=40, capacity=1)
    cache.fill()
    model = micro_model().train()
    found = [
        evaluate(
            model, build_tokenizer(), cache, range(1), refer=2, traces=1, measures=1, inputs=inputs
        )
        for inputs in (None, {'depth': False, 'rays': False, 'pose': False})
    ]
    assert model.training
    for scores in found:
        counts = {name: rate.n for name, rate in scores.rates.items()}
        assert counts['refer parsed'] == 2
        assert counts['measure parsed'] == 1
        for mode in ('think', 'direct'):
            assert counts[f'{mode} overall'] == counts[f'{mode} sensor overall'] == 1
            assert scores.rates[f'{mode} overall'].value == 0.0, 'it has learnt nothing'
        assert len(scores.failures) == 2
    scales = [scores.errors['scale log error'][0] for scores in found]
    assert scales[0] != pytest.approx(scales[1]), 'geometry reaches the model'
