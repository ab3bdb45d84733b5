# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How fast the data engine makes traces, and of which kinds."""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from robotracer_ros.data.facts import SceneFacts
from robotracer_ros.data.generate import rendering_of, scene_batch
from robotracer_ros.data.split import SPLITS, VALIDATION_SEEDS, Split
from robotracer_ros.data.task import Task
from robotracer_ros.data.tasks import Rejections, sample_tasks
from robotracer_ros.sim.scenes import generate_scene


def measure(scenes: int, traces: int, rendered: bool, split: Split = 'train') -> dict[str, Any]:
    """Make traces of consecutive training scenes and count.

    Args:
        scenes: How many scenes.
        traces: Traces asked for per scene.
        rendered: Render RGB-D and segmentation at 320x240 first.
        split: Which phrasings and compositions occur.

    Returns:
        Figures; times are CPU seconds of this process by stage, making the scene included.
    """
    seconds = dict.fromkeys(('scene', 'facts', 'tasks'), 0.0)
    attempts = Rejections()
    made: list[Task] = []
    # Meshes and numeric libraries are loaded outside the measurement.
    SceneFacts(scene_batch(VALIDATION_SEEDS)['scene']).heights.without()
    for seed in range(VALIDATION_SEEDS, VALIDATION_SEEDS + scenes):
        start = time.process_time()
        batch = scene_batch(seed) if rendered else {'scene': generate_scene(seed)}
        seconds['scene'] += time.process_time() - start
        start = time.process_time()
        facts = SceneFacts(batch['scene'], rendering_of(batch) if rendered else None)
        facts.heights.without()
        seconds['facts'] += time.process_time() - start
        start = time.process_time()
        made += sample_tasks(
            facts, np.random.default_rng(seed), traces, split=split, rejections=attempts
        )
        seconds['tasks'] += time.process_time() - start
    total = sum(seconds.values())
    return {
        'rendered': rendered,
        'split': split,
        'scenes': scenes,
        'traces': len(made),
        'traces_per_core_hour': round(3600 * len(made) / total),
        'cpu_s': {k: round(v, 3) for k, v in seconds.items()},
        'acceptance': len(made) / max(1, sum(attempts.values())),
        'attempts': dict(attempts.most_common()),
        'primitives': _shares(t.primitive for t in made),
        'relations_of_m1': _shares(t.relation for t in made if t.primitive == 'M1'),
        'keypoints': _shares(str(len(t.path)) for t in made),
        'reasoning_steps': _shares(str(len(t.reasoning)) for t in made),
        'via_sides': _shares(t.via_side for t in made if t.via),
    }


def _shares(values: Any) -> dict[str, float]:
    counts = Counter(values)
    total = sum(counts.values())
    return {k: round(n / total, 4) for k, n in counts.most_common()}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure without and with rendering and print the figures."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument('--scenes', type=int, default=100)
    parser.add_argument('--traces', type=int, default=8, help='per scene')
    parser.add_argument('--split', choices=SPLITS, default='train')
    parser.add_argument('--json', action='store_true', help='print one JSON document')
    args = parser.parse_args(argv)
    results = [measure(args.scenes, args.traces, r, args.split) for r in (False, True)]
    if args.json:
        print(json.dumps(results, indent=1))
        return 0
    for r in results:
        kind = 'with' if r['rendered'] else 'without'
        print(
            f'{kind} rendering: {r["traces_per_core_hour"]} traces per core-hour '
            f'({r["traces"]} of {r["scenes"]} scenes, {100 * r["acceptance"]:.0f} % of attempts)'
        )
        for name in ('cpu_s', 'primitives', 'relations_of_m1', 'keypoints', 'attempts'):
            print(f'  {name}: ' + ', '.join(f'{k} {v}' for k, v in r[name].items()))
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
