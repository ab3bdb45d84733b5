# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""``robotracer serve``: load the model, then listen."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.serving.app import ServeAccess, ServeLimits, create_app
from robotracer_ros.tracer.local import LocalTracer
from robotracer_ros.tracer.remote import is_loopback

TOKEN_VARIABLE = 'ROBOTRACER_TOKEN'
_MIN_TOKEN_CHARS = 16
#: connections at once; beyond, uvicorn answers 503 without reading anything
_CONNECTIONS = 64


@dataclass(frozen=True)
class ServeOptions:
    """How the server runs.

    Attributes:
        host, port: Where it listens. Beyond this machine a token is a must.
        checkpoint, device, dtype, threads: As of the local tracer.
        reasoning: Ask for reasoning where a question does not say.
        allow_folder: Folder whose files a client may name in ``/query``.
        limits: What a request may cost.
        certificate, key: PEM files; with both it speaks https.
    """

    host: str = '127.0.0.1'
    port: int = 25554
    checkpoint: str = 'robotracer-tiny'
    device: str = 'auto'
    dtype: str = 'auto'
    threads: int = 1
    reasoning: bool = True
    allow_folder: Path | None = None
    limits: ServeLimits = field(default_factory=ServeLimits)
    certificate: Path | None = None
    key: Path | None = None


def make_server(options: ServeOptions) -> tuple[uvicorn.Server, LocalTracer]:
    """Load the model and return a server that is ready to run; the caller closes the tracer.

    Raises:
        InvalidParameterError: the token is missing where it is a must, or too short; the folder
            does not exist; only one of certificate and key is given.
        TracerError subclasses: the checkpoint does not load.
    """
    access = ServeAccess(_token(options.host), options.allow_folder)
    if access.folder is not None and not access.folder.is_dir():
        raise InvalidParameterError(f"--allow-folder '{access.folder}' does not exist")
    if (options.certificate is None) != (options.key is None):
        raise InvalidParameterError('https needs both --tls-certificate and --tls-key')
    tracer = LocalTracer(
        checkpoint=options.checkpoint,
        device=options.device,
        dtype=options.dtype,
        threads=options.threads,
    )
    tracer.load()
    app = create_app(tracer, options.limits, access, reasoning=options.reasoning)
    config = uvicorn.Config(
        app,
        host=options.host,
        port=options.port,
        http='h11',
        ws='none',
        lifespan='off',
        proxy_headers=False,
        server_header=False,
        date_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=5,
        ssl_certfile=options.certificate,
        ssl_keyfile=options.key,
    )
    return uvicorn.Server(config), tracer


def serve(options: ServeOptions) -> None:
    """Serve until interrupted. Raises as :func:`make_server`."""
    server, tracer = make_server(options)
    try:
        server.run()
    finally:
        server.config.app.state.service.close()  # type: ignore[union-attr]
        tracer.close()


def _token(host: str) -> str:
    token = os.environ.get(TOKEN_VARIABLE, '').strip()
    if token and (len(token) < _MIN_TOKEN_CHARS or not token.isascii() or not token.isprintable()):
        raise InvalidParameterError(
            f'${TOKEN_VARIABLE} must have at least {_MIN_TOKEN_CHARS} printable ASCII characters'
        )
    if not token and not is_loopback(host):
        raise InvalidParameterError(
            f"--host '{host}' is open to other machines: set ${TOKEN_VARIABLE} first"
        )
    return token

