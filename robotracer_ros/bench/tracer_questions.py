# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What ``robotracer bench tracer`` asks about a scene, and who answers.

Everything follows from the seed and the split: one trace task, asked with and without reasoning, and on every second
scene two referring questions and one measurement.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from robotracer_ros.bench.tracer_features import held_out_features, way_of_naming
from robotracer_ros.data.facts import SceneFacts
from robotracer_ros.data.generate import rendering_of, scene_batch
from robotracer_ros.data.qa import Sample, sample_questions, trace
from robotracer_ros.data.split import SPLITS, Split
from robotracer_ros.data.tasks import sample_tasks
from robotracer_ros.sim.scenes import generate_scene
from robotracer_ros.sim.spec import Rendering, Scene
from robotracer_ros.tracer.base import Observation
from robotracer_ros.tracer.local import LocalTracer

#: which geometry goes in beside the image, by the name of the condition
CONDITIONS: Mapping[str, frozenset[str]] = {
    'RGB': frozenset(),
    'RGB+I': frozenset({'rays'}),
    'RGB+D': frozenset({'depth'}),
    'RGB+I+D': frozenset({'rays', 'depth'}),
    'RGB+I+D+pose': frozenset({'rays', 'depth', 'pose'}),
}
#: what the perception node gives to the model
DEPLOYED = 'RGB+I+D+pose'
#: how a question is asked, in the order of the tables
MODES = ('think', 'direct', 'refer', 'measure')
#: referring questions and measurements about every such scene
SHARE, REFERS, MEASURES = 2, 2, 1
#: questions are not those that training or its evaluation draws
_STREAM = 90210


@dataclass(frozen=True)
class Question:
    """A question with its truth.

    Attributes:
        mode: One of ``MODES``.
        sample: Prompt and true answer.
        groups: Axis to value, for figures of parts.
    """

    mode: str
    sample: Sample
    groups: dict[str, str]


def picture(seed: int) -> tuple[SceneFacts, Rendering]:
    """Return the facts of the scene of a seed, and its rendering as a camera gives it (depth in whole millimetres)."""
    batch = scene_batch(seed)
    image = rendering_of(batch)
    return SceneFacts(batch['scene'], image), image


def questions(seed: int, facts: SceneFacts, split: Split) -> list[Question]:
    """Return the questions about the scene of a seed; without a trace where the scene yields no task of the split."""

    def rng(part: int) -> np.random.Generator:
        return np.random.default_rng([_STREAM, seed, SPLITS.index(split), part])

    found: list[Question] = []
    for task in sample_tasks(facts, rng(0), 1, split=split):
        groups = {
            'primitive': task.primitive,
            'relation': task.relation,
            'reasoning steps': str(len(task.reasoning)),
            'held-out features': str(held_out_features(task.instruction, split, task, facts.scene)),
        }
        for mode, kind in (('think', 'trace_3d_think'), ('direct', 'trace_3d')):
            found.append(Question(mode, trace(facts, task, kind), groups))
    if seed % SHARE == 0:
        for part, (mode, n) in enumerate((('refer', REFERS), ('measure', MEASURES)), 1):
            for sample in sample_questions(facts, rng(part), n, split, {mode: 1.0}):
                groups = {'held-out features': str(held_out_features(sample.prompt, split))}
                if mode == 'refer':
                    groups['named by'] = way_of_naming(sample.prompt)
                found.append(Question(mode, sample, groups))
    return found


class Answerer(Protocol):
    """Answers questions about a scene."""

    def __call__(
        self, scene: Scene, image: Rendering, condition: str, asked: Sequence[Question]
    ) -> tuple[list[str], float]:
        """Return one text for each question, and the metric scale in metres, NaN when there is none."""


class Model:
    """A checkpoint, run as the perception node runs it.

    Args:
        checkpoint: Name of a shipped one, or a folder.
    """

    def __init__(self, checkpoint: str) -> None:
        self._tracer = LocalTracer(checkpoint, threads=1)
        self._tracer.load()

    def __call__(
        self, scene: Scene, image: Rendering, condition: str, asked: Sequence[Question]
    ) -> tuple[list[str], float]:
        """Answer all questions in one batch."""
        given = CONDITIONS[condition]
        seen = Observation(
            image.rgb,
            image.depth if 'depth' in given else None,
            scene.camera if 'rays' in given else None,
            scene.world_from_camera if 'pose' in given else None,
        )
        written = self._tracer.ask_all(seen, [q.sample.prompt for q in asked])
        return [w.text for w in written], written[0].scale


def oracle(
    scene: Scene, image: Rendering, condition: str, asked: Sequence[Question]
) -> tuple[list[str], float]:
    """Answer with the truth: what is not right then is an error of the scoring or of the generator."""
    return [q.sample.answer for q in asked], math.nan


class Shuffled:
    """Answers with the truth about the next scene: what is right then is luck.

    Args:
        split: Of the questions.
    """

    def __init__(self, split: Split) -> None:
        self._split = split

    def __call__(
        self, scene: Scene, image: Rendering, condition: str, asked: Sequence[Question]
    ) -> tuple[list[str], float]:
        """Answer every question with an answer of the same mode."""
        answers: dict[str, list[str]] = {}
        seed = scene.seed
        while any(q.mode not in answers for q in asked):
            seed += 1
            for q in questions(seed, SceneFacts(generate_scene(seed)), self._split):
                answers.setdefault(q.mode, []).append(q.sample.answer)
        count: dict[str, int] = {}
        texts = []
        for q in asked:
            k = count[q.mode] = count.get(q.mode, -1) + 1
            texts.append(answers[q.mode][k % len(answers[q.mode])])
        return texts, math.nan
