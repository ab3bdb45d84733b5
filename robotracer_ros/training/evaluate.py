# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Scores by greedy decoding on held-out scenes. Teacher-forced losses say nothing about grounding
and are not reported.

The rules are those of :mod:`robotracer_ros.data.score`, the same as in ``robotracer bench tracer``.
Every referring answer is scored against the object that was named, against every other visible
object of the same scene (control), and beside what a perfect localiser that ignores the name would
reach (1 / number of visible objects).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from robotracer_ros.data.facts import SceneFacts
from robotracer_ros.data.qa import Sample, sample_questions
from robotracer_ros.data.rates import Rate, Scores
from robotracer_ros.data.score import Judge
from robotracer_ros.data.split import Split
from robotracer_ros.sim.spec import Rendering, Scene
from robotracer_ros.tracer.model.decode import greedy, question_ids
from robotracer_ros.tracer.model.images import pack_image
from robotracer_ros.tracer.model.modeling import RoboTracerForConditionalGeneration
from robotracer_ros.training.scene_cache import SceneCache

__all__ = ['Rate', 'Scores', 'evaluate']

#: tokens of an answer at most: traces after nine steps of reasoning are the longest
MAX_NEW = 320
#: failed traces that are kept for reading
_MAX_FAILURES = 200


def _packed(
    model: RoboTracerForConditionalGeneration,
    scene: Scene,
    image: Rendering,
    given: frozenset[str],
) -> Tensor:
    """Return the packed pixels of a picture with some of its geometry.

    Args:
        model: Says how large a picture is for it.
        scene: Camera and pose.
        image: Colours and depth.
        given: Any of ``rays``, ``depth``, ``pose``.
    """
    grid = model.config.spatial_config
    return pack_image(
        image.rgb,
        image.depth if 'depth' in given else None,
        scene.camera if 'rays' in given else None,
        scene.world_from_camera if 'pose' in given else None,
        width=grid.image_width,
        height=grid.image_height,
    )


def _answer_all(
    model: RoboTracerForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    pixels: Tensor,
    prompts: Sequence[str],
) -> tuple[list[str], float]:
    """Answer all questions about one picture in one batch; return the texts and the metric scale."""
    ids = [question_ids(tokenizer, prompt) for prompt in prompts]
    decoded = greedy(model, pixels, ids, MAX_NEW)
    return [str(tokenizer.decode(tokens)) for tokens in decoded.tokens], decoded.scale


def evaluate(
    model: RoboTracerForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    cache: SceneCache,
    scenes: Sequence[int],
    *,
    split: Split = 'val',
    refer: int = 6,
    traces: int = 2,
    measures: int = 2,
    inputs: Mapping[str, bool] | None = None,
    seed: int = 0,
    answer: Callable[[Tensor, Sequence[str]], tuple[list[str], float]] | None = None,
) -> Scores:
    """Ask about held-out scenes and score the greedy answers.

    Args:
        model: Put into evaluation mode and back.
        tokenizer: Of the model.
        cache: Validation scenes.
        scenes: Which of them.
        split: Wording and compositions.
        refer: Referring questions per scene.
        traces: Tasks per scene; each is asked with and without reasoning.
        measures: Measuring questions per scene.
        inputs: ``rays``, ``depth``, ``pose``: False leaves one out.
        seed: Of the questions.
        answer: Answers the questions about packed pixels (C, H, W) and tells the metric scale; by
            default the model's own greedy loop.
    """
    left_out = {name for name, is_given in (inputs or {}).items() if not is_given}
    given = frozenset({'rays', 'depth', 'pose'}) - left_out
    scores = Scores()
    training = model.training
    model.eval()
    for i in scenes:
        rng = np.random.default_rng([seed, i])
        scene, image = cache.scene(i), cache.rendering(i)
        facts = SceneFacts(scene, image)
        samples = _questions(facts, rng, split, refer, traces, measures)
        if not samples:
            continue
        pixels = _packed(model, scene, image, given)
        prompts = [s.prompt for _, s in samples]
        if answer is None:
            texts, scale = _answer_all(model, tokenizer, pixels, prompts)
        else:
            texts, scale = answer(pixels, prompts)
        judge = Judge(facts, image)
        for (group, sample), text in zip(samples, texts, strict=True):
            outcome = judge.score(sample, text)
            scores.add(outcome, f'{group} ')
            task = sample.task
            if task is not None and task.goal is not None:
                scores.rates.setdefault(f'{group} start+end {task.primitive}', Rate()).add(
                    outcome.hits['start+end']
                )
            if task is not None and outcome.note and len(scores.failures) < _MAX_FAILURES:
                scores.failures.append(
                    f'{task.primitive} {task.relation}: {outcome.note} | {task.instruction} | '
                    f'{text} | true {np.round(task.trace, 3).tolist()}'
                )
        scores.errors.setdefault('scale log error', []).append(
            abs(math.log(scale) - math.log(facts.scale))
        )
    model.train(training)
    return scores


def _questions(
    facts: SceneFacts, rng: np.random.Generator, split: Split, refer: int, traces: int, measures: int
) -> list[tuple[str, Sample]]:
    """Draw questions; the same tasks are asked with (think) and without reasoning (direct)."""
    found: list[tuple[str, Sample]] = []
    for group, n in (('refer', refer), ('measure', measures)):
        if n:
            found += [(group, s) for s in sample_questions(facts, rng, n, split, {group: 1.0})]
    if traces:
        state = rng.bit_generator.state
        for group, kind in (('think', 'trace_3d_think'), ('direct', 'trace_3d')):
            rng.bit_generator.state = state
            asked = sample_questions(facts, rng, traces, split, {kind: 1.0})
            found += [(group, s) for s in asked]
    return found
