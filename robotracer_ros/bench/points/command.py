# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""``robotracer bench points``: score recorded answers of points in masks and of ways in the picture."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from robotracer_ros.bench.figures import json_safe
from robotracer_ros.bench.points.layouts import Question, load
from robotracer_ros.bench.points.units import UNITS, pixels_of
from robotracer_ros.bench.tracer_figures import rate_dict
from robotracer_ros.bench.tracespatial.paths import path_errors, resample
from robotracer_ros.data.files import Array, DatasetFileError, read_bytes, shorten
from robotracer_ros.data.rates import Outcome, Scores
from robotracer_ros.errors import InvalidParameterError, TraceParseError

#: fields in which files of answers hold the text
_TEXTS = ('text', 'model_prediction', 'answer', 'predicted')
_ALL = 'all'


def main(
    layout: str,
    path: Path,
    predictions: Path,
    *,
    unit: str = 'thousand',
    json_output: bool = False,
    out: Path | None = None,
) -> int:
    """Score a file of answers, print the figures, return 0.

    Args:
        layout: Of the benchmark.
        path: Its folder or file.
        predictions: One JSON object a line with ``question_id`` (or ``id``) and a text; every question is answered.
        unit: In which the model writes coordinates.
        json_output: Print one JSON document.
        out: Write one JSON line per question.

    Raises:
        InvalidParameterError: an argument is out of range.
        DatasetFileError: a file is missing or broken, or a question has no answer.
    """
    if unit not in UNITS:
        raise InvalidParameterError(f"unit '{unit}': must be one of {', '.join(UNITS)}")
    questions = load(layout, path)
    texts = read_answers(predictions, questions)
    outcomes = score(questions, texts, unit)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        lines = [
            {'id': q.id, 'hits': o.hits, 'errors': o.errors, 'note': o.note}
            for q, o in zip(questions, outcomes, strict=True)
        ]
        out.write_text(''.join(json.dumps(json_safe(x)) + '\n' for x in lines), encoding='utf-8')
    result = {'bench': 'points', 'layout': layout, 'unit': unit, 'figures': figures(questions, outcomes)}
    if json_output:
        print(json.dumps(json_safe(result), indent=1))
    else:
        _tell(result, Console())
    return 0


def read_answers(path: Path, questions: Sequence[Question]) -> list[str]:
    """Return the answers to questions in their order.

    A number alone names a question of a benchmark in parts when only one part has it.

    Raises:
        DatasetFileError: a line is no answer, names no question, or a question has none, or two.
    """
    names = {q.id: q.id for q in questions}
    for q in questions:
        short = q.id.rpartition('/')[2]
        names[short] = '' if short in names and names[short] != q.id else q.id
    found: dict[str, str] = {}
    for number, line in enumerate(read_bytes(path).split(b'\n'), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise DatasetFileError(path, f'line {number}', f'is no JSON (cut off?): {error}') from error
        key, text = _answer(entry, path, number)
        name = names.get(key, '')
        if not name:
            raise DatasetFileError(path, f'line {number}', f"names no question, or several: '{key}'")
        if name in found:
            raise DatasetFileError(path, f'question {name}', 'is answered twice')
        found[name] = text
    missing = [q.id for q in questions if q.id not in found]
    if missing:
        raise DatasetFileError(
            path, '', f'holds no answer to {len(missing)} of {len(questions)} questions, the first is {missing[0]}'
        )
    return [found[q.id] for q in questions]


def score(questions: Sequence[Question], texts: Sequence[str], unit: str) -> list[Outcome]:
    """Score answers; what cannot be read misses everything and is in no mean.

    Points: ``in mask`` is the share of an answer's points that lie in the mask (what the public evaluations average),
    ``first in mask`` looks at the first one. Ways: errors in shares of the picture, both ways resampled to 100 points.
    """
    outcomes = []
    ways: list[tuple[Outcome, Array, Array]] = []
    for question, text in zip(questions, texts, strict=True):
        names = ['parsed', *(['in mask', 'first in mask'] if question.mask is not None else [])]
        outcome = Outcome(dict.fromkeys(names, 0.0))
        outcomes.append(outcome)
        try:
            points = pixels_of(text, unit, question.size)
        except TraceParseError as error:
            outcome.note = str(error)
            continue
        if question.way is not None:
            if len(points) < 2:
                outcome.note = 'one point is no way'
                continue
            way, truth = resample(points), resample(question.way)
            ways.append((outcome, way / question.size, truth / question.size))
        else:
            inside = in_mask(points, question.mask_pixels())
            outcome.hits |= {'in mask': float(inside.mean()), 'first in mask': float(inside[0])}
        outcome.hits['parsed'] = 1.0
    if ways:
        errors = path_errors(np.stack([w for _, w, _ in ways]), np.stack([t for _, _, t in ways]))
        for i, (outcome, _, _) in enumerate(ways):
            for name in ('dfd', 'hd', 'rmse', 'mae'):
                outcome.errors[name.upper()] = float(getattr(errors, name)[i])
    return outcomes


def in_mask(points: Array, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell for points (N, 2) in pixels whether they lie in a mask (H, W); fractions are cut off, as publicly."""
    height, width = mask.shape
    inside = np.asarray((points >= 0).all(axis=1) & (points < (width, height)).all(axis=1))
    whole = np.where(inside[:, None], points, 0).astype(int)
    return np.asarray(inside & mask[whole[:, 1], whole[:, 0]])


def figures(questions: Sequence[Question], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return rates and means of all questions and of every part."""
    parts: dict[str, Scores] = defaultdict(Scores)
    for question, outcome in zip(questions, outcomes, strict=True):
        parts[_ALL].add(outcome)
        if question.part:
            parts[question.part].add(outcome)
    return {
        part: {
            'rates': {k: rate_dict(r) for k, r in scores.rates.items()},
            'means': {
                k: {'mean': float(np.mean(v)), 'n': len(v)} for k, v in scores.errors.items()
            },
        }
        for part, scores in parts.items()
    }


def _answer(entry: Any, path: Path, number: int) -> tuple[str, str]:
    if not isinstance(entry, Mapping):
        raise DatasetFileError(path, f'line {number}', f'is {shorten(entry)}: must be an object')
    key = next((entry[k] for k in ('question_id', 'id') if k in entry), None)
    text = next((entry[k] for k in _TEXTS if k in entry), None)
    if key is None or not isinstance(text, str):
        raise DatasetFileError(
            path, f'line {number}', f'needs question_id (or id) and a text in one of {", ".join(_TEXTS)}'
        )
    return str(key), text


def _tell(result: Mapping[str, Any], console: Console) -> None:
    found = result['figures']
    columns = list(found[_ALL]['rates']) + list(found[_ALL]['means'])
    table = Table(title=f'{result["layout"]}, coordinates in {result["unit"]}; rates in %, 95 % Wilson intervals')
    for column in ('', *columns, 'n'):
        table.add_column(column, justify='right' if column else 'left')
    for part, figure in found.items():
        cells = []
        for column in columns:
            if column in figure['rates']:
                rate = figure['rates'][column]
                low, high = 100 * rate['low'], 100 * rate['high']
                cells.append(f'{100 * rate["rate"]:.1f} [{low:.1f}, {high:.1f}]')
            else:
                mean = figure['means'].get(column)
                cells.append('-' if mean is None else f'{mean["mean"]:.4f}')
        table.add_row(part, *cells, str(figure['rates']['parsed']['n']))
    console.print(table)
