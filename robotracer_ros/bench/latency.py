# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How long the local tracer takes for an answer: each runtime in a process of its own, turn by turn.

Turns, because a machine that is busy with something else is busy for both, so that ratios hold where
times do not.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robotracer_ros.bench.figures import json_safe
from robotracer_ros.tracer.base import Observation

#: kind of answer: type of question and tokens at most
KINDS = {
    'reasoning': ('trace_3d_think', 'trace'),
    'direct': ('trace_3d', 'trace'),
    'refer': ('refer', 'refer'),
    'measure': ('measure', 'measure'),
}
RUNTIMES = ('torch', 'onnx')


@dataclass(frozen=True)
class Answer:
    """Texts of one turn, tokens written, and wall and CPU seconds of the process."""

    texts: list[str]
    tokens: int
    wall_s: float
    cpu_s: float


@dataclass(frozen=True)
class Turn:
    """Questions about one image."""

    kind: str
    observation: Observation
    prompts: list[str]


def turns(scenes: int, batch: int, first: int = 0) -> list[Turn]:
    """Ask one question of each kind about each validation scene, then ``batch`` traces at once."""
    from robotracer_ros.data.facts import SceneFacts
    from robotracer_ros.data.generate import rendering_of, scene_batch
    from robotracer_ros.data.qa import sample_questions

    made = []
    for seed in range(first, first + scenes):
        rendered = scene_batch(seed)
        scene, image = rendered['scene'], rendering_of(rendered)
        facts, rng = SceneFacts(scene, image), np.random.default_rng(seed)
        seen = Observation(image.rgb, image.depth, scene.camera, scene.world_from_camera)
        for kind, (question, _) in KINDS.items():
            prompts = [s.prompt for s in sample_questions(facts, rng, 1, 'val', {question: 1.0})]
            if prompts:
                made.append(Turn(kind, seen, prompts))
        prompts = [s.prompt for s in sample_questions(facts, rng, batch, 'val', {'trace_3d': 1.0})]
        if len(prompts) == batch:
            made.append(Turn(f'direct x {batch}', seen, prompts))
    return made


_tracer: Any = None


def _load(runtime: str, checkpoint: str, threads: int) -> tuple[float, float]:
    """Load in this process; return wall and CPU seconds, imports included."""
    global _tracer
    wall, cpu = time.perf_counter(), time.process_time()
    from robotracer_ros.tracer.local import LocalTracer

    _tracer = LocalTracer(checkpoint, device='cpu', threads=threads, runtime=runtime)
    _tracer.load()
    return time.perf_counter() - wall, time.process_time() - cpu


def _answer(turn: Turn) -> Answer:
    from robotracer_ros.tracer.local import MAX_NEW

    limit = MAX_NEW[KINDS[turn.kind.split(' ')[0]][1]]
    wall, cpu = time.perf_counter(), time.process_time()
    written = _tracer.ask_all(turn.observation, turn.prompts, max_tokens=limit)
    return Answer(
        [w.text for w in written],
        sum(w.written_tokens for w in written),
        time.perf_counter() - wall,
        time.process_time() - cpu,
    )


def _memory() -> float:
    """Return the most memory that this process ever held, in MB."""
    status = Path('/proc/self/status').read_text(encoding='ascii')
    return int(status.split('VmHWM:')[1].split()[0]) / 1e3


def measure(
    questions: Sequence[Turn],
    checkpoint: str = 'robotracer-tiny',
    runtimes: Sequence[str] = RUNTIMES,
    threads: int = 1,
) -> dict[str, Any]:
    """Let every runtime answer every question and return figures.

    Times are milliseconds for a whole answer, from image to text. ``cpu`` times count where others
    use the machine, ``wall`` times where it is idle.
    """
    context = multiprocessing.get_context('spawn')  # nothing of this process's libraries
    pools = {r: ProcessPoolExecutor(1, mp_context=context) for r in runtimes}
    try:
        result: dict[str, Any] = {'checkpoint': checkpoint, 'threads': threads, 'runtimes': {}}
        loaded = {r: p.submit(_load, r, checkpoint, threads).result() for r, p in pools.items()}
        for pool in pools.values():  # first runs make room and choose kernels
            pool.submit(_answer, questions[0]).result()
        answers: dict[str, list[Answer]] = {r: [] for r in runtimes}
        for turn in questions:
            for runtime, pool in pools.items():
                answers[runtime].append(pool.submit(_answer, turn).result())
        for runtime, pool in pools.items():
            wall, cpu = loaded[runtime]
            result['runtimes'][runtime] = {
                'load_wall_s': round(wall, 3),
                'load_cpu_s': round(cpu, 3),
                'memory_mb': round(pool.submit(_memory).result()),
                'answers': _figures(questions, answers[runtime]),
            }
    finally:
        for pool in pools.values():
            pool.shutdown()
    if len(runtimes) == 2:
        a, b = (answers[r] for r in runtimes)
        kinds = list(result['runtimes'][runtimes[0]]['answers'])
        texts = ([t for turn in told for t in turn.texts] for told in (a, b))
        result['same_texts'] = float(np.mean([x == y for x, y in zip(*texts, strict=True)]))
        result['cpu_ratio'] = {k: _ratio(questions, a, b, k) for k in kinds}
    return result


def _of_kind(questions: Sequence[Turn], answers: Sequence[Answer], kind: str) -> list[Answer]:
    return [a for t, a in zip(questions, answers, strict=True) if t.kind == kind]


def _figures(questions: Sequence[Turn], answers: Sequence[Answer]) -> dict[str, Any]:
    figures = {}
    for kind in dict.fromkeys(t.kind for t in questions):
        mine = _of_kind(questions, answers, kind)
        wall, cpu = (np.array([getattr(a, f) for a in mine]) for f in ('wall_s', 'cpu_s'))
        tokens, texts = sum(a.tokens for a in mine), sum(len(a.texts) for a in mine)
        figures[kind] = {
            'answers': texts,
            'wall_ms_median': round(1e3 * float(np.median(wall)), 1),
            'wall_ms_p95': round(1e3 * float(np.percentile(wall, 95)), 1),
            'cpu_ms_median': round(1e3 * float(np.median(cpu)), 1),
            'cpu_ms_p95': round(1e3 * float(np.percentile(cpu, 95)), 1),
            'tokens_per_answer': round(tokens / texts, 1),
            'tokens_per_cpu_s': round(tokens / float(cpu.sum()), 1),
            'answers_per_cpu_s': round(texts / float(cpu.sum()), 2),
        }
    return figures


def _ratio(questions: Sequence[Turn], a: list[Answer], b: list[Answer], kind: str) -> float:
    """Return how many times the CPU time of the second the first needs: median over the questions."""
    pairs = zip(_of_kind(questions, a, kind), _of_kind(questions, b, kind), strict=True)
    return round(float(np.median([x.cpu_s / y.cpu_s for x, y in pairs])), 2)


def main(
    scenes: int = 20,
    *,
    checkpoint: str = 'robotracer-tiny',
    runtimes: Sequence[str] = RUNTIMES,
    batch: int = 8,
    threads: int = 1,
    json_output: bool = False,
) -> int:
    """Measure and print."""
    result = measure(turns(scenes, batch), checkpoint, runtimes, threads)
    if json_output:
        print(json.dumps(json_safe(result), indent=1))
        return 0
    heads = ('wall ms', 'p95', 'CPU ms', 'p95', 'tokens', 'tokens/s', 'answers/s')
    print(f'{"":8}{"answer":16}' + ''.join(f'{h:>10}' for h in heads))
    for runtime, told in result['runtimes'].items():
        for kind, f in told['answers'].items():
            print(
                f'{runtime:8}{kind:16}'
                + ''.join(f'{v:10.1f}' for name, v in f.items() if name != 'answers')
            )
        print(
            f'{runtime:8}loads in {told["load_wall_s"]:.1f} s ({told["load_cpu_s"]:.1f} s of CPU), '
            f'{told["memory_mb"]} MB at most'
        )
    if 'cpu_ratio' in result:
        ratios = ', '.join(f'{k} {v}' for k, v in result['cpu_ratio'].items())
        print(f'CPU time {" / ".join(runtimes)}: {ratios}; same texts {100 * result["same_texts"]:.1f} %')
    return 0
