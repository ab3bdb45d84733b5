# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""``robotracer bench report``: one HTML page and one Markdown file about files of answers, worst samples first.

The page stands alone: pictures and plots are in it, nothing is loaded, no script runs. Prompts and answers are other
people's text and are escaped.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robotracer_ros.bench.tracespatial.command import check_rules, evaluate
from robotracer_ros.bench.tracespatial.parsing import points_of
from robotracer_ros.bench.tracespatial.picture import data_uri, from_the_side, overlay
from robotracer_ros.bench.tracespatial.report import TITLES
from robotracer_ros.bench.tracespatial.samples import (
    Answer,
    Answers,
    Dataset,
    load_answers,
    load_dataset,
)
from robotracer_ros.bench.tracespatial.scoring import Rules
from robotracer_ros.errors import InvalidParameterError, TraceParseError

_STYLE = (
    'body{font:15px sans-serif;margin:2em auto;max-width:1060px;color:#222}table{border-collapse:collapse}'
    'td,th{padding:.2em .8em;border-bottom:1px solid #ddd;text-align:right}'
    'td:first-child,th:first-child{text-align:left}'
    'article{border-top:2px solid #ddd;padding:1em 0}img{width:480px;max-width:49%}'
    'pre{white-space:pre-wrap;color:#555}li{display:inline;margin-right:1em}'
    '.bad{color:#c0392b}.good{color:#1e8449}i.t{color:#27ae60}i.a{color:#e74c3c}i.b{color:#2980b9}'
)
_BAR = {'official': '#7f8c8d', 'mended': '#2980b9'}
_ANSWER_CHARS = 1500


def main(
    folder: Path | None,
    predictions: Sequence[Path],
    out: Path,
    *,
    worst: int = 24,
    partial: bool = False,
    rules: Rules | None = None,
) -> int:
    """Write ``report.html`` and ``report.md``; return 0.

    Args:
        folder: The data set; None leaves pictures and what needs them out.
        predictions: Files of answers.
        out: Folder for the report.
        worst: Samples in the gallery of each file, 0 for none.
        partial: Let samples be without an answer.
        rules: Thresholds.

    Raises:
        InvalidParameterError: an argument is out of range, or a file does not tell what it holds.
        DatasetFileError: a file is missing or broken.
    """
    rules = check_rules(rules or Rules())
    if worst < 0:
        raise InvalidParameterError(f'worst {worst}: must be >= 0')
    if not predictions:
        raise InvalidParameterError('nothing to report: give --predictions FILE')
    dataset = load_dataset(folder) if folder is not None else None
    sections, lines = [], ['# TraceSpatial-Bench', '']
    for path in predictions:
        answers = load_answers(path, dataset, partial)
        result, samples = evaluate(answers, dataset, rules=rules)
        order = worst_first(samples)[:worst]
        sections.append(_section(result, answers, samples, order, dataset))
        lines += _markdown(result, answers, samples, order)
    out.mkdir(parents=True, exist_ok=True)
    title = 'TraceSpatial-Bench'
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<style>{_STYLE}</style></head>'
        f'<body><h1>{title}</h1>{"".join(sections)}</body></html>\n'
    )
    (out / 'report.html').write_text(page, encoding='utf-8')
    (out / 'report.md').write_text('\n'.join(lines) + '\n', encoding='utf-8')
    print(f'{out / "report.html"}\n{out / "report.md"}')
    return 0


def worst_first(samples: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the indices of scored answers, by the mended rules: not read, failed, then by the distance of the way."""

    def key(i: int) -> tuple[float, float, float, float]:
        hits, errors = samples[i]['mended']['hits'], samples[i]['mended']['errors']
        good = hits.get('overall', hits.get('end in box', 1.0))
        return (hits.get('parsed', 0.0), good, -errors.get('DFD', np.inf), i)

    return sorted(range(len(samples)), key=key)


def _section(
    result: Mapping[str, Any],
    answers: Answers,
    samples: Sequence[Mapping[str, Any]],
    order: Sequence[int],
    dataset: Dataset | None,
) -> str:
    remarks = ''.join(f'<p>{html.escape(r)}</p>' for r in result['remarks'])
    legend = (
        '<p><i class="t">green</i> the reference, <i class="a">red</i> the answer (disc: start, ring: end), '
        '<i class="b">blue</i> the destination box; left over the picture, right from the side.</p>'
    )
    gallery = ''.join(_article(answers.answers[i], samples[i], dataset, result) for i in order)
    name = html.escape(f'{result["name"]}: {result["dimensions"]}, {result["answers"]} answers')
    return f'<h2>{name}</h2>{remarks}{_table(result)}{_bars(result)}<h3>Worst first</h3>{legend}{gallery}'


def _rows(result: Mapping[str, Any]) -> list[list[str]]:
    """Return the figures as texts: name, and one cell per set of rules."""
    found = result['figures']
    rows = []
    for kind in ('rates', 'means'):
        for name in dict.fromkeys(k for f in found.values() for k in f[kind]):
            rows.append([name, *(_cell(f[kind].get(name)) for f in found.values())])
    return rows


def _cell(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return '-'
    if 'rate' in figure:
        low, high = 100 * figure['low'], 100 * figure['high']
        return f'{100 * figure["rate"]:.1f} % [{low:.1f}, {high:.1f}], n = {figure["n"]}'
    return f'{figure["mean"]:.4f}, n = {figure["n"]}'


def _table(result: Mapping[str, Any]) -> str:
    head = ''.join(f'<th>{html.escape(TITLES[m])}</th>' for m in result['figures'])
    body = ''.join(
        '<tr>' + ''.join(f'<td>{html.escape(c)}</td>' for c in row) + '</tr>' for row in _rows(result)
    )
    return f'<table><tr><th></th>{head}</tr>{body}</table>'


def _bars(result: Mapping[str, Any]) -> str:
    """Return the rates as bars with their intervals."""
    found = result['figures']
    names = list(dict.fromkeys(k for f in found.values() for k in f['rates']))
    parts, y = [], 0
    for name in names:
        parts.append(f'<text x="290" y="{y + 15}" text-anchor="end">{html.escape(name)}</text>')
        for mode, figure in found.items():
            rate = figure['rates'].get(name)
            if rate is not None:
                x0, x1, x2 = (300 + 600 * rate[k] for k in ('low', 'rate', 'high'))
                parts.append(
                    f'<rect x="300" y="{y + 2}" width="{x1 - 300:.1f}" height="8" fill="{_BAR[mode]}"/>'
                    f'<line x1="{x0:.1f}" x2="{x2:.1f}" y1="{y + 6}" y2="{y + 6}" stroke="#222"/>'
                )
            y += 10
        y += 8
    return (
        f'<svg viewBox="0 0 920 {y}" width="920" height="{y}" role="img" font-size="13">'
        f'<title>Rates: grey by the official code, blue by the mended rules</title>{"".join(parts)}</svg>'
    )


def _article(
    answer: Answer, scored: Mapping[str, Any], dataset: Dataset | None, result: Mapping[str, Any]
) -> str:
    sample = answer.sample
    marks = ''.join(
        f'<li class="{"good" if value else "bad"}">{html.escape(name)}: {"yes" if value else "no"}</li>'
        for name, value in scored['mended']['hits'].items()
    )
    errors = ', '.join(f'{k} {v:.4f}' for k, v in scored['mended']['errors'].items())
    note = scored['mended']['note']
    return (
        f'<article id="sample-{sample.id}"><h4>Sample {sample.id}: {html.escape(sample.prompt)}</h4>'
        f'{_pictures(answer, dataset, result)}<ul>{marks}</ul><p>{html.escape(errors)}</p>'
        f'<p class="bad">{html.escape(note)}</p><pre>{html.escape(answer.text[:_ANSWER_CHARS])}</pre></article>'
    )


def _pictures(answer: Answer, dataset: Dataset | None, result: Mapping[str, Any]) -> str:
    if dataset is None:
        return ''
    sample = answer.sample
    rgb, depth = dataset.rgb(sample), dataset.depth(sample)
    size = (rgb.shape[1], rgb.shape[0])
    try:
        points = points_of(answer.text, result['family'])
    except TraceParseError:
        pixels = way = None
    else:
        pixels = points[:, :2] * size
        way = sample.lift(points, size) if points.shape[1] == 3 else None
    images = (overlay(rgb, sample, pixels), from_the_side(rgb, depth, sample, way))
    words = (f'Sample {sample.id} with reference and answer', f'Sample {sample.id} from the side')
    return ''.join(
        f'<img src="{data_uri(image)}" alt="{html.escape(alt)}">'
        for image, alt in zip(images, words, strict=True)
    )


def _markdown(
    result: Mapping[str, Any],
    answers: Answers,
    samples: Sequence[Mapping[str, Any]],
    order: Sequence[int],
) -> list[str]:
    modes = [TITLES[m] for m in result['figures']]
    lines = [f'## {_plain(result["name"])}: {result["dimensions"]}, {result["answers"]} answers', '']
    lines += [*result['remarks'], '', f'| | {" | ".join(modes)} |', '|---' * (len(modes) + 1) + '|']
    lines += ['| ' + ' | '.join(row) + ' |' for row in _rows(result)]
    lines += ['', 'Worst first:', '', '| sample | wrong | DFD | prompt |', '|---|---|---|---|']
    for i in order:
        found = samples[i]['mended']
        wrong = ', '.join(k for k, v in found['hits'].items() if not v) or '-'
        dfd = found['errors'].get('DFD')
        far = '-' if dfd is None else f'{dfd:.4f}'
        lines.append(f'| {samples[i]["id"]} | {wrong} | {far} | {_plain(answers.answers[i].sample.prompt)} |')
    return [*lines, '']


def _plain(text: str) -> str:
    """Return text that means nothing in Markdown tables."""
    return html.escape(' '.join(text.split()), quote=False).replace('|', '\\|').replace('`', "'")
