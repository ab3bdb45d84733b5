# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From scored answers to figures and a table: rates with 95 % Wilson intervals, means with their counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from robotracer_ros.bench.tracer_figures import rate_dict
from robotracer_ros.bench.tracespatial.scoring import Rules, Scored
from robotracer_ros.data.rates import Outcome, Scores

#: titles of the two sets of rules
TITLES = {'official': 'official code', 'mended': 'mended rules'}
#: order of rows; what is not named here follows by name
_ORDER = ('overall', 'start', 'end', 'no collision', 'parsed', 'DFD', 'HD', 'RMSE', 'MAE')


def figures(scored: Scored, strict: bool = False) -> dict[str, Any]:
    """Return rates and means of both sets of rules, or of the official ones alone.

    A rate counts the answers that the rules judge: ``n`` may differ between rates. Means are over finite values.
    """
    modes = {'official': scored.official} | ({} if strict else {'mended': scored.mended})
    return {name: _of(outcomes) for name, outcomes in modes.items()}


def _of(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    scores = Scores()
    for outcome in outcomes:
        scores.add(outcome)
    return {
        'answers': len(outcomes),
        'rates': {k: rate_dict(scores.rates[k]) for k in _sorted(list(scores.rates))},
        'means': {
            k: {'mean': float(np.mean(scores.errors[k])), 'n': len(scores.errors[k])}
            for k in _sorted(list(scores.errors))
        },
    }


def per_sample(ids: Sequence[int], scored: Scored) -> list[dict[str, Any]]:
    """Return one object per answer with what both sets of rules say about it."""
    return [
        {'id': i, 'official': _outcome(a), 'mended': _outcome(b)}
        for i, a, b in zip(ids, scored.official, scored.mended, strict=True)
    ]


def tell(result: dict[str, Any], console: Console) -> None:
    """Print the table of one file of answers."""
    modes = list(result['figures'])
    table = Table(title=f'{result["name"]}: {result["dimensions"]}, {result["answers"]} answers')
    table.add_column('')
    for mode in modes:
        table.add_column(TITLES[mode], justify='right')
    found = result['figures']
    for kind in ('rates', 'means'):
        for name in _sorted(list({k: 0 for m in modes for k in found[m][kind]})):
            cells = [_cell(found[m][kind].get(name), found[m]['answers']) for m in modes]
            table.add_row(name, *cells)
        if kind == 'rates':
            table.add_section()
    console.print(table)
    for line in result['remarks']:
        console.print(f'  {line}', highlight=False)


def compare(results: Sequence[dict[str, Any]], console: Console) -> None:
    """Print one table with a row per file of answers: the rates of 3D files, or of 2D files."""
    for dimensions in ('2D', '3D'):
        chosen = [r for r in results if r['dimensions'] == dimensions]
        if not chosen:
            continue
        names = _sorted(list({k: 0 for r in chosen for k in _judged(r)}))
        table = Table(title=f'{dimensions}, rates in %: {" / ".join(TITLES[m] for m in chosen[0]["figures"])}')
        table.add_column('')
        for name in names:
            table.add_column(name, justify='right')
        for result in chosen:
            rates = [result['figures'][m]['rates'] for m in result['figures']]
            cells = [
                ' / '.join(_short(r.get(name)) for r in rates) for name in names
            ]
            table.add_row(result['name'], *cells)
        console.print(table)


def _judged(result: dict[str, Any]) -> list[str]:
    """Return the rates of the benchmark's own table: those that both sets of rules know."""
    rates = [set(f['rates']) for f in result['figures'].values()]
    return [n for n in set.intersection(*rates) if not n.endswith('of 3D')]


def _short(figure: dict[str, Any] | None) -> str:
    if figure is None:
        return '-'
    low, high = 100 * figure['low'], 100 * figure['high']
    return f'{100 * figure["rate"]:.0f} [{low:.0f}, {high:.0f}]'


def remarks(rules: Rules, with_pictures: bool, strict: bool) -> list[str]:
    """Return what a reader of the table has to know."""
    said = ['Rates in %, 95 % Wilson intervals in brackets.']
    if not with_pictures:
        said.append(
            'Without the pictures: no start, collision and overall; image sizes follow from the principal points.'
        )
    elif not strict:
        said.append(
            f'Mended rules: the whole way is tested for collisions, unseen space is {rules.unseen}, what cannot '
            'be read misses everything.'
        )
    return said


def _sorted(names: list[str]) -> list[str]:
    def key(name: str) -> tuple[bool, int, str]:
        place = next((i for i, word in enumerate(_ORDER) if name.startswith(word)), len(_ORDER))
        return name.endswith('of 3D'), place, name

    return sorted(names, key=key)


def _cell(figure: dict[str, Any] | None, answers: int) -> str:
    if figure is None:
        return '-'
    of = '' if figure['n'] == answers else f' n={figure["n"]}'
    if 'rate' in figure:
        low, high = 100 * figure['low'], 100 * figure['high']
        return f'{100 * figure["rate"]:.1f} [{low:.1f}, {high:.1f}]{of}'
    return f'{figure["mean"]:.4f}{of}'


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {'hits': outcome.hits, 'errors': outcome.errors, 'note': outcome.note}
