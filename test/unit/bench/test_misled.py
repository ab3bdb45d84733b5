# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import json

import numpy as np
import pytest

from robotracer_ros.bench import misled
from robotracer_ros.bench.misled import run_case
from robotracer_ros.bench.wrong_traces import CASES, View, scenes_of, side_by_side
from robotracer_ros.data.tasks import simple_task
from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.geometry.trace import Trace
from robotracer_ros.planning.ompl import OmplPlanner
from robotracer_ros.sim.camera import Camera
from robotracer_ros.sim.scenes import footprint_distance, generate_scene
from robotracer_ros.sim.workcell import Workcell, WorkcellConfig


@pytest.fixture(scope='module')
def view():
    """A walled scene with its picture and task."""
    config = WorkcellConfig(scenes=scenes_of('wall'))
    seen = Workcell(generate_scene(302, config.scenes), config).view()
    rendering = Camera().render(seen)
    task = simple_task(seen.scene, rendering)
    assert task is not None
    return View(seen.scene, rendering, task, np.random.default_rng(0))


@pytest.mark.parametrize('name', sorted(CASES))
def test_every_wrong_trace_is_one_that_a_model_could_answer(view, name):
    points = CASES[name](view)
    if points is None:
        pytest.skip('the scene does not offer what this case needs')
    trace = Trace(points, view.camera)  # raises when it is no trace at all
    assert len(trace.points) >= 2
    truth = view.truth()
    assert points.shape != truth.shape or np.abs(points - truth).max() > 0.01


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
