# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0

import json

import pytest

from robotracer_ros.bench.data import AIMS, Stages, main, measure


def test_stages_add_up():
    stages = Stages()
    for _ in range(2):
        with stages.of('work'):
            sum(range(20000))
    with pytest.raises(KeyError), stages.of('broken'):
        raise KeyError
    assert stages['work'] > 0


def test_figures_with_and_without_pictures(capsys):
    bare = measure(2, 3, False)
    assert set(bare['cpu_s']) == {'scene', 'facts', 'tasks', 'texts'}
    assert main(['--scenes', '2', '--traces', '3', '--json']) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {'without_rendering', 'with_rendering'}
    for name, rendered in (('without_rendering', False), ('with_rendering', True)):
        r = found[name]
        assert (r['rendered'], r['aim']) == (rendered, AIMS[rendered])
        assert 0 < r['traces'] <= 6
        total = sum(r['cpu_s'].values())
        assert r['traces_per_core_hour'] == pytest.approx(3600 * r['traces'] / total, rel=0.05)
        assert sum(r['primitives'].values()) == pytest.approx(1, abs=1e-3)
        assert r['attempts']['accepted'] == r['traces']
    assert {'render', 'encode', 'write'} < set(found['with_rendering']['cpu_s'])
    # The same scenes and numbers give the same traces.
    assert found['without_rendering']['primitives'] == bare['primitives']
