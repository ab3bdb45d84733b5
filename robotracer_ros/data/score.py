# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What an answer is worth, from the text alone and the exact scene: one set of rules for training, benches and models.

* A length is right within 15 %.
* A referring answer is right within 3 cm of the point asked for, and is held against every other visible object too.
* A trace is right when it begins within 3 cm of the named object's visible surface, ends in the goal region (hovering:
  passes 1 to 5 cm above every target in turn), and the named object, carried along it from where it stands, meets
  nothing on the way (:mod:`robotracer_ros.data.sweep`).

Traces and points are also scored with the sensor's depth at the points that touch something (prefix ``sensor``), which
is how a planner uses them: the object's first point, and the last one where the task ends with putting down.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.data.facts import Fact, SceneFacts
from robotracer_ros.data.qa import Sample
from robotracer_ros.data.rates import Outcome
from robotracer_ros.data.reading import (
    centres_of,
    in_mask,
    missed_target,
    read_points,
    readable,
    to_world,
    with_sensor_depth,
)
from robotracer_ros.data.regions import direction
from robotracer_ros.data.sweep import STEP_M, Sweep, densified
from robotracer_ros.data.task import Task
from robotracer_ros.errors import TraceParseError
from robotracer_ros.geometry.trace import Scale
from robotracer_ros.geometry.transforms import apply
from robotracer_ros.sim.spec import Rendering
from robotracer_ros.tracer.text import parse_length

Array = NDArray[np.float64]

#: a point is on an object within this distance of its visible surface, metres
NEAR_M = 0.03
#: the same in the picture, of 1000
NEAR_UV = 50.0
#: a length is right within this share
LENGTH_SHARE = 0.15


class Judge:
    """Scores answers about one scene.

    Args:
        facts: The scene.
        image: Its exact rendering, also the sensor's depth.
    """

    def __init__(self, facts: SceneFacts, image: Rendering) -> None:
        self.facts, self.image = facts, image
        self.sweep = lru_cache(None)(lambda moved: Sweep(facts.scene, moved))
        self._by_id = {o.object.id: o for o in facts.objects}

    def score(self, sample: Sample, text: str) -> Outcome:
        """Score an answer of any type, lifts and traces in the image excepted."""
        match sample.task_type:
            case 'refer' | 'refer_free':
                return self.refer(sample, text)
            case 'measure':
                return measure(sample, text)
            case 'trace_3d' | 'trace_3d_think':
                return self.trace(sample, text)
        raise ValueError(f"answers of type '{sample.task_type}' are not scored")

    def refer(self, sample: Sample, text: str) -> Outcome:
        """Score an answer to "point at"; for a free place only the distance to the place counts."""
        scene = self.facts.scene
        mention = sample.mentions[0]
        visible = [o for o in self.facts.objects if o.visible]
        named = self._by_id[sample.target_ids[0]] if sample.task_type == 'refer' else None
        out = Outcome()
        names = ['parsed', 'named <50', 'named <3cm', 'sensor named <3cm']
        if named is not None:
            out.hits['name-blind 1/n'] = 1.0 / len(visible)
            names += ['named in mask', 'nearest is named']
        points = read_points(text)[0]
        if len(points) != 1 or not readable(points):
            out.hits |= dict.fromkeys(names, 0.0)
            out.note = 'not one point'
            return out
        uv = points[0, :2]
        world = to_world(scene, points)[0]
        felt = with_sensor_depth(points, scene, self.image)
        off = float(np.linalg.norm(world - mention.world))
        # Where there is no depth to take, what the model wrote stays.
        seen = off if felt is None else float(np.linalg.norm(to_world(scene, felt)[0] - mention.world))
        true_uvd = self.facts.project(mention.world)
        out.hits |= {
            'parsed': 1.0,
            'named <50': float(np.linalg.norm(uv - true_uvd[:2]) < NEAR_UV),
            'named <3cm': off < NEAR_M,
            'sensor named <3cm': seen < NEAR_M,
        }
        out.errors |= {
            'distance to named (m)': off,
            'depth error (m)': abs(float(points[0, 2] - true_uvd[2])),
        }
        if named is not None:
            distance = {o.index: float(np.linalg.norm(uv - o.uvd[:2])) for o in visible}
            others = [d < NEAR_UV for i, d in distance.items() if i != named.index]
            out.hits['named in mask'] = in_mask(self.image, uv, named.index)
            out.hits['nearest is named'] = min(distance, key=distance.__getitem__) == named.index
            if others:
                out.hits['other <50 (control)'] = float(np.mean(others))
        if not out.hits['named <3cm']:
            out.note = f'{100 * off:.1f} cm off'
        out.hits = {k: float(v) for k, v in out.hits.items()}
        return out

    def trace(self, sample: Sample, text: str) -> Outcome:
        """Score a trace as it is written, and with the sensor's depth where it touches something."""
        task = sample.task
        assert task is not None
        moved = self._by_id[task.moved]
        out = Outcome()
        points, parsed = read_points(text)
        good = len(points) >= 2 and readable(points)
        out.hits['parsed'] = float(good)
        ways = {'': points if good else None, 'sensor ': None}
        if good:
            contacts = (0,) if task.goal is None else (0, len(points) - 1)
            ways['sensor '] = with_sensor_depth(
                points, self.facts.scene, self.image, contacts, moved.index
            )
            self._measure_errors(out, task, moved, points, ways['sensor '])
            scale = [s.value for s in parsed.reasoning if isinstance(s, Scale)] if parsed else []
            if scale and scale[0] > 0:
                out.errors['written scale log error'] = abs(math.log(scale[0] / self.facts.scale))
        notes = [self._judge_way(out, prefix, task, moved, way) for prefix, way in ways.items()]
        out.note = 'not a trace' if not good else notes[0]
        out.hits['start in mask'] = float(
            good and in_mask(self.image, points[0, :2], moved.index)
        )
        return out

    def _measure_errors(
        self, out: Outcome, task: Task, moved: Fact, points: Array, felt: Array | None
    ) -> None:
        world = to_world(self.facts.scene, points)
        out.errors['start distance to surface (m)'] = self.distance_to(moved, world[0])
        if felt is not None:
            out.errors['start depth error (m)'] = abs(float(points[0, 2] - felt[0, 2]))
        if task.goal is not None:
            off = float(np.linalg.norm(world[-1] - task.path[-1]))
            out.errors['end distance to true end (m)'] = off
            if felt is not None:
                out.errors['end depth error (m)'] = abs(float(points[-1, 2] - felt[-1, 2]))

    def _judge_way(
        self, out: Outcome, prefix: str, task: Task, moved: Fact, uvd: Array | None
    ) -> str:
        """Add the hits of one reading of a trace (N, 3), None when there is none; return what is wrong."""
        end = 'over targets' if task.goal is None else 'end in goal'
        names = [
            'start <3cm', end, 'path free', 'start+end', 'overall', *(['passed as told'] if task.via else [])
        ]
        if uvd is None:
            out.hits |= {prefix + name: 0.0 for name in names}
            return 'contact refused'
        world = to_world(self.facts.scene, uvd)
        centres = centres_of(task, self.facts.scene, world)
        bottoms = centres - np.array([0.0, 0.0, moved.object.extents[2] / 2])
        start = self.distance_to(moved, world[0]) < NEAR_M
        if task.goal is not None:
            arrived = task.goal.contains(world[-1])
            missed = '' if arrived else 'end outside the goal'
        else:
            missed = missed_target(task, self.facts.scene, densified(bottoms))
            arrived = not missed
        hit = self.sweep(task.moved).first_collision(centres, task)
        overall = start and arrived and hit is None
        values = [start, arrived, hit is None, start and arrived, overall]
        if task.via:
            values.append(self.passed_as_told(task, densified(centres)))
        out.hits |= {prefix + n: float(v) for n, v in zip(names, values, strict=True)}
        notes = [
            '' if start else 'start not on the object',
            missed,
            '' if hit is None else f'{hit.thing} hit, {100 * hit.depth:.1f} cm deep',
        ]
        return '; '.join(n for n in notes if n)

    def distance_to(self, thing: Fact, point: Array) -> float:
        """Return the distance (m) from a world point (3,) to the nearest visible surface point of an object."""
        ys, xs = np.nonzero(self.image.segmentation == thing.index)
        if not len(ys):
            return float('inf')
        scene = self.facts.scene
        pixels = scene.camera.lift_pixels(np.stack([xs, ys], 1), self.image.depth[ys, xs])
        surface = apply(scene.world_from_camera, pixels)
        return float(np.linalg.norm(surface - point, axis=1).min())

    def passed_as_told(self, task: Task, centres: Array) -> bool:
        """Tell whether a way (N, 3) passes what it has to pass on the side that was asked for.

        Where it is abeam of the middle of that thing, seen along the line from start to end, it has to be on that
        side, within 60 degrees; ``over`` means within the thing's footprint circle.
        """
        assert task.via is not None
        via = self._by_id[task.via]
        offsets = centres[:, :2] - (via.x, via.y)
        along = offsets[-1] - offsets[0]
        length = float(np.linalg.norm(along))
        ahead = np.abs(offsets @ along) / max(length, 1e-9)
        k = int(np.argmin(ahead))
        distance = float(np.linalg.norm(offsets[k]))
        if length < STEP_M or ahead[k] > STEP_M:
            return False  # it does not come past at all
        if task.via_side == 'over':
            return distance <= via.radius
        side = direction(self.facts, task.via_side)
        return bool(offsets[k] @ side >= 0.5 * distance > 0)


def measure(sample: Sample, text: str) -> Outcome:
    """Score one length: within 15 % and within a factor of 2."""
    assert sample.metres is not None
    try:
        metres, _ = parse_length(text)
    except TraceParseError as error:
        names = ('parsed', 'within 15 %', 'within x2')
        return Outcome(dict.fromkeys(names, 0.0), note=str(error))
    off = abs(metres / sample.metres - 1)
    hits = {
        'parsed': 1.0,
        'within 15 %': float(off < LENGTH_SHARE),
        'within x2': float(0.5 <= metres / sample.metres <= 2.0),
    }
    note = '' if hits['within 15 %'] else f'{metres:.3f} m instead of {sample.metres:.3f} m'
    return Outcome(hits, {'relative error': off}, note)
