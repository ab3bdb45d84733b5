# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From scored answers to figures: rates with intervals, medians, parts by question, and the order of the inputs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from robotracer_ros.bench.tracer_questions import MODES
from robotracer_ros.data.rates import Outcome, Rate, Scores

#: rates that are reported for every part
PARTS: Mapping[str, tuple[str, ...]] = {
    'think': (
        'start <3cm', 'end in goal', 'over targets', 'path free', 'overall', 'sensor overall',
        'passed as told',
    ),
    'refer': (
        'named <3cm', 'sensor named <3cm', 'named in mask', 'other <50 (control)', 'name-blind 1/n',
    ),
    'measure': ('within 15 %', 'within x2'),
}  # fmt: skip
#: inputs in the order in which figures should not fall
ORDER = ('RGB', 'RGB+I', 'RGB+I+D')
#: what depends on depth: mode, name, whether it is a median error (which should not rise)
_SENSITIVE = (
    ('refer', 'named <3cm', False),
    ('think', 'start <3cm', False),
    ('think', 'end in goal', False),
    ('think', 'overall', False),
    ('direct', 'start <3cm', False),
    ('direct', 'end in goal', False),
    ('refer', 'depth error (m)', True),
    ('think', 'start depth error (m)', True),
    ('think', 'end depth error (m)', True),
    ('scale', 'log error', True),
)

#: scored answers of one condition by mode: groups of the question, outcome
Answers = Mapping[str, Sequence[tuple[Mapping[str, str], Outcome]]]
Figures = dict[str, Any]


def figures(answers: Answers) -> Figures:
    """Return rates, medians and parts by mode."""
    out: Figures = {}
    for mode in [*MODES, 'scale']:
        if not answers.get(mode):
            continue
        scores = _sum(o for _, o in answers[mode])
        out[mode] = {
            'rates': {k: rate_dict(r) for k, r in sorted(scores.rates.items())},
            'medians': {k: _median(v) for k, v in sorted(scores.errors.items())},
            'parts': _parts(mode, answers[mode]),
        }
    return out


def rate_dict(rate: Rate) -> dict[str, float]:
    """Return a rate with its interval for JSON."""
    low, high = rate.interval
    return {
        'rate': round(rate.value, 4),
        'low': round(low, 4),
        'high': round(high, 4),
        'n': rate.n,
    }


def _sum(outcomes: Iterable[Outcome]) -> Scores:
    scores = Scores()
    for outcome in outcomes:
        scores.add(outcome)
    return scores


def _median(values: Sequence[float]) -> dict[str, float]:
    return {
        'median': float(np.median(values)),
        'p90': float(np.percentile(values, 90)),
        'n': len(values),
    }


def _parts(mode: str, answers: Sequence[tuple[Mapping[str, str], Outcome]]) -> Figures:
    names = PARTS.get(mode, PARTS['think'])
    parts: dict[str, dict[str, list[Outcome]]] = defaultdict(lambda: defaultdict(list))
    for groups, outcome in answers:
        for axis, value in groups.items():
            parts[axis][value].append(outcome)
    out: Figures = {}
    for axis, values in parts.items():
        out[axis] = {}
        for value, members in sorted(values.items()):
            rates = _sum(members).rates
            out[axis][value] = {n: rate_dict(rates[n]) for n in names if n in rates}
    return out


def ordering(by_condition: Mapping[str, Figures]) -> list[dict[str, Any]]:
    """Check that more geometry is not worse in what depends on depth.

    Returns:
        One entry a figure: mode, name, values by condition, ``holds`` (rates do not fall, median errors do not rise
        from RGB over RGB+I to RGB+I+D) and, for rates, ``separated`` (the intervals of the first and the last do not
        overlap). Empty when one of the three was not run.
    """
    if not all(c in by_condition for c in ORDER):
        return []
    found = []
    for mode, name, is_error in _SENSITIVE:
        kind, key = ('medians', 'median') if is_error else ('rates', 'rate')
        entries = [by_condition[c].get(mode, {}).get(kind, {}).get(name) for c in ORDER]
        if any(e is None for e in entries):
            continue
        values = [float(e[key]) for e in entries]
        rising = [-v for v in values] if is_error else values
        entry: dict[str, Any] = {
            'mode': mode,
            'name': name,
            'values': dict(zip(ORDER, values, strict=True)),
            'holds': all(a <= b for a, b in pairwise(rising)),
        }
        if not is_error:
            entry['separated'] = entries[0]['high'] < entries[-1]['low']
        found.append(entry)
    return found


def tell(result: Mapping[str, Any], console: Console) -> None:
    """Print the figures as tables: everything by condition, the parts for the deployed inputs, the order."""
    shown: Mapping[str, Figures] = result['figures']
    table = Table(title=f'{result["scenes"]} scenes, split {result["split"]}, {result["answers"]}')
    table.add_column('')
    for condition in shown:
        table.add_column(condition, justify='right')
    for mode in [*MODES, 'scale']:
        for kind, text in (('rates', _percent), ('medians', _plain)):
            names = sorted({n for f in shown.values() for n in f.get(mode, {}).get(kind, {})})
            for name in names:
                cells = [text(f.get(mode, {}).get(kind, {}).get(name)) for f in shown.values()]
                table.add_row(f'{mode}: {"median " if kind == "medians" else ""}{name}', *cells)
        table.add_section()
    console.print(table)
    deployed = result['deployed'] if result['deployed'] in shown else next(iter(shown), None)
    for mode in MODES:
        for axis, values in (shown[deployed].get(mode, {}) if deployed else {}).get(
            'parts', {}
        ).items():
            _tell_part(console, f'{deployed}, {mode}, by {axis}', values)
    for entry in result['ordering']:
        values = ' <= '.join(f'{c} {v:.3f}' for c, v in entry['values'].items())
        state = '[green]holds[/]' if entry['holds'] else '[red]does not hold[/]'
        kind = 'error, falling' if 'separated' not in entry else 'rate'
        console.print(f'{entry["mode"]}: {entry["name"]} ({kind}): {values} {state}')


def _tell_part(console: Console, title: str, values: Mapping[str, Figures]) -> None:
    names = list(dict.fromkeys(n for v in values.values() for n in v))
    table = Table(title=title)
    for heading in ('', *names):
        table.add_column(heading, justify='left' if not heading else 'right')
    for value, rates in values.items():
        table.add_row(value, *(_percent(rates.get(n)) for n in names))
    console.print(table)


def _percent(rate: Mapping[str, float] | None) -> str:
    if rate is None:
        return ''
    low, high = 100 * rate['low'], 100 * rate['high']
    return f'{100 * rate["rate"]:.1f} [{low:.1f}, {high:.1f}] n={rate["n"]}'


def _plain(median: Mapping[str, float] | None) -> str:
    return '' if median is None else f'{median["median"]:.4f} n={median["n"]}'
