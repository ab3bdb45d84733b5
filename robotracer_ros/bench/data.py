# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How fast the data engine makes traces, stage by stage, and of which kinds."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from robotracer_ros.data.facts import SceneFacts
from robotracer_ros.data.generate import GenerateConfig, record_of, rendering_of, scene_batch
from robotracer_ros.data.hand import end_effector_task
from robotracer_ros.data.qa import trace
from robotracer_ros.data.relations import Breadth
from robotracer_ros.data.shards import ShardWriter
from robotracer_ros.data.split import SPLITS, VALIDATION_SEEDS, Split
from robotracer_ros.data.task import Task
from robotracer_ros.data.tasks import Rejections, sample_tasks
from robotracer_ros.sim.scenes import generate_scene

#: aims, traces per core-hour, without and with rendering
AIMS = {False: 20_000, True: 3_000}


class Stages(dict[str, float]):
    """CPU seconds of this process by stage."""

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Add what runs inside to a stage."""
        start = time.process_time()
        yield
        self[name] = self.get(name, 0.0) + time.process_time() - start


def measure(
    scenes: int,
    traces: int,
    rendered: bool,
    split: Split = 'train',
    breadth: Breadth = 'full',
) -> dict[str, Any]:
    """Make traces of consecutive training scenes and count.

    Args:
        scenes: How many scenes.
        traces: Traces asked for per scene.
        rendered: Render RGB-D and masks at 320x240 and write shards; without it only the traces are made.
        split: Which phrasings and compositions occur.
        breadth: Of relations and primitives.

    Returns:
        Figures; times are CPU seconds of this process by stage, making the scene included.
    """
    stages, attempts = Stages(), Rejections()
    made: list[Task] = []
    hands = 0
    config = GenerateConfig(split=split)
    # Meshes and numeric libraries are loaded outside the measurement.
    SceneFacts(scene_batch(VALIDATION_SEEDS)['scene']).heights.without()
    with tempfile.TemporaryDirectory() as folder:
        writer = ShardWriter(Path(folder) / 'shard.parquet', 'sim', split) if rendered else None
        for seed in range(VALIDATION_SEEDS, VALIDATION_SEEDS + scenes):
            with stages.of('scene'):
                scene = generate_scene(seed)
            batch: dict[str, Any] = {'scene': scene}
            if rendered:
                with stages.of('render'):
                    batch = scene_batch(seed, config, scene)
            with stages.of('facts'):
                facts = SceneFacts(scene, rendering_of(batch) if rendered else None)
                facts.heights.without()
            with stages.of('tasks'):
                found = sample_tasks(
                    facts,
                    np.random.default_rng(seed),
                    traces,
                    split=split,
                    rejections=attempts,
                    breadth=breadth,
                )
            with stages.of('texts'):
                samples = [trace(facts, t, 'trace_3d_think') for t in found]
            if writer is not None:
                with stages.of('encode'):
                    record = record_of(batch, facts, samples, config)
                with stages.of('write'):
                    writer.write(record)
            made += found
            hands += sum(end_effector_task(facts, t) is not None for t in found)
        if writer is not None:
            with stages.of('write'):
                writer.close()
    total = sum(stages.values())
    return {
        'rendered': rendered,
        'split': split,
        'breadth': breadth,
        'scenes': scenes,
        'traces': len(made),
        'traces_per_core_hour': round(3600 * len(made) / total),
        'aim': AIMS[rendered],
        'also_end_effector_centric': hands,
        'cpu_s': {k: round(v, 3) for k, v in stages.items()},
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
        names = ('without_rendering', 'with_rendering')
        print(json.dumps(dict(zip(names, results, strict=True)), indent=1))
        return 0
    for r in results:
        kind = 'with' if r['rendered'] else 'without'
        print(
            f'{kind} rendering: {r["traces_per_core_hour"]} traces per core-hour, aim {r["aim"]} '
            f'({r["traces"]} of {r["scenes"]} scenes, {100 * r["acceptance"]:.0f} % of attempts)'
        )
        for name in ('cpu_s', 'primitives', 'relations_of_m1', 'keypoints', 'attempts'):
            print(f'  {name}: ' + ', '.join(f'{k} {v}' for k, v in r[name].items()))
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
