# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Training data on disk: shards of rendered scenes with their questions, answers and ground truth.

A data set is a folder::

    dataset.json              what is in it: version, seeds, split, counts per type, primitive and relation
    shard-00010-1000/         seeds 1000..1099 when a shard holds 100 scenes
        rgb.npy               (N, H, W, 3) uint8
        depth.npy             (N, H, W) uint16 in millimetres, 0 invalid
        segmentation.npy      (N, H, W) int16, index into the scene's objects or a SEG_ value
        intrinsics.npy        (N, 3, 3) float64, pixels
        world_from_camera.npy (N, 4, 4) float64
        scenes.jsonl.gz       one scene a line (:mod:`robotracer_ros.data.store`)
        samples.jsonl         one question a line: seed, prompt, answer, type, mentions, targets, task

``samples.jsonl`` loads with ``datasets.load_dataset('json', ...)``, the arrays with ``numpy.load(..., mmap_mode='r')``.

Everything in a shard follows from the scene seeds alone, so the number of workers and interruptions
change nothing: a shard is written beside its place and moved there when complete, and complete shards
are not made again.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from robotracer_ros.data.facts import SceneFacts
from robotracer_ros.data.qa import Sample, sample_questions
from robotracer_ros.data.split import VALIDATION_SEEDS, Split
from robotracer_ros.data.store import scene_from_dict, scene_to_dict
from robotracer_ros.data.task import Task
from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.sim.render import Renderer
from robotracer_ros.sim.scenes import SceneConfig, generate_scene
from robotracer_ros.sim.spec import Rendering, Scene

VERSION = 1
_ARRAYS = ('rgb', 'depth', 'segmentation', 'intrinsics', 'world_from_camera')


@dataclass(frozen=True)
class GenerateConfig:
    """How a data set is made.

    Attributes:
        questions: Questions per scene asked for; a scene may yield fewer.
        shard_scenes: Scenes per shard.
        split: Which phrasings and compositions occur.
        width, height: Image size in pixels.
        max_depth: Depth (m) beyond this is stored as invalid.
    """

    questions: int = 24
    shard_scenes: int = 100
    split: Split = 'train'
    width: int = 320
    height: int = 240
    max_depth: float = 20.0


_renderer: Renderer | None = None


def renderer() -> Renderer:
    """Return this process' renderer, made once: its meshes are worth keeping."""
    global _renderer
    if _renderer is None:
        _renderer = Renderer()
    return _renderer


def question_rng(seed: int, split: Split) -> np.random.Generator:
    """Return the random numbers for the questions about the scene of a seed."""
    return np.random.default_rng(
        [31337, seed, ('train', 'val', 'wording', 'composition').index(split)]
    )


def scene_batch(seed: int, config: GenerateConfig | None = None) -> dict[str, Any]:
    """Make and render the scene of a seed.

    Returns:
        rgb (H, W, 3) uint8, depth (H, W) uint16 in millimetres (0 invalid), segmentation (H, W) int16, K (3, 3),
        world_from_camera (4, 4) and scene.
    """
    c = config or GenerateConfig()
    scene = generate_scene(seed, SceneConfig(width=c.width, height=c.height))
    image = renderer().render(scene)
    depth = np.where((image.depth > 0) & (image.depth <= c.max_depth), image.depth, 0.0)
    return {
        'rgb': image.rgb,
        'depth': np.rint(depth * 1000).astype(np.uint16),
        'segmentation': image.segmentation,
        'K': scene.camera.matrix,
        'world_from_camera': scene.world_from_camera,
        'scene': scene,
    }


def rendering_of(batch: dict[str, Any]) -> Rendering:
    """Return the picture of a batch as the model gets it: depth in metres from whole millimetres."""
    return Rendering(
        batch['rgb'], batch['depth'].astype(np.float32) / np.float32(1000), batch['segmentation']
    )


def write_shard(
    folder: Path, first_seed: int, count: int, config: GenerateConfig
) -> dict[str, Any]:
    """Write the shard of some consecutive seeds, unless it is there; return its counts."""
    summary = folder / 'summary.json'
    if summary.exists():
        before = dict(json.loads(summary.read_text()))
        # The last shard of a smaller data set is made again when the set grows.
        if before['scenes'] == count:
            return before
    partial = folder.with_name(f'.{folder.name}.{os.getpid()}')
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    counts: Counter[str] = Counter()
    shape = (count, config.height, config.width)
    arrays = {
        'rgb': np.lib.format.open_memmap(partial / 'rgb.npy', 'w+', np.uint8, (*shape, 3)),
        'depth': np.lib.format.open_memmap(partial / 'depth.npy', 'w+', np.uint16, shape),
        'segmentation': np.lib.format.open_memmap(
            partial / 'segmentation.npy', 'w+', np.int16, shape
        ),
    }
    matrices = np.zeros((count, 3, 3)), np.zeros((count, 4, 4))
    with (
        (partial / 'samples.jsonl').open('w', encoding='utf-8') as samples,
        (partial / 'scenes.jsonl.gz').open('wb') as raw,
        gzip.GzipFile('', 'wb', 6, raw, mtime=0) as scenes,
    ):
        for i, seed in enumerate(range(first_seed, first_seed + count)):
            batch = scene_batch(seed, config)
            for name, array in arrays.items():
                array[i] = batch[name]
            matrices[0][i], matrices[1][i] = batch['K'], batch['world_from_camera']
            scenes.write(
                json.dumps(scene_to_dict(batch['scene']), separators=(',', ':')).encode() + b'\n'
            )
            facts = SceneFacts(batch['scene'], rendering_of(batch))
            for sample in sample_questions(
                facts, question_rng(seed, config.split), config.questions, config.split
            ):
                samples.write(
                    json.dumps(sample_to_dict(sample, seed, i), separators=(',', ':')) + '\n'
                )
                counts[f'type {sample.task_type}'] += 1
                if sample.task is not None:
                    counts[f'primitive {sample.task.primitive}'] += 1
                    counts[f'relation {sample.task.relation}'] += 1
            counts['scenes'] += 1
    for array in arrays.values():
        array.flush()
    np.save(partial / 'intrinsics.npy', matrices[0])
    np.save(partial / 'world_from_camera.npy', matrices[1])
    result = {'first_seed': first_seed, 'scenes': count, 'counts': dict(sorted(counts.items()))}
    (partial / 'summary.json').write_text(json.dumps(result, indent=1))
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return result


def sample_to_dict(sample: Sample, seed: int, index: int) -> dict[str, Any]:
    """Convert a question to what ``json`` can write; ``index`` is the scene's place in its shard."""
    return {
        'seed': seed,
        'index': index,
        'type': sample.task_type,
        'prompt': sample.prompt,
        'answer': sample.answer,
        'targets': list(sample.target_ids),
        'metres': sample.metres,
        'mentions': [
            {
                'start': m.start,
                'end': m.end,
                'object': m.object_id,
                'world': [round(float(x), 5) for x in m.world],
                'uvd': list(m.uvd),
            }
            for m in sample.mentions
        ],
        'task': None if sample.task is None else _task_to_dict(sample.task),
    }


def _task_to_dict(task: Task) -> dict[str, Any]:
    goal = None
    if task.goal is not None:
        goal = {
            'pose': task.goal.pose[:3].round(6).ravel().tolist(),
            'extents': task.goal.extents.round(6).tolist(),
        }
    return {
        'instruction': task.instruction,
        'primitive': task.primitive,
        'relation': task.relation,
        'moved': task.moved,
        'references': list(task.references),
        'kind': int(task.kind),
        'goal': goal,
        'hover_targets': list(task.hover_targets),
        'path': task.path.round(5).tolist(),
        'trace': task.trace.tolist(),
        'key_steps': list(task.key_steps),
        'step_objects': list(task.step_objects),
        'split': task.split,
        'via': task.via,
        'via_side': task.via_side,
        'distance': task.distance,
    }


def read_shard(folder: Path) -> dict[str, Any]:
    """Open a shard: its arrays memory-mapped, its samples and scenes as lists."""
    with gzip.open(folder / 'scenes.jsonl.gz', 'rt', encoding='utf-8') as file:
        scenes: list[Scene] = [scene_from_dict(json.loads(line)) for line in file]
    with (folder / 'samples.jsonl').open(encoding='utf-8') as file:
        samples = [json.loads(line) for line in file]
    arrays = {name: np.load(folder / f'{name}.npy', mmap_mode='r') for name in _ARRAYS}
    return {**arrays, 'scenes': scenes, 'samples': samples}


def main(
    out: str | Path,
    scenes: int = 1000,
    first_seed: int = VALIDATION_SEEDS,
    workers: int = 1,
    config: GenerateConfig | None = None,
) -> dict[str, Any]:
    """Write a data set, going on where it was interrupted; returns what ``dataset.json`` holds.

    Args:
        out: Folder.
        scenes: Number of scenes.
        first_seed: Seed of the first; training data may not reach below ``VALIDATION_SEEDS``.
        workers: Processes.
        config: How; the default configuration when None.

    Raises:
        InvalidParameterError: training data would use reserved seeds, a number is out of range, or
            the folder holds a data set that was made otherwise.
    """
    c = config or GenerateConfig()
    if c.split == 'train' and first_seed < VALIDATION_SEEDS:
        raise InvalidParameterError(
            f'first_seed {first_seed}: seeds below {VALIDATION_SEEDS} are reserved for evaluation'
        )
    for name, value in (
        ('scenes', scenes),
        ('workers', workers),
        ('questions', c.questions),
        ('shard_scenes', c.shard_scenes),
    ):
        if value < 1:
            raise InvalidParameterError(f'{name} {value}: must be at least 1')
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    sheet = folder / 'dataset.json'
    made = {'version': VERSION, 'first_seed': first_seed, 'config': asdict(c)}
    if sheet.exists():
        before = json.loads(sheet.read_text())
        different = [k for k in made if before.get(k) != made[k]]
        if different:
            raise InvalidParameterError(
                f'{folder} holds a data set with another {", ".join(different)}: choose another folder'
            )
    else:
        sheet.write_text(json.dumps({**made, 'complete': False}, indent=1))
    jobs = [
        (
            folder / f'shard-{start // c.shard_scenes:05d}-{start}',
            start,
            min(c.shard_scenes, first_seed + scenes - start),
            c,
        )
        for start in range(first_seed, first_seed + scenes, c.shard_scenes)
    ]
    started = time.perf_counter()
    counts: Counter[str] = Counter()
    with Progress() as progress:
        bar = progress.add_task('scenes', total=scenes)
        for result in _run(jobs, workers):
            counts.update(result['counts'])
            progress.advance(bar, result['scenes'])
    result = {**made, 'complete': True, 'scenes': scenes, 'counts': dict(sorted(counts.items()))}
    sheet.write_text(json.dumps(result, indent=1))
    elapsed = time.perf_counter() - started
    questions = sum(n for k, n in counts.items() if k.startswith('type '))
    print(f'{questions} questions about {scenes} scenes in {folder}, {elapsed:.0f} s')
    return result


def _run(
    jobs: list[tuple[Path, int, int, GenerateConfig]], workers: int
) -> Iterator[dict[str, Any]]:
    if workers == 1:
        yield from (write_shard(*job) for job in jobs)
        return
    # Forking a process that has threads (torch, Embree) can hang: start clean ones.
    with ProcessPoolExecutor(workers, mp_context=get_context('spawn')) as pool:
        for future in as_completed([pool.submit(write_shard, *job) for job in jobs]):
            yield future.result()
