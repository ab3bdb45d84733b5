# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The remote backends against an endpoint that misbehaves, over real HTTP."""

from __future__ import annotations

import base64
import gzip
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from PIL import Image

from robotracer_ros.errors import (
    InvalidParameterError,
    NoIntrinsicsError,
    TraceParseError,
    TracerBackendError,
    TracerCancelledError,
    TracerTimeoutError,
)
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.tracer import remote
from robotracer_ros.tracer.base import Budget, Observation, Tracer
from robotracer_ros.tracer.breaker import CircuitBreaker
from robotracer_ros.tracer.openai import OpenAITracer
from robotracer_ros.tracer.robotracer_server import RobotracerServerTracer

KEY = 'sk-very-secret-key'
Reply = Callable[[BaseHTTPRequestHandler], None]


def say(body: Any, status: int = 200, **headers: str) -> Reply:
    """Answer with a body, as JSON unless it is bytes."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace('_', '-'), value)
        handler.send_header('Content-Length', str(len(raw)))
        handler.end_headers()
        handler.wfile.write(raw)

    return reply


def completion(text: Any, finish: str = 'stop', **message: Any) -> Reply:
    return say({'choices': [{'message': {'content': text, **message}, 'finish_reason': finish}]})


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection without a word."""
    handler.close_connection = True


def stall(handler: BaseHTTPRequestHandler) -> None:
    """Begin an answer and never end it, until the client goes."""
    handler.send_response(200)
    handler.send_header('Content-Length', '1000')
    handler.end_headers()
    handler.wfile.write(b'{')
    handler.wfile.flush()
    handler.connection.settimeout(60)
    handler.server.left = handler.rfile.read(1) == b''  # type: ignore[attr-defined]


def flood(handler: BaseHTTPRequestHandler) -> None:
    """Answer without an end."""
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b' ' * 65536)
            handler.server.sent += 65536  # type: ignore[attr-defined]
    except OSError:
        handler.close_connection = True


class Fake(ThreadingHTTPServer):
    """Answers POSTs by a script, the last entry again and again."""

    daemon_threads = True

    def __init__(self) -> None:
        self.script: list[Reply] = []
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.listed: Reply = say({'data': [{'id': 'vlm'}]})
        self.left = False
        self.sent = 0
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_GET(self) -> None:
                fake.requests.append((self.path, dict(self.headers), None))
                fake.listed(self)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers['Content-Length']))
                posts = sum(body is not None for _, _, body in fake.requests)
                fake.requests.append((self.path, dict(self.headers), json.loads(body)))
                fake.script[min(posts, len(fake.script) - 1)](self)

            def log_message(self, *args: Any) -> None:
                pass

        super().__init__(('127.0.0.1', 0), Handler)

    @property
    def url(self) -> str:
        return f'http://127.0.0.1:{self.server_port}'

    @property
    def posts(self) -> list[Any]:
        """Bodies of the POSTs."""
        return [body for _, _, body in self.requests if body is not None]


@pytest.fixture
def fake() -> Iterator[Fake]:
    server = Fake()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait long between attempts."""
    monkeypatch.setattr(remote, '_BACKOFF_S', 0.01)
    monkeypatch.setenv('OPENAI_API_KEY', KEY)
    monkeypatch.delenv('ROBOTRACER_TOKEN', raising=False)


@pytest.fixture
def make(fake: Fake) -> Iterator[Callable[..., OpenAITracer]]:
    """Return a maker of loaded tracers that ask the fake."""
    made: list[Tracer] = []

    def build(*script: Reply, **options: Any) -> OpenAITracer:
        fake.script = list(script)
        tracer = OpenAITracer(f'{fake.url}/v1', **options)
        made.append(tracer)
        tracer.load()
        return tracer

    yield build
    for tracer in made:
        tracer.close()


def view(**changes: Any) -> Observation:
    given: dict[str, Any] = {
        'rgb': np.random.default_rng(0).integers(0, 256, (48, 96, 3), np.uint8),
        'depth': np.full((48, 96), 1.25, np.float32),
        'camera': CameraModel(96, 48, 90, 90, 47.5, 23.5),
        'frame_id': 'eye',
        'stamp_ns': 7,
    }
    return Observation(**{**given, **changes})


GOOD = completion('{"points": [[120, 340, 0.812], [500, 300, 0.75]]}')
TASK = 'put the red mug on the tray'


def test_a_general_model_is_asked_and_read(make: Any, fake: Fake) -> None:
    tracer = make(GOOD)
    trace = tracer.predict(view(), TASK)
    assert trace.points.tolist() == [[120, 340, 0.812], [500, 300, 0.75]]
    assert (trace.model, trace.frame_id, trace.stamp_ns) == ('openai:vlm', 'eye', 7)
    assert trace.raw_text == '{"points": [[120, 340, 0.812], [500, 300, 0.75]]}'
    assert np.isnan(trace.metric_scale)
    path, headers, body = fake.requests[-1]
    assert path == '/v1/chat/completions'
    assert headers['Authorization'] == f'Bearer {KEY}'
    assert (body['model'], body['temperature'], body['max_tokens']) == ('vlm', 0, 1024)
    picture, text = body['messages'][0]['content']
    assert f'"{TASK}"' in text['text']
    assert 'focal lengths are 938' in text['text']
    assert '1.25 1.25' in text['text']
    data = base64.b64decode(picture['image_url']['url'].removeprefix('data:image/jpeg;base64,'))
    assert Image.open(io.BytesIO(data)).size == (96, 48)


def test_other_forms_of_asking(make: Any, fake: Fake) -> None:
    tracer = make(GOOD, depth_form='picture', tell_camera=False, image_form='png', max_image_px=48,
                  token_field='max_completion_tokens', max_tokens=99, temperature=-1.0)
    tracer.predict(view(), TASK)
    body = fake.posts[-1]
    assert 'temperature' not in body
    assert 'max_tokens' not in body
    assert body['max_completion_tokens'] == 99
    *pictures, text = body['messages'][0]['content']
    assert 'measured depth' in text['text']
    assert 'focal' not in text['text']
    for picture in pictures:
        data = base64.b64decode(picture['image_url']['url'].removeprefix('data:image/png;base64,'))
        assert Image.open(io.BytesIO(data)).size == (48, 24)
    assert len(pictures) == 2
    tracer = make(GOOD, depth_form='none')
    tracer.predict(view(), TASK)
    assert 'depth' in fake.posts[-1]['messages'][0]['content'][1]['text']
    assert 'sensor' not in fake.posts[-1]['messages'][0]['content'][1]['text']
    assert tracer.predict(view(depth=None), TASK).points.shape == (2, 3)


def test_flat_answers_take_measured_depth(make: Any) -> None:
    tracer = make(completion('[[120, 340], [500, 300]]'), dimensions=2)
    assert tracer.predict(view(), TASK).points[:, 2].tolist() == [1.25, 1.25]
    with pytest.raises(TraceParseError, match='no depth'):
        tracer.predict(view(depth=None), TASK)


def test_refer_and_measure(make: Any) -> None:
    tracer = make(completion('{"points": [[120, 340, 0.8]]}'), completion('{"metres": 0.095}'))
    point = tracer.refer(view(camera=None), 'the red mug')
    assert (point.point, point.raw_text) == ((120, 340, 0.8), '{"points": [[120, 340, 0.8]]}')
    assert tracer.measure(view(), 'the height of the mug').metres == pytest.approx(0.095)


@pytest.mark.parametrize(('script', 'attempts'), [
    ([say({}, 500), GOOD], 2),
    ([say({}, 503), say({}, 429), GOOD], 3),
    ([hang_up, hang_up, GOOD], 3),
    ([say({}, 408), GOOD], 2),
])
def test_another_attempt_after_trouble(
    make: Any, fake: Fake, script: list[Reply], attempts: int
) -> None:
    assert make(*script).predict(view(), TASK).points.shape == (2, 3)
    assert len(fake.posts) == attempts
    assert all(body == fake.posts[0] for body in fake.posts)


def test_attempts_end(make: Any, fake: Fake) -> None:
    with pytest.raises(TracerBackendError, match=r'3 attempt.*HTTP 500.*broken'):
        make(say({'error': 'broken'}, 500)).predict(view(), TASK)
    assert len(fake.posts) == 3


@pytest.mark.parametrize('status', [301, 400, 401, 403, 404, 413, 422])
def test_no_second_attempt_at_what_is_refused(make: Any, fake: Fake, status: int) -> None:
    """A redirect is not followed: picture and key go nowhere else."""
    tracer = make(say({'error': f'no {KEY}'}, status, Location=f'{fake.url}/elsewhere'))
    with pytest.raises(TracerBackendError, match=f'HTTP {status}') as caught:
        tracer.predict(view(), TASK)
    assert len(fake.posts) == 1
    assert not [path for path, _, _ in fake.requests if 'elsewhere' in path]
    assert KEY not in str(caught.value)


def test_retry_after_is_obeyed_only_inside_the_deadline(make: Any, fake: Fake) -> None:
    tracer = make(say({}, 429, Retry_After='3600'))
    start = time.monotonic()
    with pytest.raises(TracerBackendError, match=r'1 attempt.*HTTP 429'):
        tracer.predict(view(), TASK, budget=Budget(600))
    assert time.monotonic() - start < 300
    assert len(fake.posts) == 1


def test_a_long_pause_is_not_waited_for_without_a_deadline(make: Any, fake: Fake) -> None:
    with pytest.raises(TracerBackendError, match=r'1 attempt.*HTTP 429'):
        make(say({}, 429, Retry_After='90000')).predict(view(), TASK)
    assert len(fake.posts) == 1


@pytest.mark.parametrize('echo', [f'no trace but {KEY}', [{'type': 'text', 'text': KEY}]])
def test_a_key_in_an_answer_goes_no_further(make: Any, echo: Any) -> None:
    """An endpoint that repeats what it was sent must not bring the key into logs."""
    with pytest.raises(TraceParseError) as caught:
        make(completion(echo)).predict(view(), TASK)
    assert KEY not in f'{caught.value} {caught.value.details}'
    assert '***' in f'{caught.value} {caught.value.details}'


def test_closing_between_the_look_and_the_request(make: Any, fake: Fake) -> None:
    """Another thread may close at any moment; the caller is told so, and nothing else."""
    tracer = make(GOOD)
    endpoint = tracer._endpoint
    look = endpoint._check

    def close_after(budget: Budget) -> None:
        look(budget)
        endpoint.close()

    endpoint._check = close_after
    with pytest.raises(TracerCancelledError, match='closed'):
        tracer.predict(view(), TASK)
    assert not fake.posts


def test_the_deadline_ends_an_answer_that_never_ends(make: Any, fake: Fake) -> None:
    tracer = make(stall)
    with pytest.raises(TracerTimeoutError, match='openai at http'):
        tracer.predict(view(), TASK, budget=Budget(0.3))
    wait_until(lambda: fake.left, 'the connection to be closed')


def test_one_attempt_has_an_end_of_its_own(make: Any, fake: Fake) -> None:
    tracer = make(stall, GOOD, attempt_timeout_s=0.3)
    assert tracer.predict(view(), TASK).points.shape == (2, 3)
    assert len(fake.posts) == 2


def test_cancellation_closes_the_connection(make: Any, fake: Fake) -> None:
    tracer = make(stall)
    budget = Budget(600)
    threading.Timer(0.2, budget.cancel).start()
    with pytest.raises(TracerCancelledError):
        tracer.predict(view(), TASK, budget=budget)
    wait_until(lambda: fake.left, 'the connection to be closed')


def test_cancellation_between_attempts(make: Any, fake: Fake) -> None:
    tracer = make(say({}, 429, Retry_After='30'))
    budget = Budget(600)
    threading.Timer(0.2, budget.cancel).start()
    with pytest.raises(TracerCancelledError):
        tracer.predict(view(), TASK, budget=budget)
    assert len(fake.posts) == 1


def test_closing_stops_what_runs(make: Any, fake: Fake) -> None:
    tracer = make(stall)
    threading.Timer(0.2, tracer.close).start()
    with pytest.raises(TracerCancelledError, match='closed'):
        tracer.predict(view(), TASK)
    tracer.close()
    with pytest.raises(TracerBackendError, match='not loaded'):
        tracer.predict(view(), TASK)


def test_a_flood_is_cut_off(make: Any, fake: Fake) -> None:
    with pytest.raises(TracerBackendError, match='more than'):
        make(flood).predict(view(), TASK)
    assert len(fake.posts) == 1
    assert fake.sent < 64 * remote.MAX_ANSWER_BYTES


def test_a_packed_answer_is_not_unpacked(make: Any) -> None:
    """A few kilobytes could become gigabytes."""
    bomb = gzip.compress(bytes(50_000_000))
    with pytest.raises(TracerBackendError, match='gzip'):
        make(say(bomb, Content_Encoding='gzip')).predict(view(), TASK)


@pytest.mark.parametrize('body', [
    b'', b'<html>Bad gateway</html>', b'\xff\xfe\x00', b'[' * 100_000, [], {}, None, 'text', 5,
    {'choices': []}, {'choices': [{}]}, {'choices': [{'message': None}]}, {'choices': [None]},
    {'choices': {'0': 1}}, {'error': {'message': 'no'}},
    {'choices': [{'message': {'content': [{'type': 'text'}]}}]},
])
def test_garbage_is_a_backend_error(make: Any, fake: Fake, body: Any) -> None:
    with pytest.raises(TracerBackendError):
        make(say(body)).predict(view(), TASK)
    assert len(fake.posts) == 1


@pytest.mark.parametrize('reply', [
    completion('I would rather not.'), completion(''), completion(None, refusal='no'),
    completion(7), completion('{"points": [[1, 2, 0.5]'), completion('x' * 2_000_000),
    completion('{"points": [[120, 340, 0.8], [5', 'length'),
])
def test_text_that_is_no_trace_is_a_parse_error(make: Any, fake: Fake, reply: Reply) -> None:
    with pytest.raises(TraceParseError):
        make(reply).predict(view(), TASK)
    assert len(fake.posts) == 1


def test_text_in_parts(make: Any) -> None:
    parts = [{'type': 'text', 'text': '[[1, 2, 0.5],'}, {'type': 'text', 'text': ' [3, 4, 0.5]]'}]
    assert make(completion(parts)).predict(view(), TASK).points.shape == (2, 3)


def test_the_breaker_opens_and_closes(make: Any, fake: Fake) -> None:
    tracer = make(say({}, 500), say({}, 500), say({}, 500), GOOD, retries=0, breaker_failures=2,
                  breaker_pause_s=0.5)
    for _ in range(2):
        with pytest.raises(TracerBackendError, match='HTTP 500'):
            tracer.predict(view(), TASK)
    with pytest.raises(TracerBackendError, match='left alone') as caught:
        tracer.predict(view(), TASK)
    assert len(fake.posts) == 2
    time.sleep(caught.value.details['retry_in_s'])
    # The trial fails and opens it again, the next one closes it.
    with pytest.raises(TracerBackendError, match='HTTP 500'):
        tracer.predict(view(), TASK)
    with pytest.raises(TracerBackendError, match='left alone') as caught:
        tracer.predict(view(), TASK)
    time.sleep(caught.value.details['retry_in_s'])
    assert tracer.predict(view(), TASK).points.shape == (2, 3)
    assert tracer.predict(view(), TASK).points.shape == (2, 3)


def test_breaker_counts() -> None:
    now = [0.0]
    breaker = CircuitBreaker('x', 2, 10.0, lambda: now[0])
    breaker.failed('a')
    breaker.succeeded()
    breaker.failed('b')
    breaker.check()
    breaker.failed('c')
    with pytest.raises(TracerBackendError, match=r'2 times.*10\.0 s.*c'):
        breaker.check()
    now[0] = 10.0
    breaker.check()
    assert breaker.on_trial
    never = CircuitBreaker('x', 0, 10.0, lambda: now[0])
    for _ in range(100):
        never.failed('d')
    never.check()


@pytest.mark.parametrize(('listed', 'model', 'outcome'), [
    (say({'data': [{'id': 'a'}, {'id': 'b'}]}), '', 'lists 2 models, name one: a, b'),
    (say({'data': [{'id': 'a'}, {'id': 'b'}]}), 'c', "no model 'c'; it lists a, b"),
    (say({'data': [{'id': 'a'}, {'id': 'b'}]}), 'b', 'openai:b'),
    (say({'data': [{'id': 'a'}]}), '', 'openai:a'),
    (say({'detail': 'Not Found'}, 404), 'b', 'openai:b'),
    (say({'detail': 'Not Found'}, 404), '', 'HTTP 404'),
    (say({'error': f'bad key {KEY}'}, 401), 'b', r'HTTP 401.*bad key \*\*\*'),
    (say([1]), 'b', 'no list of models'),
])
def test_loading_looks_for_the_model(
    make: Any, fake: Fake, listed: Reply, model: str, outcome: str
) -> None:
    fake.listed = listed
    if outcome.startswith('openai:'):
        assert make(GOOD, model=model).model_name == outcome
        return
    with pytest.raises(TracerBackendError, match=outcome) as caught:
        make(GOOD, model=model)
    assert KEY not in str(caught.value)


def test_nobody_there(fake: Fake) -> None:
    with ThreadingHTTPServer(('127.0.0.1', 0), BaseHTTPRequestHandler) as gone:
        url = f'http://127.0.0.1:{gone.server_port}'
    for tracer in (OpenAITracer(f'{url}/v1', retries=0), RobotracerServerTracer(url, retries=0)):
        with pytest.raises(TracerBackendError, match='ConnectError'):
            tracer.load()
        tracer.close()


@pytest.mark.parametrize('url', [
    'ftp://host/v1', 'host:8000', '', 'http://', 'file:///etc/passwd', 'http://host/v1?key=abc',
    'http://host/v1#x', 'http://[::1', 'https://host:99999999/v1',
])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(InvalidParameterError):
        OpenAITracer(url)


def test_credentials_in_an_address_are_refused_and_not_repeated() -> None:
    with pytest.raises(InvalidParameterError) as caught:
        OpenAITracer(f'https://me:{KEY}@host/v1')
    assert KEY not in str(caught.value)


def test_a_key_never_travels_readably(monkeypatch: pytest.MonkeyPatch) -> None:
    tracer = OpenAITracer('http://gpu.example/v1')
    with pytest.raises(InvalidParameterError, match='OPENAI_API_KEY') as caught:
        tracer.load()
    assert KEY not in str(caught.value)
    monkeypatch.setenv('OPENAI_API_KEY', 'two\nlines')
    with pytest.raises(InvalidParameterError, match='no header') as caught:
        OpenAITracer('https://gpu.example/v1').load()
    assert 'two' not in str(caught.value)


def test_nothing_for_this_machine_goes_through_a_proxy(
    make: Any, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ('HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'all_proxy'):
        monkeypatch.setenv(name, 'http://127.0.0.1:9')
    for name in ('NO_PROXY', 'no_proxy'):
        monkeypatch.delenv(name, raising=False)
    assert make(GOOD).predict(view(), TASK).points.shape == (2, 3)


def test_without_a_key_none_is_sent(make: Any, fake: Fake) -> None:
    make(GOOD, key_variable='').predict(view(), TASK)
    assert not [h for _, h, _ in fake.requests if 'Authorization' in h]


@pytest.mark.parametrize('options', [
    {'dialect': 'xml'}, {'dimensions': 4}, {'depth_form': 'x'}, {'image_form': 'gif'},
    {'max_image_px': 0}, {'max_tokens': 0}, {'token_field': 'x'}, {'retries': -1},
    {'attempt_timeout_s': 0.0}, {'breaker_failures': -1}, {'breaker_pause_s': float('nan')},
])
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameterError, match=next(iter(options))):
        OpenAITracer(**options)


def test_a_trace_needs_intrinsics_before_anything_is_sent(make: Any, fake: Fake) -> None:
    with pytest.raises(NoIntrinsicsError):
        make(GOOD).predict(view(camera=None), TASK)
    assert not fake.posts


def test_an_official_server_without_extensions(fake: Fake) -> None:
    """It knows /query only, and answers with bare tuples."""
    fake.listed = say(b'<html>404</html>', 404)
    fake.script = [
        say({'result': 1, 'answer': '[(120, 340, 0.812), (500, 300, 0.750)]'}),
        say({'result': 1, 'answer': '[(120, 340, 0.812)]'}),
        say({'result': 1, 'answer': 'The mug is 9.5 cm high.'}),
        say({'result': 1}), say([]), say({'answer': None}),
    ]
    tracer = RobotracerServerTracer(fake.url)
    tracer.load()
    try:
        trace = tracer.predict(view(), TASK)
        assert trace.points.tolist() == [[120, 340, 0.812], [500, 300, 0.75]]
        body = fake.posts[-1]
        assert set(body) == {'image_url', 'depth_url', 'enable_depth', 'intrinsics',
                             'enable_spatial', 'text'}
        assert f'3D object-centric visual trace for the task "{TASK}"' in body['text']
        assert tracer.refer(view(), 'the mug').point == (120, 340, 0.812)
        assert tracer.measure(view(), 'the height of the mug').metres == pytest.approx(0.095)
        for _ in range(3):
            with pytest.raises(TracerBackendError, match="no text 'answer'"):
                tracer.predict(view(), TASK)
    finally:
        tracer.close()
    assert not [h for _, h, _ in fake.requests if 'Authorization' in h]


def test_folders_that_are_none(tmp_path: Any) -> None:
    with pytest.raises(InvalidParameterError, match='needs a folder'):
        RobotracerServerTracer(form='paths')
    with pytest.raises(InvalidParameterError, match='does not exist'):
        RobotracerServerTracer(form='paths', folder=str(tmp_path / 'none')).load()
    with pytest.raises(InvalidParameterError, match='form'):
        RobotracerServerTracer(form='pigeon')


def wait_until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, f'gave up waiting for {what}'
        time.sleep(0.005)
