# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What `robotracer bench latency` asks and how it counts."""

import pytest

from robotracer_ros.bench.latency import Answer, Turn, _figures, _ratio, measure, turns


@pytest.fixture(scope='module')
def asked():
    return turns(1, 2, first=40)


def test_every_kind_of_answer_is_asked_for(asked):
    assert [t.kind for t in asked] == ['reasoning', 'direct', 'refer', 'measure', 'direct x 2']
    assert [len(t.prompts) for t in asked] == [1, 1, 1, 1, 2]
    assert 'Reason step by step' in asked[0].prompts[0]
    again = turns(1, 2, first=40)
    assert [t.prompts for t in again] == [t.prompts for t in asked]


def test_answers_are_measured_in_a_process_of_their_own(asked):
    told = measure([asked[2], asked[4]], runtimes=('onnx',))
    onnx = told['runtimes']['onnx']
    assert set(onnx['answers']) == {'refer', 'direct x 2'}
    assert onnx['answers']['direct x 2']['answers'] == 2
    assert onnx['answers']['refer']['cpu_ms_median'] > 0
    assert onnx['load_cpu_s'] > 0
    assert 50 < onnx['memory_mb'] < 2000
    assert 'cpu_ratio' not in told


def test_figures_and_ratios_are_those_of_the_kind():
    told = [Turn('refer', None, ['a']), Turn('measure', None, ['b']), Turn('refer', None, ['c'])]
    slow = [Answer(['x'], 10, 0.4, 0.2), Answer(['x'], 5, 1, 1), Answer(['x'], 10, 0.6, 0.4)]
    fast = [Answer(['x'], 10, 0.2, 0.1), Answer(['x'], 5, 1, 1), Answer(['x'], 10, 0.2, 0.1)]
    figures = _figures(told, slow)
    assert figures['refer'] == {
        'answers': 2,
        'wall_ms_median': 500.0,
        'wall_ms_p95': 590.0,
        'cpu_ms_median': 300.0,
        'cpu_ms_p95': 390.0,
        'tokens_per_answer': 10.0,
        'tokens_per_cpu_s': 33.3,
        'answers_per_cpu_s': 3.33,
    }
    assert _ratio(told, slow, fast, 'refer') == 3.0
    assert _ratio(told, slow, fast, 'measure') == 1.0
