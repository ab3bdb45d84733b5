# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""``robotracer bench tracespatial``: score recorded answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from robotracer_ros.bench.figures import json_safe
from robotracer_ros.bench.tracespatial.parsing import (
    FAMILIES,
    Family,
    OfficialError,
    family_of,
    official_points,
)
from robotracer_ros.bench.tracespatial.report import figures, per_sample, remarks, tell
from robotracer_ros.bench.tracespatial.samples import Answers, Dataset, load_answers, load_dataset
from robotracer_ros.bench.tracespatial.scoring import Dimensions, Rules, score
from robotracer_ros.errors import InvalidParameterError


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
) -> int:
    """Score files of answers, print the figures, return 0.

    Args:
        folder: The data set; None scores what needs no pictures, with the truth that the files hold.
        predictions: Files of answers.
        model: Name of the model that wrote them, by which its family is known; the file's name when empty.
        family: One of ``FAMILIES``, by name and content when empty.
        dimensions: ``2D`` or ``3D``, by name and content when empty.
        strict: Only the official rules.
        partial: Let samples be without an answer.
        rules: Thresholds.
        json_output: Print one JSON document.
        out: Write one JSON line per answer.

    Raises:
        InvalidParameterError: an argument is out of range, or a file does not tell what it holds.
        DatasetFileError: a file is missing or broken.
    """
    rules = check_rules(rules or Rules())
    if family and family not in FAMILIES:
        raise InvalidParameterError(f"family '{family}': must be one of {', '.join(FAMILIES)}")
    if dimensions not in ('', '2D', '3D'):
        raise InvalidParameterError(f"task '{dimensions}': must be 2D or 3D")
    if not predictions:
        raise InvalidParameterError('no answers to score: give --predictions FILE')
    dataset = load_dataset(folder) if folder is not None else None
    results, lines = [], []
    for path in predictions:
        answers = load_answers(path, dataset, partial)
        result, samples = evaluate(answers, dataset, model, family, dimensions, strict, rules)
        results.append(result)
        lines += samples
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        text = ''.join(json.dumps(json_safe(line)) + '\n' for line in lines)
        out.write_text(text, encoding='utf-8')
    if json_output:
        print(json.dumps(json_safe({'bench': 'tracespatial', 'files': results}), indent=1))
    else:
        for result in results:
            tell(result, Console())
    return 0


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
