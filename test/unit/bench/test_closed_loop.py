# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import pytest

from robotracer_ros.bench.closed_loop import Episode, run_episode, summary
from robotracer_ros.bench.plan import measure
from robotracer_ros.planning.ompl import OmplPlanner


def test_summary_counts_only_scenes_with_a_task():
    runs = [
        Episode(1, success=True, stage='done', plan_s=0.1),
        Episode(2, stage='plan', cause='x'),
        Episode(3),
    ]
    s = summary(runs)
    assert s['episodes'] == 2 and s['success_rate'] == 0.5 and s['without_task'] == 1
    assert s['failures_by_stage'] == {'plan': 1}
    assert [f['seed'] for f in s['failures']] == [2]


@pytest.mark.slow
def test_ground_truth_traces_end_in_the_goal():
    """The whole loop in physics, from rendered depth: no test double anywhere."""
    planner = OmplPlanner()
    planner.load()
    runs = [run_episode(seed, planner) for seed in (0, 2, 7, 9)]
    assert all(e.success for e in runs), [(e.seed, e.stage, e.cause) for e in runs]
    assert not any(e.contacts for e in runs)


@pytest.mark.slow
def test_planning_bench_plans_every_trace():
    result = measure(5)
    assert result['planned'] == 5 and result['failures'] == []
    assert set(result['stages_wall_ms']) >= {'scene', 'grasp', 'ik', 'timing', 'verify'}
