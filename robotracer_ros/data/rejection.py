# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a pipeline left out, and why: lists beside the shards, one JSON object a line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from robotracer_ros.data.record import Source


@dataclass(frozen=True)
class Rejected:
    """Why something became no trace and no question.

    Attributes:
        reason: One of a small set, for counting.
        detail: With numbers.
    """

    reason: str
    detail: str = ''


def rejections_path(out: Path, source: Source, index: int, split: str = 'train') -> Path:
    """Return the list that belongs to a shard."""
    return out / 'rejections' / f'{split}-{source}-{index:06d}.jsonl'


def write_rejections(path: Path, found: Sequence[tuple[str, Rejected]]) -> None:
    """Write what was left out, each with the name of the episode or picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({'from': f, 'reason': r.reason, 'detail': r.detail}) for f, r in found]
    path.write_text(''.join(f'{line}\n' for line in lines), encoding='utf-8')


def report_rejections(
    out: Path, source: Source, shards: int, split: str = 'train'
) -> dict[str, int]:
    """Count the reasons in the lists beside the shards, and print them, most frequent first."""
    found: Counter[str] = Counter()
    for index in range(shards):
        path = rejections_path(out, source, index, split)
        if path.exists():  # else somebody has tidied up: the shard does not need it
            for line in path.read_text(encoding='utf-8').splitlines():
                found[json.loads(line)['reason']] += 1
    for reason, n in found.most_common():
        print(f'{n:8d} left out: {reason}')
    return dict(found)
