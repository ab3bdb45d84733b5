# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Tracers elsewhere, chosen by parameters of the perception node; server, HTTP and DDS are real."""

import pytest
from http_rig import INSTRUCTION, TRACE, Held, running
from perception_rig import CAMERA, FRAME, Rig, wait_for, write_answers

from robotracer_ros.nodes.conversions import trace_from_msg
from robotracer_ros.serving.app import ServeAccess, create_app

TOKEN = 'correct-horse-battery'


@pytest.fixture
def served():
    """A server that recites one trace: what is tested is the way there and back."""
    model = Held()
    model.release.set()
    with running(create_app(model, access=ServeAccess(token=TOKEN))) as url:
        yield url, model


@pytest.fixture
def make_rig(ros, tmp_path):
    rigs = []

    def make(**options):
        rigs.append(Rig(write_answers(tmp_path), **options))
        return rigs[-1]
    yield make
    for rig in rigs:
        rig.close()


def check(response):
    assert response.success, response.error_msg
    trace = trace_from_msg(response.trace)
    assert trace.raw_text == TRACE
    assert trace.points.tolist() == [[125, 250, 0.5], [875, 750, 1.25]]
    assert (trace.frame_id, trace.camera, trace.metric_scale) == (FRAME, CAMERA, 1.5)
    return trace


def test_the_node_asks_a_server_and_changes_to_another_protocol(make_rig, served, monkeypatch):
    url, _ = served
    monkeypatch.setenv('ROBOTRACER_TOKEN', TOKEN)
    rig = make_rig(**{
        'tracer.plugin': 'robotracer_server', 'tracer.robotracer_server.url': url,
        'tracer.robotracer_server.retries': 0, 'tracer.robotracer_server.breaker_failures': 1,
        'tracer.timeout_s': 60.0})
    rig.shoot()
    trace = check(rig.ask('predict', instruction=INSTRUCTION))
    assert trace.model == f'robotracer_server:{url}'
    ok, reason = rig.set(**{
        'tracer.plugin': 'openai', 'tracer.openai.base_url': f'{url}/v1',
        'tracer.openai.key_variable': 'ROBOTRACER_TOKEN', 'tracer.openai.dialect': 'robotracer'})
    assert ok, reason
    rig.shoot()
    assert check(rig.ask('predict', instruction=INSTRUCTION)).model == 'openai:held'
    # No parameter and no report holds the token.
    values = [p.value for p in rig.node.get_parameters(list(rig.node._parameters))]
    assert TOKEN not in str(values)
    assert TOKEN not in str(rig.statuses)


def test_a_deadline_reaches_through_to_the_server(make_rig, served, monkeypatch):
    url, model = served
    monkeypatch.setenv('ROBOTRACER_TOKEN', TOKEN)
    model.release.clear()
    rig = make_rig(**{'tracer.plugin': 'robotracer_server',
                      'tracer.robotracer_server.url': url, 'tracer.timeout_s': 0.5})
    rig.shoot()
    response = rig.ask('predict', instruction=INSTRUCTION)
    assert (response.success, response.error_code) == (False, 203)
    wait_for(lambda: model.ended, 'the server to stop as well')
    assert model.ended == ['TracerCancelledError']


def test_a_server_that_is_not_there_is_said_when_configuring(make_rig):
    rig = make_rig(**{'tracer.plugin': 'openai', 'tracer.openai.retries': 0,
                      'tracer.openai.base_url': 'http://127.0.0.1:9/v1'}, start=False)
    assert rig.run(rig.node.trigger_configure).name == 'FAILURE'
