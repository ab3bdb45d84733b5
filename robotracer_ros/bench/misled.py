# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""``robotracer bench misled``: traces that are wrong on purpose, through the whole closed loop.

What counts is not success but that nothing is hit: a wrong trace is refused, corrected, or carried
out without a contact that nobody intended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape

from robotracer_ros.bench.closed_loop import Episode, run_episode
from robotracer_ros.bench.telling import tell_result, tell_run
from robotracer_ros.bench.wrong_traces import CASES, TOUCHING, View, scenes_of, side_by_side
from robotracer_ros.data.task import Task
from robotracer_ros.data.tasks import simple_task
from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.geometry.trace import Trace
from robotracer_ros.planning.base import Planner
from robotracer_ros.planning.ompl import OmplPlanner
from robotracer_ros.sim.scenes import generate_scene
from robotracer_ros.sim.spec import Rendering, Scene
from robotracer_ros.sim.workcell import WorkcellConfig


def run_case(name: str, seed: int, planner: Planner) -> Episode | None:
    """Run one wrong trace; None when the scene of the seed does not offer what it needs.

    Args:
        name: A key of :data:`~robotracer_ros.bench.wrong_traces.CASES`.
        seed: Of the scene, the task and the way in which the trace is wrong.
        planner: Loaded.
    """
    config = WorkcellConfig(scenes=scenes_of(name))
    scene: Scene | None = None
    if name == TOUCHING:
        scene = side_by_side(generate_scene(seed, config.scenes))
        if scene is None:
            return None
    found: list[Trace] = []

    def choose(scene: Scene, rendering: Rendering) -> Task | None:
        task = simple_task(scene, rendering)
        if task is None:
            return None
        rng = np.random.default_rng([seed, list(CASES).index(name)])
        points = CASES[name](View(scene, rendering, task, rng))
        if points is None:
            return None
        found.append(Trace(points, scene.camera, task.kind, task.instruction, model='misled'))
        return task

    episode = run_episode(seed, planner, lambda *_: found[0], choose, config, scene)
    return episode if found else None


def main(
    seeds: Sequence[int],
    *,
    cases: Sequence[str] = (),
    json_output: bool = False,
    out: Path | None = None,
) -> int:
    """Run cases over seeds, print the result; return 0 when nothing was hit, else 1.

    Args:
        seeds: Of scenes and tasks.
        cases: Names or parts of them; all when empty.
        json_output: Print every run.
        out: Append one JSON line per run.

    Raises:
        InvalidParameterError: no case has such a name.
    """
    names = [n for n in CASES if not cases or any(c in n for c in cases)]
    if not names:
        raise InvalidParameterError(
            f'cases {", ".join(cases)}: must be part of one of {", ".join(CASES)}'
        )
    # Patient: on a busy machine a wrong trace must not end as a timeout before it could hit anything.
    planner = OmplPlanner(timeout_s=60.0, detour_s=6.0)
    planner.load()
    console = Console(stderr=True, highlight=False)
    runs: list[tuple[str, Episode]] = []
    for name in names:
        for seed in seeds:
            episode = run_case(name, seed, planner)
            if episode is None:
                continue
            runs.append((name, episode))
            hit = f'[red]{escape(episode.contacts[0])}[/] ' if episode.contacts else ''
            tell_run(console, episode, f'{name} {seed}:', hit + _ending(episode), out, case=name)
    result = {
        'runs': len(runs),
        'unintended_contacts': sum(bool(e.contacts) for _, e in runs),
        'endings': {
            name: dict(Counter(_ending(e) for n, e in runs if n == name)) for name in names
        },
        'hits': [
            {'case': n, 'seed': e.seed, 'stage': e.stage, 'error': e.error, 'contacts': e.contacts}
            for n, e in runs
            if e.contacts
        ],
    }
    if json_output:
        result['episodes'] = [{'case': n, **asdict(e)} for n, e in runs]
    tell_result(result)
    return 1 if result['unintended_contacts'] else 0


def _ending(episode: Episode) -> str:
    """Say how a run ended: the error's name, or whether something was moved."""
    return episode.error or ('moved' if episode.handled else 'done')
