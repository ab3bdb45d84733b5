# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""``robotracer bench demo``: success of the closed loop over many seeds, failures by stage.

Scenes, renderer, tracer, planner and physics are those of the demo, advanced in one process without
a clock, so that the result depends on the seeds alone and not on how busy the machine is.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from rich.console import Console

from robotracer_ros.bench.closed_loop import Episode, any_task, oracle, run_episode, summary
from robotracer_ros.bench.telling import tell_result, tell_run
from robotracer_ros.data.task import Task
from robotracer_ros.data.tasks import simple_task
from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.geometry.trace import Trace
from robotracer_ros.planning.ompl import OmplPlanner
from robotracer_ros.sim.spec import Rendering, Scene
from robotracer_ros.tracer.base import Observation

TASKS = {'simple': simple_task, 'all': any_task}


def main(
    seeds: Sequence[int],
    *,
    tracer: str = 'local',
    checkpoint: str = 'robotracer-tiny',
    tasks: str = 'simple',
    workers: int = 1,
    json_output: bool = False,
    out: Path | None = None,
) -> int:
    """Run seeds, print the result, return 0.

    Args:
        seeds: Of scenes and tasks.
        tracer: ``local`` or ``oracle`` (the ground-truth trace).
        checkpoint: Of the local tracer.
        tasks: A key of ``TASKS``.
        workers: Processes; the result does not depend on it.
        json_output: Print one JSON document.
        out: Append one JSON line per seed; seeds that it holds already are not run again.

    Raises:
        InvalidParameterError: unknown tracer or tasks.
    """
    if tracer not in ('local', 'oracle'):
        raise InvalidParameterError(f"tracer '{tracer}': must be local or oracle")
    if tasks not in TASKS:
        raise InvalidParameterError(f"tasks '{tasks}': must be one of {', '.join(TASKS)}")
    done = _read(out)
    console = Console(stderr=True, highlight=False)
    jobs = [(seed, tracer, checkpoint, tasks) for seed in seeds if seed not in done]
    for episode in _run(jobs, workers):
        done[episode.seed] = episode
        state = '[green]ok[/]' if episode.success else f'[red]{episode.stage}[/]'
        tell_run(console, episode, f'{episode.seed} "{episode.instruction}"', state, out)
    episodes = [done[seed] for seed in seeds]
    result = {'tracer': tracer, 'tasks': tasks, **summary(episodes)}
    if json_output:
        result['runs'] = [asdict(e) for e in episodes]
    tell_result(result)
    return 0


_Job = tuple[int, str, str, str]


def _run(jobs: Sequence[_Job], workers: int) -> Iterator[Episode]:
    if workers == 1:
        episode = _Episodes()
        yield from map(episode, jobs)
        return
    # Spawned, not forked: MuJoCo, Embree and torch keep threads that a fork would lose.
    with multiprocessing.get_context('spawn').Pool(workers) as pool:
        yield from pool.imap_unordered(_in_worker, jobs)


class _Episodes:
    """Runs episodes; planner and model are loaded once per process."""

    def __init__(self) -> None:
        self._planner = OmplPlanner()
        self._planner.load()
        self._predict: Callable[[Scene, Rendering, Task], Trace] | None = None

    def __call__(self, job: _Job) -> Episode:
        seed, tracer, checkpoint, tasks = job
        if self._predict is None:
            self._predict = oracle if tracer == 'oracle' else _local(checkpoint)
        return run_episode(seed, self._planner, self._predict, TASKS[tasks])


_worker: _Episodes | None = None


def _in_worker(job: _Job) -> Episode:
    global _worker
    _worker = _worker or _Episodes()
    return _worker(job)


def _local(checkpoint: str) -> Callable[[Scene, Rendering, Task], Trace]:
    from robotracer_ros.tracer.local import LocalTracer

    model = LocalTracer(checkpoint=checkpoint)
    model.load()

    def predict(scene: Scene, rendering: Rendering, task: Task) -> Trace:
        seen = Observation(
            rendering.rgb, rendering.depth, scene.camera, scene.world_from_camera, 'camera'
        )
        return model.predict(seen, task.instruction, kind=task.kind)

    return predict


def _read(path: Path | None) -> dict[int, Episode]:
    """Return the episodes of an earlier run by seed."""
    if path is None or not path.exists():
        return {}
    known = {f.name for f in fields(Episode)}
    found: dict[int, Episode] = {}
    for line in path.read_text(encoding='utf-8').splitlines():
        entry: dict[str, Any] = json.loads(line)
        found[entry['seed']] = Episode(**{k: v for k, v in entry.items() if k in known})
    return found
