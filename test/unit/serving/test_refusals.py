# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the server refuses, over real HTTP: each test sends something that must not get through."""

from __future__ import annotations

import asyncio
import io
import json
import os
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from http_rig import CAMERA, INSTRUCTION, WEB, Held, running, view

from robotracer_ros.serving.app import ServeAccess, ServeLimits, create_app
from robotracer_ros.serving.pictures import PictureLimits
from robotracer_ros.tracer.pictures import data_uri, encode_colour, encode_depth, text64

TOKEN = 'correct-horse-battery'
LIMITS = ServeLimits(
    max_body_bytes=400_000,
    picture=PictureLimits(max_pixels=10_000, max_bytes=100_000),
    body_timeout_s=0.5,
)


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an allowed picture, beside a secret that is none of a client's business."""
    base = tmp_path_factory.mktemp('base')
    (base / 'allowed').mkdir()
    picture = encode_colour(view().rgb)
    (base / 'allowed' / 'image.png').write_bytes(picture)
    (base / 'secret.png').write_bytes(picture)
    (base / 'allowed-too').mkdir()
    (base / 'allowed-too' / 'image.png').write_bytes(picture)
    (base / 'allowed' / 'link.png').symlink_to(base / 'secret.png')
    (base / 'allowed' / 'out').symlink_to(base)
    (base / 'allowed' / 'inside.png').symlink_to(base / 'allowed' / 'image.png')
    (base / 'allowed' / 'note.txt').write_text('no picture')
    (base / 'allowed' / 'big.png').write_bytes(picture + bytes(100_001))
    os.mkfifo(base / 'allowed' / 'pipe.png')
    return base


@pytest.fixture(scope='module')
def held() -> Held:
    """Return a model that answers at once."""
    tracer = Held()
    tracer.release.set()
    return tracer


@pytest.fixture(scope='module')
def url(held: Held, root: Path) -> Iterator[str]:
    """Return a server with tight limits that may read one folder."""
    app = create_app(held, LIMITS, ServeAccess(folder=root / 'allowed'))
    with running(app) as address:
        yield address


def query(**changes: Any) -> dict[str, Any]:
    return {
        'image_url': [text64(encode_colour(view().rgb))],
        'text': INSTRUCTION,
        **changes,
    }


def chat(*parts: Any, image: str | None = None) -> dict[str, Any]:
    shown = {'url': image or data_uri(encode_colour(view().rgb))}
    content = [{'type': 'image_url', 'image_url': shown}, {'type': 'text', 'text': INSTRUCTION}]
    return {'messages': [{'role': 'user', 'content': [*content, *parts]}]}


def refused(url: str, route: str, body: Any, status: int, code: str, words: str = '') -> str:
    """Send a request; check that it is refused as it should be; return the message."""
    raw = body if isinstance(body, (bytes, str)) else json.dumps(body)
    answer = WEB.post(
        f'{url}{route}', content=raw, headers={'Content-Type': 'application/json'}, timeout=30
    )
    error = answer.json()['error']
    assert (answer.status_code, error['code']) == (status, code), error
    assert words in error['message']
    assert error['type'] == ('server_error' if status >= 500 else 'invalid_request_error')
    return str(error['message'])


def test_the_requests_of_these_tests_are_good_as_such(url: str) -> None:
    """Without it the refusals below could have any reason."""
    assert WEB.post(f'{url}/query', json=query()).status_code == 200
    assert WEB.post(f'{url}/v1/chat/completions', json=chat()).status_code == 200


# --- files and addresses -------------------------------------------------------------------------

@pytest.mark.parametrize('path', [
    '../secret.png', '{base}/secret.png', 'link.png', 'out/secret.png', '{base}/allowed/../secret.png',
    '{base}/allowed-too/image.png', '/etc/passwd', '/proc/self/environ', 'nowhere.png', '', '.',
    'pipe.png', '/dev/zero', 'image.png\x00', 'a' * 5000, 'file:///etc/passwd', '~/x.png',
])
def test_no_file_outside_the_folder_is_read(url: str, root: Path, path: str) -> None:
    """The same words for what exists and what does not: nobody learns what is on the disk."""
    named = path.format(base=root)
    for body in (
        {'image_paths': [named], 'text': INSTRUCTION},
        {'image_paths': ['image.png'], 'depth_z_paths': [named], 'text': INSTRUCTION},
    ):
        message = refused(url, '/query', body, 403, 'no_such_file')
        assert message.endswith('is no file inside the allowed folder')


def test_files_inside_the_folder_are_read(url: str, root: Path) -> None:
    for path in ('image.png', f'{root}/allowed/image.png', 'inside.png', 'out/allowed/image.png'):
        body = {'image_paths': [path], 'text': INSTRUCTION}
        assert WEB.post(f'{url}/query', json=body).status_code == 200, path
    for path, status, code in (('note.txt', 400, 'bad_image'), ('big.png', 413, 'too_large')):
        refused(url, '/query', {'image_paths': [path], 'text': INSTRUCTION}, status, code)


def test_without_a_folder_no_path_is_looked_at(held: Held, root: Path) -> None:
    with running(create_app(held)) as address:
        body = {'image_paths': [str(root / 'allowed' / 'image.png')], 'text': INSTRUCTION}
        refused(address, '/query', body, 403, 'paths_not_allowed', '--allow-folder')
        body = query(depth_z_paths=[str(root / 'allowed' / 'image.png')])
        refused(address, '/query', body, 403, 'paths_not_allowed')


def test_no_address_is_fetched(url: str) -> None:
    """A listener stands where the address points: nobody may come."""
    with socket.create_server(('127.0.0.1', 0)) as listener:
        listener.settimeout(0.3)
        address = f'http://127.0.0.1:{listener.getsockname()[1]}/image.png'
        refused(url, '/v1/chat/completions', chat(image=address), 400, 'no_data_uri', 'no address')
        depth = {'type': 'depth', 'depth': {'url': address}}
        refused(url, '/v1/chat/completions', chat(depth), 400, 'no_data_uri')
        refused(url, '/query', query(image_url=[address]), 400, 'bad_base64')
        refused(url, '/query', query(image_paths=[address], image_url=None), 403, 'no_such_file')
        with pytest.raises(TimeoutError):
            listener.accept()
    for other in ('file:///etc/passwd', '/etc/passwd', 'data:text/plain,hello', 'data:', ''):
        refused(url, '/v1/chat/completions', chat(image=other or ' '), 400, 'no_data_uri')


# --- pictures ------------------------------------------------------------------------------------

def png(width: int, height: int, body: bytes = b'', bits: int = 8, kind: int = 0) -> bytes:
    """Return a PNG whose head names any size."""
    def chunk(name: bytes, data: bytes) -> bytes:
        return (struct.pack('>I', len(data)) + name + data
                + struct.pack('>I', zlib.crc32(name + data)))
    head = struct.pack('>IIBBBBB', width, height, bits, kind, 0, 0, 0)
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head) + chunk(b'IDAT', body)
            + chunk(b'IEND', b''))


@pytest.mark.parametrize('size', [(101, 100), (5_000, 5_000), (60_000, 60_000), (2**31 - 1, 1)])
def test_a_picture_that_would_unpack_to_too_many_pixels(url: str, size: tuple[int, int]) -> None:
    bomb = png(*size, body=zlib.compress(bytes(50_000), 9))
    assert len(bomb) < 1000
    refused(url, '/query', query(image_url=[text64(bomb)]), 413, 'too_many_pixels', '10000')
    uri = data_uri(bomb)
    refused(url, '/v1/chat/completions', chat(image=uri), 413, 'too_many_pixels')
    depth = {'type': 'depth', 'depth': {'url': uri}}
    refused(url, '/v1/chat/completions', chat(depth), 413, 'too_many_pixels')


def test_a_text_chunk_that_unpacks_to_much(url: str) -> None:
    """Pillow unpacks compressed notes beside the pixels."""
    data = b'note\x00\x00' + zlib.compress(bytes(80_000_000), 9)
    note = struct.pack('>I', len(data)) + b'zTXt' + data + struct.pack(
        '>I', zlib.crc32(b'zTXt' + data))
    good = encode_colour(view().rgb)
    # Behind the head (8 + 25 bytes); what follows is an ordinary picture.
    refused(url, '/query', query(image_url=[text64(good[:33] + note + good[33:])]), 400, 'bad_image')


@pytest.mark.parametrize('data', [
    b'', b'GIF89a' + bytes(40), b'\x00' * 100, b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n',
    b'<svg xmlns="http://www.w3.org/2000/svg"/>', png(0, 10), png(10, 10), png(10, 10, b'junk'),
])
def test_what_is_no_picture(url: str, data: bytes) -> None:
    refused(url, '/query', query(image_url=[text64(data)]), 400, 'bad_image')


def test_a_picture_cut_in_half(url: str) -> None:
    half = encode_colour(view().rgb)
    refused(url, '/query', query(image_url=[text64(half[: len(half) // 2])]), 400, 'bad_image')


@pytest.mark.parametrize('text', ['!!!', 'abc', 'data:image/png;base64,@@@', 'é', ' '])
def test_what_is_no_base64(url: str, text: str) -> None:
    refused(url, '/query', query(image_url=[text]), 400, 'bad_base64')


def test_one_picture_and_no_more(url: str) -> None:
    image = text64(encode_colour(view().rgb))
    for images in ([], [image, image], [image] * 20):
        refused(url, '/query', query(image_url=images), 400, 'one_image', 'exactly 1')
    refused(url, '/query', {'text': INSTRUCTION}, 400, 'one_image')
    refused(url, '/query', query(image_paths=['image.png']), 400, 'two_forms')
    part = {'type': 'image_url', 'image_url': {'url': f'data:image/png;base64,{image}'}}
    refused(url, '/v1/chat/completions', chat(part), 400, 'one_image')
    refused(url, '/v1/chat/completions', chat(*[part] * 15), 400, 'bad_request')
    refused(url, '/v1/chat/completions',
            {'messages': [{'role': 'user', 'content': 'hi'}]}, 400, 'one_image')


# --- geometry ------------------------------------------------------------------------------------

def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def test_depth_that_is_not_a_number_counts_as_not_measured(url: str, held: Held) -> None:
    depth = np.full((48, 96), 1.0, np.float32)
    depth[0, :4] = (np.nan, np.inf, -np.inf, -1)
    seen = []
    held_ask = held.ask

    def watch(observation: Any, *args: Any, **options: Any) -> Any:
        seen.append(observation)
        return held_ask(observation, *args, **options)

    held.ask = watch  # type: ignore[method-assign]
    try:
        for array in (depth, np.full((48, 96), np.nan), np.zeros((48, 96), np.uint16)):
            body = query(depth_url=[text64(npy(array))], intrinsics=CAMERA.matrix.tolist())
            assert WEB.post(f'{url}/query', json=body).status_code == 200
    finally:
        held.ask = held_ask  # type: ignore[method-assign]
    assert seen[0].depth[0, :4].tolist() == [0, 0, 0, 0]
    assert seen[0].depth[0, 4] == 1
    # Without a single valid pixel there is no depth.
    assert seen[1].depth is None
    assert seen[2].depth is None


class Evil:
    """Would make a folder when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def test_depth_arrays_are_not_trusted(url: str, tmp_path: Path) -> None:
    mark = tmp_path / 'mark'
    evil = io.BytesIO()
    np.save(evil, np.array([[Evil(mark)]], dtype=object), allow_pickle=True)
    huge = npy(np.zeros((48, 96), np.float32)).replace(b'(48, 96)', b'(10**9,)')
    vast = bytearray(npy(np.zeros((48, 96), np.float32)))
    at = vast.index(b'(48, 96), }')
    vast[at : at + 17] = b'(999999999, 96),}'
    for data, status in (
        (evil.getvalue(), 400), (huge, 400), (bytes(vast), 413),
        (npy(np.zeros((48, 96), np.float32))[:-1], 400), (npy(np.zeros(9)), 400),
        (npy(np.zeros((2, 2), complex)), 400), (b'\x93NUMPY', 400), (b'\x93NUMPY\x09\x09' * 9, 400),
        (encode_colour(view().rgb), 400),
    ):
        answer = WEB.post(f'{url}/query', json=query(depth_url=[text64(data)]))
        assert answer.status_code == status, answer.text
    assert not mark.exists()


def test_depth_of_another_view(url: str) -> None:
    other = text64(encode_depth(np.ones((96, 48), np.float32)))
    refused(url, '/query', query(depth_url=[other]), 400, 'other_view', '48x96')


NAN = float('nan')
GOOD = CAMERA.matrix.tolist()


@pytest.mark.parametrize(('k', 'code'), [
    ([[NAN, 0, 1], [0, 1, 1], [0, 0, 1]], 'bad_json'),
    ([[float('inf'), 0, 1], [0, 1, 1], [0, 0, 1]], 'bad_json'),
    ([[0, 0, 1], [0, 9, 1], [0, 0, 1]], 'bad_intrinsics'),
    ([[-9, 0, 1], [0, 9, 1], [0, 0, 1]], 'bad_intrinsics'),
    ([[1e300, 0, 1], [0, 9, 1], [0, 0, 1]], 'bad_intrinsics'),
    ([[9, 0, 1e300], [0, 9, 1], [0, 0, 1]], 'bad_intrinsics'),
    ([[9, 0, 1], [0, 9, 1]], 'bad_intrinsics'),
    ([[9, 0], [0, 9, 1], [0, 0, 1]], 'bad_intrinsics'),
    ([[]], 'bad_intrinsics'),
    ([[[]]], 'bad_intrinsics'),
    ('9,9,1,1', 'bad_request'),
    ([['a', 0, 1], [0, 9, 1], [0, 0, 1]], 'bad_request'),
    ([[0] * 9] * 9, 'bad_request'),
])
def test_intrinsics_that_are_none(url: str, k: Any, code: str) -> None:
    refused(url, '/query', query(intrinsics=k), 400, code)
    part = {'type': 'camera', 'camera': {'intrinsics': k}}
    expected = 'bad_request' if k == [[[]]] else code
    refused(url, '/v1/chat/completions', chat(part), 400, expected)


def test_a_number_too_large_for_a_float(url: str) -> None:
    raw = json.dumps(query(intrinsics=GOOD)).replace('90.0', '1e999')
    refused(url, '/query', raw, 400, 'bad_request', 'finite')


@pytest.mark.parametrize('pose', [
    [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 0], [0, 0, 0, 1]],
    [[2, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
    [[1e200, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
    [[1, 0, 0, 1e9], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
    [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 2]],
    [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
])
def test_a_pose_that_is_none(url: str, pose: Any) -> None:
    part = {'type': 'camera', 'camera': {'gravity_from_camera': pose}}
    refused(url, '/v1/chat/completions', chat(part), 400, 'bad_pose')


def test_a_camera_of_another_view(url: str) -> None:
    part = {'type': 'camera', 'camera': {'intrinsics': GOOD, 'width': 48, 'height': 96}}
    refused(url, '/v1/chat/completions', chat(part), 400, 'other_view')
    part = {'type': 'camera', 'camera': {'intrinsics': GOOD}}
    refused(url, '/v1/chat/completions', chat(part, part), 400, 'too_many')


# --- requests ------------------------------------------------------------------------------------

@pytest.mark.parametrize(('raw', 'code'), [
    ('', 'bad_json'), ('{', 'bad_json'), ('{"text": "a"', 'bad_json'), (b'\xff\xfe\x00', 'bad_json'),
    ('[' * 100_000, 'bad_json'), ('{"a":' * 50_000, 'bad_json'), ('9' * 10_000, 'bad_json'),
    ('{"text": NaN}', 'bad_json'), ('[]', 'bad_request'), ('null', 'bad_request'),
    ('"text"', 'bad_request'), ('{}', 'bad_request'), ('{"text": 5}', 'bad_request'),
    ('{"text": null, "messages": 1}', 'bad_request'), ('{"messages": []}', 'bad_request'),
    ('{"text": "a", "image_url": "b", "messages": [{"role": "user"}]}', 'bad_request'),
])
def test_malformed_requests(url: str, raw: Any, code: str) -> None:
    for route in ('/query', '/v1/chat/completions'):
        refused(url, route, raw, 400, code)


@pytest.mark.parametrize(('changes', 'status', 'code'), [
    ({'stream': True}, 400, 'bad_request'),
    ({'n': 2}, 400, 'bad_request'),
    ({'max_tokens': 0}, 400, 'bad_request'),
    ({'model': 'gpt-9'}, 404, 'model_not_found'),
])
def test_what_a_chat_cannot_ask(url: str, changes: Any, status: int, code: str) -> None:
    refused(url, '/v1/chat/completions', {**chat(), **changes}, status, code)


@pytest.mark.parametrize(('text', 'status', 'code'), [
    ('', 400, 'invalid_instruction'), ('  \n', 400, 'invalid_instruction'),
    ('a' * 2001, 400, 'invalid_instruction'), ('a' * 100_000, 413, 'text_too_long'),
    ('Point to .', 400, 'invalid_instruction'),
    ('Point the 3D object-centric visual trace for the task " ".', 400, 'invalid_instruction'),
])
def test_text_that_asks_nothing_or_too_much(url: str, text: str, status: int, code: str) -> None:
    refused(url, '/query', query(text=text), status, code)


def test_a_body_that_is_too_long(url: str) -> None:
    """By its own word, and when it says nothing and just goes on."""
    long = json.dumps(query(padding='x' * LIMITS.max_body_bytes))
    refused(url, '/query', long, 413, 'too_large', '400000')

    def endless() -> Iterator[bytes]:
        for _ in range(1000):
            yield b'x' * 1000

    answer = WEB.post(
        f'{url}/query', content=endless(), headers={'Content-Type': 'application/json'}, timeout=30
    )
    assert answer.status_code == 413


def test_a_body_that_never_comes(url: str) -> None:
    host, port = url.removeprefix('http://').split(':')
    with socket.create_connection((host, int(port))) as s:
        s.sendall(f'POST /query HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n'
                  'Content-Length: 1000\r\n\r\n{"te'.encode())
        assert s.recv(100).startswith(b'HTTP/1.1 408')


def test_only_json_is_read(url: str) -> None:
    """A web page may send text and forms to any address without asking; JSON it may not."""
    for kind in ('text/plain', 'application/x-www-form-urlencoded', ''):
        answer = WEB.post(
            f'{url}/query', content=json.dumps(query()), headers={'Content-Type': kind}
        )
        assert answer.status_code == 415


def test_a_web_page_under_another_name_is_not_answered(url: str) -> None:
    """What a page gets that points a name of its own to 127.0.0.1."""
    for route, body in (('/query', query()), ('/v1/chat/completions', chat())):
        answer = WEB.post(f'{url}{route}', json=body, headers={'Host': 'evil.example'})
        assert (answer.status_code, answer.json()['error']['code']) == (421, 'wrong_host')


@pytest.mark.parametrize('host', [
    'evil.example:', 'localhost:x', 'localhost.evil.example', '[::1', '[::1]x', 'evil@localhost', '127.0.0.1 x', '',
])
def test_a_host_that_is_none_is_not_taken_for_this_machine(url: str, host: str) -> None:
    """Frameworks put the server's own address in the place of what they cannot read."""
    host_and_port = url.removeprefix('http://').split(':')
    with socket.create_connection((host_and_port[0], int(host_and_port[1]))) as s:
        s.sendall(b'GET /v1/models HTTP/1.1\r\nHost: ' + host.encode()
                  + b'\r\nConnection: close\r\n\r\n')
        assert s.makefile('rb').readline().split()[1] == b'421'


@pytest.mark.parametrize('host', ['localhost', 'LOCALHOST:80', '127.0.0.1:25554', '[::1]', '[::1]:25554'])
def test_names_of_this_machine_are_answered(url: str, host: str) -> None:
    assert WEB.get(f'{url}/v1/models', headers={'Host': host}).status_code == 200


def test_unknown_routes_answer_in_the_same_form(url: str) -> None:
    for method, route, status in (('GET', '/query', 405), ('GET', '/docs', 404), ('PUT', '/x', 404),
                                  ('GET', '/openapi.json', 404), ('GET', '/../etc/passwd', 404)):
        answer = WEB.request(method, f'{url}{route}')
        assert answer.status_code == status
        assert answer.json()['error']['code'] == 'http'


def test_the_token(held: Held, root: Path) -> None:
    with running(create_app(held, access=ServeAccess(token=TOKEN))) as address:
        for given in (None, '', 'Bearer', 'Bearer wrong', f'Bearer {TOKEN}x', f'Basic {TOKEN}',
                      f'Bearer {TOKEN[:-1]}', TOKEN):
            headers = {} if given is None else {'Authorization': given}
            for method, route in (('POST', '/query'), ('POST', '/v1/chat/completions'),
                                  ('GET', '/v1/models')):
                answer = WEB.request(
                    method, f'{address}{route}', headers=headers,
                    json=query() if method == 'POST' else None)
                assert answer.status_code == 401, given
                assert TOKEN not in answer.text
        good = {'Authorization': f'Bearer {TOKEN}', 'Host': 'robot.example'}
        assert WEB.get(f'{address}/v1/models', headers=good).status_code == 200
        assert WEB.post(f'{address}/query', json=query(), headers=good).status_code == 200


def test_a_fault_of_the_server_tells_no_secrets(held: Held) -> None:
    class Broken(Held):
        def ask(self, *args: Any, **options: Any) -> Any:
            raise ZeroDivisionError('secret path')

    with running(create_app(Broken())) as address:
        answer = WEB.post(f'{address}/query', json=query())
        assert (answer.status_code, answer.json()['error']['code']) == (500, 'internal')
        assert 'secret' not in answer.text
        assert WEB.post(f'{address}/query', json=query()).status_code == 500


# --- load ----------------------------------------------------------------------------------------

def until(condition: Any, what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, f'gave up waiting for {what}'
        time.sleep(0.005)


def send(url: str, count: int, answers: list[httpx2.Response]) -> list[threading.Thread]:
    def one() -> None:
        answers.append(WEB.post(f'{url}/query', json=query()))

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def busy(url: str) -> int:
    return int(WEB.get(f'{url}/healthz').json()['requests'])


def test_one_at_a_time_and_a_short_queue() -> None:
    slow = Held()
    with running(create_app(slow, ServeLimits(waiting=2, timeout_s=120))) as address:
        answers: list[httpx2.Response] = []
        threads = send(address, 3, answers)
        try:
            until(lambda: busy(address) == 3 and slow.running == 1, 'a full house')
            extra = WEB.post(f'{address}/query', json=query())
            assert (extra.status_code, extra.json()['error']['code']) == (429, 'busy')
            assert extra.headers['retry-after'] == '1'
        finally:
            slow.release.set()
            for thread in threads:
                thread.join()
        assert [a.status_code for a in answers] == [200, 200, 200]
        assert slow.most == 1
        until(lambda: busy(address) == 0, 'an empty house')


def test_deadlines_of_the_answered_and_of_the_waiting() -> None:
    slow = Held()
    with running(create_app(slow, ServeLimits(waiting=1, timeout_s=0.5))) as address:
        answers: list[httpx2.Response] = []
        for thread in send(address, 2, answers):
            thread.join()
        codes = {a.json()['error']['code'] for a in answers}
        # Which error the second one gets hangs on whether the first one left it a moment.
        assert 'timeout' in codes
        assert codes <= {'timeout', 'overloaded'}
        assert {a.status_code for a in answers} <= {504, 503}
        # The server is as good as new.
        slow.release.set()
        assert WEB.post(f'{address}/query', json=query()).status_code == 200


def test_nobody_works_for_a_client_who_has_gone() -> None:
    slow = Held()
    with running(create_app(slow, ServeLimits(waiting=2, timeout_s=120))) as address:
        async def leave() -> None:
            async with httpx2.AsyncClient(timeout=60) as client:
                asked = [asyncio.ensure_future(client.post(f'{address}/query', json=query()))
                         for _ in range(2)]
                while slow.running == 0 or (
                    (await client.get(f'{address}/healthz')).json()['requests'] < 2
                ):
                    await asyncio.sleep(0.01)
                for one in asked:
                    one.cancel()
                await asyncio.gather(*asked, return_exceptions=True)

        asyncio.run(leave())
        until(lambda: busy(address) == 0, 'the places of those who left')
        assert slow.running == 0
        # The one that waited was never begun.
        assert slow.ended == ['TracerCancelledError']
        slow.release.set()
        assert WEB.post(f'{address}/query', json=query()).status_code == 200
