# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Scores by greedy decoding on held-out scenes. Teacher-forced losses say nothing about grounding
and are not reported.

Every referring answer is scored against the object that was named, against every other visible
object of the same scene
(control), and beside what a perfect localiser that ignores the name would reach (1 / number of
visible objects).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from robotracer_ros.data.facts import SceneFacts
from robotracer_ros.data.qa import Sample, sample_questions
from robotracer_ros.data.split import Split
from robotracer_ros.errors import TraceParseError
from robotracer_ros.geometry.transforms import apply
from robotracer_ros.sim.spec import Rendering, Scene
from robotracer_ros.tracer.model.decode import greedy, question_ids
from robotracer_ros.tracer.model.images import pack_image
from robotracer_ros.tracer.model.modeling import RoboTracerForConditionalGeneration
from robotracer_ros.tracer.text import parse_answer, parse_length
from robotracer_ros.training.scene_cache import SceneCache

REFER = {'refer': 1.0}
TRACE_THINK, TRACE = {'trace_3d_think': 1.0}, {'trace_3d': 1.0}


@dataclass
class Rate:
    """Successes of trials with a 95 % Wilson interval."""

    hits: float = 0.0
    n: int = 0

    def add(self, hit: float) -> None:
        """Count a trial."""
        self.hits += float(hit)
        self.n += 1

    @property
    def value(self) -> float:
        """Share of hits."""
        return self.hits / self.n if self.n else float('nan')

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson interval, 95 %."""
        if not self.n:
            return (0.0, 1.0)
        z, p, n = 1.96, self.value, self.n
        middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        low, high = (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)
        return max(0.0, low), min(1.0, high)

    def __str__(self) -> str:
        low, high = self.interval
        return f'{100 * self.value:.1f} % [{100 * low:.1f}, {100 * high:.1f}] (n={self.n})'


@dataclass
class Scores:
    """Rates by name, and lists of errors by name (median is reported)."""

    rates: dict[str, Rate] = field(default_factory=dict)
    errors: dict[str, list[float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def hit(self, name: str, value: float) -> None:
        """Count a trial of a rate."""
        self.rates.setdefault(name, Rate()).add(value)

    def error(self, name: str, value: float) -> None:
        """Note an error."""
        self.errors.setdefault(name, []).append(value)

    def summary(self) -> dict[str, str]:
        """Return readable figures."""
        lines = {k: str(v) for k, v in sorted(self.rates.items())}
        return lines | {
            f'median {k}': f'{np.median(v):.4f} (n={len(v)})'
            for k, v in sorted(self.errors.items())
        }


def in_mask(image: Rendering, uv: NDArray[np.float64], index: int, slack: int = 0) -> bool:
    """Tell whether (u, v) in 0..1000 falls on an object's visible pixels, within ``slack`` pixels."""
    h, w = image.segmentation.shape
    x, y = int(np.clip(uv[0] / 1000 * w, 0, w - 1)), int(np.clip(uv[1] / 1000 * h, 0, h - 1))
    return bool(
        (
            image.segmentation[max(0, y - slack) : y + slack + 1, max(0, x - slack) : x + slack + 1]
            == index
        ).any()
    )


def score_refer(
    scores: Scores,
    sample: Sample,
    text: str,
    facts: SceneFacts,
    image: Rendering,
    prefix: str = 'refer',
) -> None:
    """Score one referring answer."""
    visible = [o for o in facts.objects if o.visible]
    named = next(o for o in facts.objects if o.object.id == sample.target_ids[0])
    scores.hit(f'{prefix} name-blind 1/n', 1.0 / len(visible))
    try:
        points = parse_answer(text).points
    except TraceParseError:
        points = np.zeros((0, 3))
    ok = points.shape == (1, 3) and bool(
        (points[0, :2] >= 0).all() and (points[0, :2] <= 1000).all()
    )
    scores.hit(f'{prefix} parsed', ok)
    if not ok:
        for what in ('named <50', 'named in mask', 'named <3cm', 'nearest is named'):
            scores.hit(f'{prefix} {what}', False)
        return
    uv, d = points[0, :2], points[0, 2]
    distance = {o.index: float(np.linalg.norm(uv - o.uvd[:2])) for o in visible}
    scores.hit(f'{prefix} named <50', distance.get(named.index, 1e9) < 50)
    scores.hit(f'{prefix} named in mask', in_mask(image, uv, named.index))
    scores.hit(f'{prefix} nearest is named', min(distance, key=distance.__getitem__) == named.index)
    for o in visible:
        if o is not named:
            scores.hit(f'{prefix} other <50 (control)', distance[o.index] < 50)
    world = lift_to_world(facts.scene, points[:1])[0]
    off = float(np.linalg.norm(world - named.surface))
    scores.hit(f'{prefix} named <3cm', off < 0.03)
    scores.error(f'{prefix} distance to named (m)', off)
    scores.error(f'{prefix} depth error (m)', abs(float(d) - named.uvd[2]))


def lift_to_world(scene: Scene, uvd: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lift (N, 3) points (u, v, d) to the world."""
    return apply(scene.world_from_camera, scene.camera.lift(uvd))


def distance_to_object(
    facts: SceneFacts, image: Rendering, index: int, world: NDArray[np.float64]
) -> float:
    """Return the distance (m) from a world point to the nearest visible surface point of an object."""
    ys, xs = np.nonzero(image.segmentation == index)
    if not len(ys):
        return float('inf')
    scene = facts.scene
    surface = apply(
        scene.world_from_camera,
        scene.camera.lift_pixels(np.stack([xs, ys], 1), image.depth[ys, xs]),
    )
    return float(np.linalg.norm(surface - world, axis=1).min())


def score_trace(
    scores: Scores, sample: Sample, text: str, facts: SceneFacts, image: Rendering, prefix: str
) -> None:
    """Score one trace.

    Start within 3 cm of the object's surface and on no other, end inside the goal region.
    """
    task = sample.task
    assert task is not None
    names = [f'{prefix} parsed', f'{prefix} start <3cm', f'{prefix} start in mask']
    if task.goal is not None:
        names += [f'{prefix} end in goal', f'{prefix} start+end']
    try:
        points = parse_answer(text).points
    except TraceParseError:
        points = np.zeros((0, 3))
    good = (
        len(points) >= 2
        and points.shape[1] == 3
        and bool((points > 0).all() and (points[:, :2] <= 1000).all())
    )
    if not good:
        for name in names:
            scores.hit(name, False)
        return
    scores.hit(names[0], True)
    world = lift_to_world(facts.scene, points)
    moved = next(o for o in facts.objects if o.object.id == task.moved)
    start = distance_to_object(facts, image, moved.index, world[0]) < 0.03
    scores.hit(names[1], start)
    scores.hit(names[2], in_mask(image, points[0, :2], moved.index))
    if task.goal is not None:
        end = task.goal.contains(world[-1])
        scores.hit(names[3], end)
        scores.hit(names[4], start and end)
        scores.hit(f'{prefix} start+end {task.primitive}', start and end)
        scores.error(
            f'{prefix} end distance to true end (m)',
            float(np.linalg.norm(world[-1] - task.path[-1])),
        )
        if not (start and end) and len(scores.failures) < 200:
            scores.failures.append(
                f'{task.primitive} {task.relation}: start {start} end {end} | {task.instruction} | {text} | '
                f'true {np.round(task.trace, 3).tolist()}'
            )


def score_measure(scores: Scores, sample: Sample, text: str) -> None:
    """Score one length: within 15 % and within a factor of 2."""
    assert sample.metres is not None
    try:
        metres, _ = parse_length(text)
    except TraceParseError:
        scores.hit('measure parsed', False)
        return
    scores.hit('measure parsed', True)
    scores.hit('measure within 15 %', abs(metres / sample.metres - 1) < 0.15)
    scores.error('measure relative error', abs(metres / sample.metres - 1))


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
    """
    given = {'rays': True, 'depth': True, 'pose': True} | dict(inputs or {})
    scores = Scores()
    training = model.training
    model.eval()
    for i in scenes:
        rng = np.random.default_rng([seed, i])
        scene, image = cache.scene(i), cache.rendering(i)
        facts = SceneFacts(scene, image)
        pixels = pack_image(
            image.rgb,
            image.depth if given['depth'] else None,
            scene.camera if given['rays'] else None,
            scene.world_from_camera if given['pose'] else None,
        )
        groups: list[tuple[str, list[Sample], int]] = []
        if refer:
            groups.append(('refer', sample_questions(facts, rng, refer, split, REFER), 16))
        if measures:
            groups.append(
                ('measure', sample_questions(facts, rng, measures, split, {'measure': 1.0}), 40)
            )
        if traces:
            state = rng.bit_generator.state
            groups.append(('think', sample_questions(facts, rng, traces, split, TRACE_THINK), 256))
            rng.bit_generator.state = state
            groups.append(('direct', sample_questions(facts, rng, traces, split, TRACE), 96))
        for group, samples, limit in groups:
            if not samples:
                continue
            decoded = greedy(
                model, pixels, [question_ids(tokenizer, s.prompt) for s in samples], limit
            )
            for s, tokens in zip(samples, decoded.tokens, strict=True):
                text = tokenizer.decode(tokens)
                if group == 'refer':
                    score_refer(scores, s, text, facts, image)
                elif group == 'measure':
                    score_measure(scores, s, text)
                else:
                    score_trace(scores, s, text, facts, image, group)
        scores.error('scale log error', abs(math.log(decoded.scale) - math.log(facts.scale)))
    model.train(training)
    return scores
