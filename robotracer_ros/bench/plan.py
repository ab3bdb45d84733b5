# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How long planning takes: trace to timed, checked trajectory in free space, with the time of every
stage.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.errors import RobotracerError
from robotracer_ros.geometry.trace import Trace
from robotracer_ros.geometry.transforms import apply, invert
from robotracer_ros.planning.base import PlanRequest, RobotState
from robotracer_ros.planning.ompl import OmplPlanner
from robotracer_ros.robot_description import ARM_JOINTS, MAX_OPENING
from robotracer_ros.sim.render import Renderer
from robotracer_ros.sim.scenes import generate_scene
from robotracer_ros.sim.spec import Scene, SceneObject

#: travel height of the object's centre over the table, metres
TRAVEL_M = 0.22
#: kinds that every grasp finder can hold: the bench measures time, not grasping
KINDS = ('box', 'block', 'can', 'carton', 'candle', 'jar', 'sponge', 'lemon', 'ball')


def free_request(seed: int, renderer: Renderer) -> PlanRequest:
    """Return a request to bring the only object on a table to another place, over two points in the air."""
    for attempt in range(seed * 100, seed * 100 + 100):
        scene = generate_scene(attempt)
        thing = next((o for o in scene.objects if _suits(o)), None)
        if thing is None:
            continue
        scene = replace(scene, objects=(thing,))
        uvd = _trace(scene, thing, np.random.default_rng(seed))
        if uvd is None:
            continue
        depth = renderer.render(scene, scene.robot_q, MAX_OPENING).depth
        return PlanRequest(
            Trace(uvd, scene.camera),
            scene.world_from_camera,
            depth,
            scene.camera,
            RobotState(ARM_JOINTS, scene.robot_q),
            gripper_opening=MAX_OPENING,
        )
    raise RuntimeError(f'no scene of seeds {seed * 100}..{seed * 100 + 99} suits the bench')


def _suits(thing: SceneObject) -> bool:
    standing = abs(thing.position[2] - thing.extents[2] / 2) < 0.005
    return thing.kind in KINDS and thing.graspable and standing


def _trace(
    scene: Scene, thing: SceneObject, rng: np.random.Generator
) -> NDArray[np.float64] | None:
    """Return points (4, 3) as (u, v, d) that are all in the image, or None when no goal is found."""
    camera_from_world = invert(scene.world_from_camera)
    for _ in range(50):
        reach, angle = rng.uniform(0.40, 0.68), rng.uniform(-0.55, 0.55)
        goal = np.array([reach * np.cos(angle), reach * np.sin(angle), 0.0])
        uvd = scene.camera.project(apply(camera_from_world, _path(thing, goal)))
        inside = ((uvd[:, :2] > 0) & (uvd[:, :2] < 1000)).all()
        if inside and np.hypot(*(goal - thing.position)[:2]) > 0.15:
            return uvd
    return None


def _path(thing: SceneObject, goal: NDArray[np.float64]) -> NDArray[np.float64]:
    top = thing.position.copy()
    top[2] += thing.extents[2] / 2
    first, last = thing.position.copy(), goal.copy()
    first[2] = last[2] = TRAVEL_M
    return np.stack([top, first, last, goal])


def measure(traces: int, first_seed: int = 0) -> dict[str, object]:
    """Plan that many traces; times in milliseconds, wall clock and CPU of this thread."""
    planner, renderer = OmplPlanner(), Renderer()
    planner.load()
    requests = [free_request(seed, renderer) for seed in range(first_seed, first_seed + traces)]
    wall, cpu, own, failures = [], [], [], []
    stages: dict[str, list[float]] = {}
    planner.plan(requests[0])  # the first call fills caches
    for i, request in enumerate(requests):
        begin, begin_cpu = time.perf_counter(), time.thread_time()
        try:
            plan = planner.plan(request)
        except RobotracerError as e:
            failures.append({'seed': first_seed + i, 'error': e.name, 'text': str(e)})
            continue
        cpu.append(1e3 * (time.thread_time() - begin_cpu))
        wall.append(1e3 * (time.perf_counter() - begin))
        seeing = sum(plan.stage_times_s.get(s, 0.0) for s in ('scene', 'grasp'))
        own.append(wall[-1] - 1e3 * seeing)
        for stage, seconds in plan.stage_times_s.items():
            stages.setdefault(stage, []).append(1e3 * seconds)
    return {
        'traces': traces,
        'planned': len(wall),
        'failures': failures,
        'wall_ms': _figures(wall),
        'wall_without_perception_ms': _figures(own),
        'cpu_ms': _figures(cpu),
        'stages_wall_ms': {
            k: _figures(v)
            for k, v in sorted(stages.items(), key=lambda kv: -float(np.median(kv[1])))
        },
        'cpus': os.cpu_count(),
        'load_average': os.getloadavg()[0],
    }


def _figures(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    return {
        'median': round(float(np.median(values)), 2),
        'p95': round(float(np.percentile(values, 95)), 2),
        'max': round(float(np.max(values)), 2),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure planning time over traces in free space; exit status 1 when a trace cannot be
    planned.
    """
    parser = argparse.ArgumentParser(prog='robotracer bench plan', description=main.__doc__)
    parser.add_argument('--traces', type=int, default=100)
    parser.add_argument('--json', action='store_true', help='print one JSON document')
    args = parser.parse_args(argv)
    if args.traces < 1:
        parser.error(f'--traces is {args.traces}: must be at least 1')
    result = measure(args.traces)
    if args.json:
        print(json.dumps(result, indent=2))
    else:
        print(f'{result["planned"]} of {result["traces"]} traces planned')
        for name in ('wall_ms', 'wall_without_perception_ms', 'cpu_ms'):
            print(f'{name:26s} {result[name]}')
        stages = result['stages_wall_ms']
        assert isinstance(stages, dict)
        for stage, figures in stages.items():
            print(f'  {stage:10s} {figures}')
    return 1 if result['failures'] else 0


if __name__ == '__main__':
    sys.exit(main())
