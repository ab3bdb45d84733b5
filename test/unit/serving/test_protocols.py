# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Both protocols over real HTTP, with a real model behind: by hand and by our own clients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from http_rig import CAMERA, INSTRUCTION, LENGTH, LESSONS, POINT, TRACE, WEB, running, view

from robotracer_ros.geometry.trace import TraceKind
from robotracer_ros.serving.app import ServeAccess, ServeLimits, create_app
from robotracer_ros.serving.questions import model_prompt
from robotracer_ros.tracer.base import Budget, Observation, Tracer
from robotracer_ros.tracer.local import LocalTracer
from robotracer_ros.tracer.openai import OpenAITracer
from robotracer_ros.tracer.pictures import data_uri, encode_colour, encode_depth, text64
from robotracer_ros.tracer.prompts import (
    lift_prompt,
    measure_prompt,
    refer_prompt,
    trace_prompt,
)
from robotracer_ros.tracer.robotracer_server import RobotracerServerTracer

OFFICIAL = (
    'Point the 3D object-centric visual trace for the task "put it there". Your answer should be '
    'a list like [(x1, y1, d1), (x2, y2, d2), ...].'
)


def openai(url: str, **options: Any) -> OpenAITracer:
    return OpenAITracer(f'{url}/v1', dialect='robotracer', image_form='png', **options)


def base64(url: str, folder: Path) -> Tracer:
    return RobotracerServerTracer(url)


def paths(url: str, folder: Path) -> Tracer:
    return RobotracerServerTracer(url, form='paths', folder=str(folder))


def chat(url: str, folder: Path) -> Tracer:
    return openai(url)


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('pictures')


@pytest.fixture(scope='module')
def shared(tracer: LocalTracer, folder: Path) -> Any:
    """Return the address of a server that may read one folder."""
    with running(create_app(tracer, access=ServeAccess(folder=folder))) as url:
        yield url


@pytest.mark.parametrize('make', [chat, base64, paths])
def test_a_trace_over_http_is_the_local_trace(
    make: Any, shared: str, folder: Path, tracer: LocalTracer
) -> None:
    """The scale hangs on every pixel of every input, so it shows that all of them arrived."""
    seen = view() if make is chat else view(gravity_from_camera=None)
    here = tracer.predict(seen, INSTRUCTION)
    assert here.raw_text == TRACE
    remote = make(shared, folder)
    remote.load()
    try:
        there = remote.predict(seen, INSTRUCTION, budget=Budget(60))
        assert there.raw_text == TRACE
        assert there.points.tolist() == here.points.tolist()
        assert there.reasoning == here.reasoning
        assert there.metric_scale == here.metric_scale
        assert (there.frame_id, there.stamp_ns, there.camera) == ('eye', 12, CAMERA)
        assert there.model == remote.model_name
        assert there.inference_time_s > 0
        assert remote.refer(seen, 'it').point == (125, 250, 0.5)
        assert remote.measure(seen, 'it').metres == pytest.approx(0.095)
    finally:
        remote.close()
    assert not list(folder.iterdir()), 'pictures are left behind'


@pytest.mark.parametrize('make', [chat, base64, paths])
@pytest.mark.parametrize('absent', ['depth', 'camera'])
def test_what_is_absent_is_not_made_up(
    make: Any, absent: str, shared: str, folder: Path, tracer: LocalTracer
) -> None:
    """Depth without intrinsics is not sent in the official protocol: the model could not use it."""
    seen = view(gravity_from_camera=None, **{absent: None})
    told = seen if make is chat or absent == 'depth' else view(
        gravity_from_camera=None, camera=None, depth=None)
    prompt = 'Point to it. Answer [(x, y, d)]'
    full = tracer.ask(view(gravity_from_camera=None), prompt).scale
    expected = tracer.ask(told, prompt).scale
    assert expected != full
    remote = make(shared, folder)
    remote.load()
    try:
        scale = remote._ask(seen, prompt, *([True] if make is chat else []), None)[1]
    finally:
        remote.close()
    assert scale == expected


def test_a_flat_trace_takes_measured_depth(shared: str) -> None:
    remote = openai(shared, dimensions=2, reasoning=False)
    remote.load()
    try:
        depth = np.full((48, 96), 0.75, np.float32)
        trace = remote.predict(
            view(depth=depth), INSTRUCTION, kind=TraceKind.END_EFFECTOR_CENTRIC
        )
    finally:
        remote.close()
    assert trace.points.tolist() == [[125, 250, 0.75], [875, 750, 0.75]]
    assert trace.kind is TraceKind.END_EFFECTOR_CENTRIC


def test_pictures_larger_than_the_cap_are_made_smaller(shared: str) -> None:
    """Intrinsics follow the picture; the points, in 0..1000, stay."""
    for remote in (openai(shared, max_image_px=48), RobotracerServerTracer(shared, max_image_px=48)):
        remote.load()
        try:
            assert remote.predict(view(), INSTRUCTION).raw_text == TRACE
        finally:
            remote.close()


def test_the_official_evaluation_is_answered(shared: str, folder: Path, tracer: LocalTracer) -> None:
    """The request as the released client makes it, with its own wording."""
    seen = view(gravity_from_camera=None)
    (folder / 'image.png').write_bytes(encode_colour(seen.rgb))
    assert seen.depth is not None
    (folder / 'depth.png').write_bytes(encode_depth(seen.depth))
    np.save(folder / 'depth.npy', seen.depth)
    try:
        for depth in ('depth.png', 'depth.npy'):
            request = {
                'image_paths': [str(folder / 'image.png')],
                'depth_z_paths': [str(folder / depth)],
                'intrinsics': CAMERA.matrix.tolist(),
                'enable_spatial': 1,
                'text': OFFICIAL,
            }
            answer = WEB.post(f'{shared}/query', json=request).json()
            assert answer['result'] == 1
            # Its reader takes every tuple of the answer for a point, so reasoning stands apart.
            assert answer['answer'] == '<answer>[(125, 250, 0.500), (875, 750, 1.250)]</answer>'
            assert answer['reasoning'] == '<think>\n[Scale] [Scene]: 1.500\n</think>'
            assert answer['scale'] == tracer.ask(seen, next(iter(LESSONS))).scale
        # Without the spatial encoder nothing but colour counts.
        request['enable_spatial'] = 0
        answer = WEB.post(f'{shared}/query', json=request).json()
        rgb = tracer.ask(Observation(seen.rgb), next(iter(LESSONS)))
        assert answer['scale'] == rgb.scale
    finally:
        for file in folder.iterdir():
            file.unlink()


def test_the_general_form_of_the_protocol_is_answered(address: str, tracer: LocalTracer) -> None:
    request = {
        'image_url': [text64(encode_colour(view().rgb))],
        'depth_url': [],
        'enable_depth': 0,
        'text': OFFICIAL,
    }
    answer = WEB.post(f'{address}/query', json=request).json()
    assert answer['scale'] == tracer.ask(Observation(view().rgb), next(iter(LESSONS))).scale


def ask(address: str, text: Any, **changes: Any) -> Any:
    content = [
        {'type': 'image_url', 'image_url': {'url': data_uri(encode_colour(view().rgb))}},
        {'type': 'text', 'text': text},
    ]
    body = {'model': 'micro', 'messages': [{'role': 'user', 'content': content}], **changes}
    return WEB.post(f'{address}/v1/chat/completions', json=body)


def test_a_chat_completion_has_openai_form(address: str) -> None:
    listed = WEB.get(f'{address}/v1/models').json()
    assert [m['id'] for m in listed['data']] == ['micro']
    reply = ask(address, INSTRUCTION).json()
    assert reply['object'] == 'chat.completion'
    assert reply['choices'] == [{
        'index': 0,
        'message': {'role': 'assistant', 'content': TRACE},
        'finish_reason': 'stop',
    }]
    usage = reply['usage']
    assert usage['total_tokens'] == usage['prompt_tokens'] + usage['completion_tokens']
    assert reply['robotracer']['scale'] > 0
    assert reply['robotracer']['prompt'] == next(iter(LESSONS))


def test_an_answer_that_is_cut_says_so(address: str) -> None:
    reply = ask(address, INSTRUCTION, max_tokens=3).json()
    assert reply['choices'][0]['finish_reason'] == 'length'
    assert reply['usage']['completion_tokens'] == 3


def test_the_server_caps_tokens(tracer: LocalTracer) -> None:
    with running(create_app(tracer, ServeLimits(max_tokens=4))) as url:
        assert ask(url, INSTRUCTION, max_tokens=1000).json()['usage']['completion_tokens'] == 4


@pytest.mark.parametrize(('text', 'prompt', 'answer'), [
    ('Point to it.', refer_prompt('it'), POINT),
    ('Point to it. Answer with a list of one tuple, [(x, y, d)].', refer_prompt('it'), POINT),
    ('measure it', measure_prompt('it'), LENGTH),
    ('Point the 2D end-effector-centric visual trace for the task "put it there". Your answer ...',
     trace_prompt(INSTRUCTION, kind=TraceKind.END_EFFECTOR_CENTRIC, dimensions=2), None),
    ('put\n it   there', trace_prompt(INSTRUCTION), TRACE),
    ('say "hello" to it', trace_prompt('say "hello" to it'), None),
])
def test_questions_are_put_into_the_words_of_the_model(
    address: str, text: str, prompt: str, answer: str | None
) -> None:
    assert model_prompt(text, reasoning=True) == prompt
    if answer is not None:
        assert ask(address, text).json()['choices'][0]['message']['content'] == answer


@pytest.mark.parametrize('instruction', [INSTRUCTION, 'say "hello" to it', 'a [(1, 2)] "b" to 3D. C'])
def test_prompts_of_the_model_are_kept(instruction: str) -> None:
    """Whatever the server adds by itself, such as reasoning, is not added to these."""
    prompts = [refer_prompt(instruction), measure_prompt(instruction)]
    for kind in TraceKind:
        prompts.append(lift_prompt(instruction, [(1, 2), (3, 4)], kind=kind))
        prompts += [
            trace_prompt(instruction, kind=kind, dimensions=dimensions, reasoning=reasoning)
            for dimensions in (2, 3) for reasoning in (True, False)
        ]
    for prompt in prompts:
        for reasoning in (True, False):
            assert model_prompt(prompt, reasoning=reasoning) == prompt


def test_system_messages_are_ignored_and_a_conversation_is_refused(address: str) -> None:
    reply = ask(address, INSTRUCTION).json()
    user = {'role': 'user', 'content': 'put it there'}
    image = {'type': 'image_url', 'image_url': {'url': data_uri(encode_colour(view().rgb))}}
    asked = {'role': 'user', 'content': [image, {'type': 'text', 'text': INSTRUCTION}]}
    system = {'role': 'system', 'content': 'Be kind.'}
    again = ask(address, '', messages=[system, asked]).json()
    assert again['choices'] == reply['choices']
    refused = ask(address, '', messages=[user, {'role': 'assistant', 'content': 'no'}, asked])
    assert (refused.status_code, refused.json()['error']['code']) == (400, 'one_question')
