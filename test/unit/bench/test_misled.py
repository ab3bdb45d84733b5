# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import functools
import json

import numpy as np
import pytest

from robotracer_ros.bench import misled
from robotracer_ros.bench.misled import run_case
from robotracer_ros.bench.wrong_traces import CASES, TOUCHING, View, scenes_of, side_by_side
from robotracer_ros.data.tasks import simple_task
from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.geometry.trace import Trace
from robotracer_ros.planning.ompl import OmplPlanner
from robotracer_ros.sim.camera import Camera
from robotracer_ros.sim.scenes import footprint_distance, generate_scene
from robotracer_ros.sim.spec import SEG_BACKGROUND, SEG_TABLE
from robotracer_ros.sim.workcell import Workcell, WorkcellConfig

#: seeds whose scenes hold what a case needs, where that of the others does not
SEEDS = {
    'start on something too large': 300,
    'end on a rim': 300,
    'end on the near rim': 300,
    TOUCHING: 300,
}


@functools.cache
def view_of(seed, case):
    """Return the picture and the task of a scene with what the case needs."""
    config = WorkcellConfig(scenes=scenes_of(case))
    scene = generate_scene(seed, config.scenes)
    seen = Workcell(side_by_side(scene) if case == TOUCHING else scene, config).view()
    rendering = Camera().render(seen)
    task = simple_task(seen.scene, rendering)
    assert task is not None
    return View(seen.scene, rendering, task, np.random.default_rng(0))


@pytest.fixture
def view():
    """A walled scene with its picture and task."""
    return view_of(302, 'wall')


@pytest.mark.parametrize('name', sorted(CASES))
def test_every_wrong_trace_is_one_that_a_model_could_answer(name):
    view = view_of(SEEDS.get(name, 302), TOUCHING if name == TOUCHING else 'wall')
    points = CASES[name](view)
    assert points is not None, 'the scene does not offer what this case needs: take another seed'
    trace = Trace(points, view.camera)  # raises when it is no trace at all
    assert len(trace.points) >= 2
    truth = view.truth()
    assert points.shape != truth.shape or np.abs(points - truth).max() > 0.01


def test_a_trace_to_the_edge_of_the_table_ends_beside_nothing(view):
    u, v, _ = CASES['end at the edge of the table'](view)[-1]
    column, row = view.camera.uv_to_pixels((u, v)).round().astype(int)
    seen = view.rendering.segmentation
    assert seen[row, column] == SEG_TABLE
    around = seen[max(row - 3, 0) : row + 4, max(column - 3, 0) : column + 4]
    assert (around == SEG_BACKGROUND).any()


def test_a_trace_on_a_wall_begins_on_a_wall(view):
    u, v, _ = CASES['start on a wall'](view)[0]
    column, row = view.camera.uv_to_pixels((u, v)).round().astype(int)
    assert view.scene.objects[view.rendering.segmentation[row, column]].kind == 'wall'


def test_side_by_side_leaves_two_things_that_touch_and_nothing_else():
    made = [side_by_side(generate_scene(seed)) for seed in range(310, 316)]
    scenes = [s for s in made if s is not None]
    assert scenes
    for s in scenes:
        pairs = [
            footprint_distance(a, b)
            for i, a in enumerate(s.objects)
            for b in s.objects[i + 1 :]
            if abs(a.position[2] - a.extents[2] / 2) < 0.005
            and abs(b.position[2] - b.extents[2] / 2) < 0.005
        ]
        assert sum(0 <= d < 0.002 for d in pairs) == 1 and min(pairs) >= 0


def test_unknown_cases_are_named_with_the_known_ones():
    with pytest.raises(InvalidParameterError, match='start on a wall'):
        misled.main(range(1), cases=['fly'])


def test_refused_walls_end_the_bench_with_zero(capsys):
    """The whole loop: rendered depth, real planner, contacts of the physics."""
    assert misled.main(range(302, 303), cases=['start on a wall']) == 0
    result = json.loads(capsys.readouterr().out)
    assert result['runs'] == 1 and result['unintended_contacts'] == 0
    assert result['endings'] == {'start on a wall': {'NO_GRASP': 1}}


def test_a_planner_that_squeezes_walls_is_caught():
    """With the rule switched off a wall is grasped, and the judge must see it."""
    planner = OmplPlanner(panel_thickness_m=0.0, max_object_m=1.0, timeout_s=60.0, detour_s=5.0)
    planner.load()
    episode = run_case('start on a wall', 302, planner)
    assert episode is not None and episode.handled == ''
    assert any('wall' in c for c in episode.contacts), episode


@pytest.mark.slow
def test_nothing_is_hit_whatever_the_trace_says(capsys):
    assert misled.main(range(300, 302)) == 0, capsys.readouterr().out
