# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The command that serves: as a process, and what it refuses to start."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from http_rig import INSTRUCTION, TRACE, WEB, Held, running, view
from typer.testing import CliRunner

from robotracer_ros.cli import app
from robotracer_ros.errors import (
    CheckpointError,
    InvalidParameterError,
    MissingPackageError,
    TracerBackendError,
)
from robotracer_ros.serving.app import ServeAccess, create_app
from robotracer_ros.serving.server import TOKEN_VARIABLE, ServeOptions, make_server
from robotracer_ros.tracer.openai import OpenAITracer
from robotracer_ros.tracer.robotracer_server import RobotracerServerTracer

TOKEN = 'correct-horse-battery'


def test_the_command_serves_until_interrupted(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    command = [sys.executable, '-m', 'robotracer_ros', 'serve', '--port', '0',
               '--checkpoint', str(checkpoint), '--device', 'cpu']
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            said = ''
            while not (found := re.search(r'running on (http://127\.0\.0\.1:\d+)', said)):
                line = process.stdout.readline()
                assert line, said
                said += line
            url = found[1]
            assert WEB.get(f'{url}/v1/models').status_code == 401
            tracer = OpenAITracer(f'{url}/v1', key_variable=TOKEN_VARIABLE, dialect='robotracer')
            tracer.load()
            try:
                assert tracer.predict(view(), INSTRUCTION).raw_text == TRACE
            finally:
                tracer.close()
            process.send_signal(signal.SIGINT)
            said += process.communicate(timeout=120)[0]
        finally:
            process.kill()
    assert TOKEN not in said
    assert 'POST /v1/chat/completions' in said


def test_https_with_a_certificate_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client accepts it when SSL_CERT_FILE names it, and not before."""
    key, certificate = tmp_path / 'key.pem', tmp_path / 'certificate.pem'
    subprocess.run(
        ['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1',
         '-nodes', '-days', '2', '-keyout', str(key), '-out', str(certificate), '-subj',
         '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'],
        check=True, capture_output=True)
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    held = Held()
    held.release.set()
    api = create_app(held, access=ServeAccess(token=TOKEN))
    with running(api, ssl_certfile=certificate, ssl_keyfile=key) as url:
        tracer = RobotracerServerTracer(url, retries=0)
        with pytest.raises(TracerBackendError, match='certificate'):
            tracer.load()
        monkeypatch.setenv('SSL_CERT_FILE', str(certificate))
        tracer.load()
        try:
            assert tracer.predict(view(), INSTRUCTION).raw_text == TRACE
        finally:
            tracer.close()


@pytest.mark.parametrize(('options', 'token', 'why'), [
    ({'host': '0.0.0.0'}, '', 'open to other machines'),
    ({'host': '192.0.2.1'}, '', 'open to other machines'),
    ({'host': 'robot.example'}, '', 'open to other machines'),
    ({}, 'short', 'at least 16'),
    ({}, 'sixteen\tcharacters', 'printable'),
    ({'allow_folder': Path('nowhere')}, '', "'nowhere' does not exist"),
    ({'certificate': Path('a.pem')}, '', 'both'),
])
def test_what_does_not_start(
    options: dict, token: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, token)
    with pytest.raises(InvalidParameterError, match=why) as caught:
        make_server(ServeOptions(**options))
    assert not token or token not in str(caught.value)


def test_no_checkpoint_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    with pytest.raises(CheckpointError):
        make_server(ServeOptions(checkpoint='none-such'))


@pytest.mark.parametrize('arguments', [
    ['--waiting', '-1'], ['--timeout', '0'], ['--max-megapixels', '0'],
])
def test_limits_that_are_none(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(app, ['serve', *arguments])
    assert isinstance(result.exception, InvalidParameterError)


def test_the_packages_of_the_extra_are_named_when_they_are_missing(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [n for n in sys.modules if n.startswith('robotracer_ros.serving')]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'uvicorn', None)
    result = CliRunner().invoke(app, ['serve'])
    assert isinstance(result.exception, MissingPackageError)
    assert "'uvicorn'" in str(result.exception)
    assert 'pip install fastapi uvicorn' in str(result.exception)
