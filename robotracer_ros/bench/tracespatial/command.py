# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""``robotracer bench tracespatial``: ask models, score answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from robotracer_ros.bench.figures import json_safe
from robotracer_ros.bench.tracespatial.ask import BASELINES, REMOTE, Asker, ask, asker
from robotracer_ros.bench.tracespatial.parsing import (
    FAMILIES,
    Family,
    OfficialError,
    family_of,
    official_points,
)
from robotracer_ros.bench.tracespatial.report import compare, figures, per_sample, remarks, tell
from robotracer_ros.bench.tracespatial.samples import Answers, Dataset, load_answers, load_dataset
from robotracer_ros.bench.tracespatial.scoring import Dimensions, Rules, score
from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.tracer.local import find_checkpoint


def main(
    folder: Path | None,
    predictions: Sequence[Path],
    *,
    model: str = '',
    family: str = '',
    dimensions: str = '',
    strict: bool = False,
    partial: bool = False,
    rules: Rules | None = None,
    json_output: bool = False,
    out: Path | None = None,
    inputs: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    answers_folder: Path = Path('runs/tracespatial'),
    samples: int | None = None,
) -> int:
    """Score files of answers, print the figures, return 0.

    Args:
        folder: The data set; None scores what needs no pictures, with the truth that the files hold.
        predictions: Files of answers. Without one, ``model`` is asked.
        model: Name of the model that wrote them, by which its family is known; the file's name when empty. To be asked:
            one or more (with commas) of :mod:`robotracer_ros.bench.tracespatial.ask`.
        family: One of ``FAMILIES``, by name and content when empty.
        dimensions: ``2D`` or ``3D``, by name and content when empty.
        strict: Only the official rules.
        partial: Let samples be without an answer.
        rules: Thresholds.
        json_output: Print one JSON document.
        out: Write one JSON line per answer.
        inputs: What the models are given, of ``INPUTS``; everything but noise when empty.
        options: Of the tracer that is asked.
        answers_folder: Where the answers of asked models are kept, and gone on with.
        samples: Ask about the first so many only.

    Raises:
        InvalidParameterError: an argument is out of range, or a file does not tell what it holds.
        DatasetFileError: a file is missing or broken.
    """
    rules = check_rules(rules or Rules())
    if family and family not in FAMILIES:
        raise InvalidParameterError(f"family '{family}': must be one of {', '.join(FAMILIES)}")
    if dimensions not in ('', '2D', '3D'):
        raise InvalidParameterError(f"task '{dimensions}': must be 2D or 3D")
    dataset = load_dataset(folder) if folder is not None else None
    if not predictions:
        if not model or dataset is None:
            raise InvalidParameterError(
                'no answers to score: give --predictions FILE, or --model NAME and the folder of the data set'
            )
        if samples is not None and samples < 1:
            raise InvalidParameterError(f'samples {samples}: must be at least 1')
        dataset = Dataset(dataset.folder, dataset.samples[:samples])
        models = [m.strip() for m in model.split(',') if m.strip()]
        dimensions = dimensions or '3D'
        predictions = ask_all(
            dataset, models, list(inputs) or ['RGB+I+D'], dimensions, options or {}, answers_folder
        )
        model, family = '', family or 'robotracer'
        partial = samples is not None
    results: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    for path in predictions:
        answers = load_answers(path, dataset, partial)
        result, said = evaluate(answers, dataset, model, family, dimensions, strict, rules)
        results.append(result)
        lines += said
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        text = ''.join(json.dumps(json_safe(line)) + '\n' for line in lines)
        out.write_text(text, encoding='utf-8')
    if json_output:
        print(json.dumps(json_safe({'bench': 'tracespatial', 'files': results}), indent=1))
    else:
        for result in results:
            tell(result, Console())
        if len(results) > 2:
            compare(results, Console())
    return 0


def ask_all(
    dataset: Dataset,
    models: Sequence[str],
    inputs: Sequence[str],
    dimensions: str,
    options: Mapping[str, Any],
    folder: Path,
) -> list[Path]:
    """Ask models with every set of inputs (baselines once); return the files of answers."""
    files = []
    for model in models:
        baseline = model in BASELINES
        for given in inputs[:1] if baseline else inputs:
            stem = Path(model).name if baseline else f'{Path(model).name}_{given}'
            path = folder / f'{stem}_{dimensions}.jsonl'
            answers = asker(model, given, dimensions, {} if baseline else options)
            asked: dict[str, Any] = {'model': model, 'task': dimensions}
            if not baseline:
                asked |= {'inputs': given, 'options': dict(options)}
                if model not in REMOTE:
                    asked['weights'] = weights_digest(model)
            failed = _with_progress(stem, dataset, path, answers, asked)
            if failed:
                Console(stderr=True).print(f'{path}: {failed} answers ended with an error, see there')
            files.append(path)
    return files


def _with_progress(
    title: str, dataset: Dataset, path: Path, answers: Asker, asked: Mapping[str, Any]
) -> int:
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(title, total=len(dataset.samples))
        return ask(dataset, path, answers, asked, lambda: progress.advance(bar))


def weights_digest(checkpoint: str) -> str:
    """Return the beginning of the SHA-256 of a checkpoint's weights."""
    digest = hashlib.sha256()
    for file in sorted(find_checkpoint(checkpoint).glob('*.safetensors')):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def build_sim(out: Path, samples: int | None = None) -> int:
    """Write TraceSpatial-Sim, or its first samples, to a folder; return 0.

    Raises:
        InvalidParameterError: ``samples`` is out of range, or a picture shows something else than the frozen one.
    """
    from robotracer_ros.bench.tracespatial import sim

    frozen = sim.index()
    if samples is not None and not 1 <= samples <= len(frozen):
        raise InvalidParameterError(f'samples {samples}: must be in 1..{len(frozen)}')
    chosen = frozen[:samples]
    other = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task('samples', total=len(chosen))
        for number, same in sim.build(out, chosen):
            other += [] if same else [number]
            progress.advance(bar)
    print(f'{out}: {len(chosen)} samples, {len(chosen) - len(other)} the same to the last pixel')
    if other:
        print(f'single pixels differ, as other processors may round them: {other}')
    return 0


def parse_options(settings: Sequence[str]) -> dict[str, Any]:
    """Return options of KEY=VALUE texts; values that are JSON (numbers, true, false) are taken as such.

    Raises:
        InvalidParameterError: a text has no '='.
    """
    options: dict[str, Any] = {}
    for text in settings:
        key, mark, value = text.partition('=')
        if not mark or not key:
            raise InvalidParameterError(f"--set '{text}': must be KEY=VALUE")
        try:
            options[key] = json.loads(value)
        except ValueError:
            options[key] = value
    return options


def check_rules(rules: Rules) -> Rules:
    """Return rules that make sense. Raises InvalidParameterError."""
    if not 0 < rules.threshold_m < np.inf:
        raise InvalidParameterError(f'threshold {rules.threshold_m} m: must be > 0')
    if not 0 <= rules.collision_ratio <= 1:
        raise InvalidParameterError(f'collision ratio {rules.collision_ratio}: must be in 0..1')
    if rules.unseen not in ('free', 'occupied'):
        raise InvalidParameterError(f"unseen '{rules.unseen}': must be free or occupied")
    return rules


def evaluate(
    answers: Answers,
    dataset: Dataset | None,
    model: str = '',
    family: str = '',
    dimensions: str = '',
    strict: bool = False,
    rules: Rules | None = None,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Score a file of answers; arguments as :func:`main` has them.

    Returns:
        Its figures, and one object per answer.
    """
    rules = rules or Rules()
    name = model or answers.name
    texts = [a.text for a in answers.answers]
    kind: Family = family or family_of(name, texts)  # type: ignore[assignment]
    asked = dimensions or dimensions_of(answers, kind)
    scored = score(answers, asked, kind, dataset, rules)  # type: ignore[arg-type]
    result = {
        'name': name,
        'file': answers.path.name,
        'family': kind,
        'dimensions': asked,
        'answers': len(answers.answers),
        'pictures': dataset is not None,
        'threshold_m': rules.threshold_m,
        'collision_ratio': rules.collision_ratio,
        'unseen': rules.unseen,
        'figures': figures(scored, strict),
        'remarks': remarks(rules, dataset is not None, strict),
    }
    ids = [a.sample.id for a in answers.answers]
    lines = [{'file': answers.path.name, **line} for line in per_sample(ids, scored)]
    return result, lines


def dimensions_of(answers: Answers, family: Family) -> Dimensions:
    """Return whether points in the picture or in space were asked for: by the file's name, else by most answers."""
    for word in ('2D', '3D'):
        if answers.name.endswith(f'_{word}'):
            return word
    flat = deep = 0
    for answer in answers.answers:
        try:
            points = official_points(answer.text, family)
        except OfficialError:
            continue
        if points.ndim == 2 and len(points):
            deep += points.shape[1] == 3
            flat += points.shape[1] == 2
    if flat == deep:
        raise InvalidParameterError(
            f"'{answers.path}': neither its name (_2D, _3D) nor its answers ({flat} with two numbers a point, {deep} "
            'with three) tell what was asked: give --task'
        )
    return '2D' if flat > deep else '3D'
