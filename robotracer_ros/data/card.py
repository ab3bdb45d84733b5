# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The datasheet of a data set: ``README.md`` as the Hugging Face hub reads it, written from what the shards say."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from robotracer_ros.data.rows import COLUMNS, SCHEMA_VERSION
from robotracer_ros.data.shards import read_summary, shards_of

#: groups of :func:`robotracer_ros.data.shards.count` with their headings, in the order in which they are told
_TABLES = {
    'type': 'Samples by type',
    'primitive': 'Traces by primitive',
    'trace': 'Traces by kind',
    'relation': 'Spatial relations, in questions and as goals of traces',
    'steps': 'Traces by number of reasoning steps',
    'keypoints': 'Traces by number of keypoints',
}
_ABOUT = """\
# Spatial tracing data

Images with questions about them: point at a thing or a free place, measure, trace the way of an object or a gripper.
One row is one image with all its `samples`. Made by the data engine of `robotracer_ros` (`doc/data.md` there
tells every column, unit and rule); schema version {version}.

```python
from datasets import load_dataset
row = load_dataset('PATH OF THIS FOLDER', split={split!r})[0]
row['image'], row['samples'][0]['prompt'], row['samples'][0]['answer']
```

Columns: {columns}.
"""


def write_card(folder: Path) -> Path:
    """Write ``README.md`` for all complete shards of a data set; the same shards give the same text."""
    sheet = json.loads((folder / 'dataset.json').read_text())
    parts: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for path in shards_of(folder):
        summary = read_summary(path)
        parts[summary['split'], summary['source']].append(summary)
    totals = {
        part: sum((Counter(s['counts']) for s in found), Counter()) for part, found in parts.items()
    }
    splits = sorted({split for split, _ in parts})
    sources = {source for _, source in parts}
    lines = [*_front_matter(splits, sum(t['samples'] for t in totals.values()), sources)]
    lines.append(
        _ABOUT.format(
            version=SCHEMA_VERSION,
            split=splits[0] if splits else 'train',
            columns=', '.join(f'`{c}`' for c in COLUMNS),
        )
    )
    if sources - {'sim'}:
        lines.append(
            f'Pictures and annotations of {", ".join(sorted(sources - {"sim"}))} stay under the licences of the data '
            'sets that they come from (`origin` of each row; `doc/data.md`).\n'
        )
    lines += ['## Parts', '', *_table(('split', 'source', 'shards', 'images', 'samples'), (
        (*part, len(parts[part]), totals[part]['records'], totals[part]['samples'])
        for part in sorted(parts)
    ))]
    names = sorted(parts)
    heads = [f'{split} {source}' for split, source in names]
    for group, heading in _TABLES.items():
        rows = sorted({k for t in totals.values() for k in t if k.startswith(f'{group} ')}, key=_key)
        if rows:
            table = ((k.split(' ', 1)[1], *(totals[n][k] for n in names)) for k in rows)
            lines += [f'## {heading}', '', *_table((group, *heads), table)]
    lines += ['## How it was made', '']
    for name, part in sorted(sheet['parts'].items()):
        lines += _part(name, part)
    path = folder / 'README.md'
    path.write_text('\n'.join(lines).rstrip() + '\n', encoding='utf-8')
    return path


def _front_matter(splits: Iterable[str], samples: int, sources: set[str]) -> list[str]:
    # Pictures of recordings, rooms and the web are under the licences of where they come from.
    license = 'apache-2.0' if sources <= {'sim'} else 'other'
    lines = ['---', f'license: {license}', 'task_categories:', '- image-text-to-text']
    lines += ['tags:', '- robotics', '- spatial-tracing', 'configs:', '- config_name: default']
    lines.append('  data_files:')
    for split in splits:
        lines += [f'  - split: {split}', f'    path: data/{split}-*.parquet']
    bounds = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
    words = ('n<1K', '1K<n<10K', '10K<n<100K', '100K<n<1M', '1M<n<10M', '10M<n<100M', '100M<n<1B')
    lines += ['size_categories:', f'- {words[sum(samples >= b for b in bounds)]}', '---', '']
    return lines


def _part(name: str, part: Mapping[str, Any]) -> list[str]:
    """Tell configuration, command and what is held out of one split and source."""
    config = dict(part['config'])
    held_out = config.pop('held_out', {})
    lines = [f'### {name}', '']
    if part['command']:
        lines += ['```bash', part['command'], '```', '']
    lines += ['```json', json.dumps(config, indent=1, sort_keys=True), '```', '']
    for what, values in sorted(held_out.items()):
        lines += [f'<details><summary>Held out of training: {len(values)} {what}</summary>', '']
        lines += [f'- `{v if isinstance(v, str) else " / ".join(v)}`' for v in values]
        lines += ['', '</details>', '']
    return lines


def _table(head: Iterable[object], rows: Iterable[Iterable[object]]) -> list[str]:
    heads = [str(h) for h in head]
    lines = ['| ' + ' | '.join(heads) + ' |', '|' + '---|' * len(heads)]
    lines += ['| ' + ' | '.join(str(c) for c in row) + ' |' for row in rows]
    return [*lines, '']


def _key(name: str) -> tuple[str, int, str]:
    """Sort numbers by value."""
    group, value = name.split(' ', 1)
    return group, int(value) if value.isdigit() else 0, value
