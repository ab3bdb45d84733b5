# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The HTTP application: routes, token, limits, errors as JSON."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import math
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from robotracer_ros.errors import (
    InputError,
    InvalidInstructionError,
    InvalidParameterError,
    RobotracerError,
    TracerCancelledError,
    TracerTimeoutError,
)
from robotracer_ros.serving.gate import Gate
from robotracer_ros.serving.pictures import Folder, PictureLimits
from robotracer_ros.serving.questions import model_prompt, split_reasoning
from robotracer_ros.serving.refusal import Refusal
from robotracer_ros.serving.requests import Chat, Query, observe_chat, observe_query
from robotracer_ros.tracer.base import Budget, Observation
from robotracer_ros.tracer.local import LocalTracer, Written

_LOG = logging.getLogger('uvicorn.error')

M = TypeVar('M', bound=BaseModel)

#: whom a browser may mean by this machine; another name is a web page that reaches for it
_LOCAL_NAMES = frozenset({'localhost', '127.0.0.1', '[::1]'})
_HOST = re.compile(r'(\[[0-9a-f:.]+\]|[^\[\]:/@]+)(:[0-9]{1,5})?', re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class ServeLimits:
    """What a request may cost.

    Attributes:
        max_body_bytes: Of a request.
        picture: Of one picture.
        max_tokens: Of an answer.
        waiting: Requests that may wait while one is answered; the next one gets 429.
        timeout_s: From the arrival of a request to its answer, waiting included.
        body_timeout_s: For the whole body to arrive.
    """

    max_body_bytes: int = 32 * 1024 * 1024
    picture: PictureLimits = field(default_factory=PictureLimits)
    max_tokens: int = 320
    waiting: int = 4
    timeout_s: float = 30.0
    body_timeout_s: float = 10.0

    def __post_init__(self) -> None:
        for name in ('max_body_bytes', 'max_tokens', 'timeout_s', 'body_timeout_s'):
            if not getattr(self, name) > 0:
                raise InvalidParameterError(f'{name} {getattr(self, name)}: must be > 0')
        if self.picture.max_pixels < 1:
            raise InvalidParameterError(f'max_pixels {self.picture.max_pixels}: must be > 0')
        if not 0 <= self.waiting <= 1000:
            raise InvalidParameterError(f'waiting {self.waiting}: must be in 0..1000')


@dataclass(frozen=True)
class ServeAccess:
    """Who may ask, and for what.

    Attributes:
        token: Bearer token that is wanted; empty: none, and only names of this machine are
            accepted as Host, so that web pages cannot reach it.
        folder: Folder whose files a client may name in ``/query``; None: none.
    """

    token: str = ''
    folder: Path | None = None


class Service:
    """Answers requests with one loaded tracer.

    Args:
        tracer: Loaded.
        limits: See there.
        access: See there.
        reasoning: Ask for reasoning where a question does not say.
    """

    def __init__(
        self, tracer: LocalTracer, limits: ServeLimits, access: ServeAccess, reasoning: bool
    ) -> None:
        self._tracer, self._limits, self._token = tracer, limits, access.token.encode()
        self._reasoning = reasoning
        self._gate = Gate(limits.waiting)
        self._folder = (
            None if access.folder is None else Folder(access.folder, limits.picture.max_bytes)
        )
        self._model = tracer.model_name.removeprefix('local:')
        self._started = int(time.time())

    def admit(self, request: Request) -> None:
        """Return when the client may ask. Raises Refusal."""
        if not self._token:
            # Not request.url: where the header is malformed, that tells the server's own address.
            host = request.headers.get('host', '')
            named = _HOST.fullmatch(host)
            if named is None or named[1].lower() not in _LOCAL_NAMES:
                raise Refusal(
                    421, 'wrong_host', f"host '{host[:100]}': this server has no token "
                    'and answers to names of its own machine only'
                )
            return
        scheme, _, given = request.headers.get('authorization', '').partition(' ')
        known = hmac.compare_digest(given.strip().encode(), self._token)
        if scheme.lower() != 'bearer' or not known:
            raise Refusal(401, 'wrong_token', 'the bearer token is missing or wrong')

    def health(self) -> dict[str, Any]:
        """Say that the server is up, and how busy."""
        return {'status': 'ok', 'requests': self._gate.busy}

    def models(self) -> dict[str, Any]:
        """List the one model."""
        entry = {
            'id': self._model,
            'object': 'model',
            'created': self._started,
            'owned_by': 'robotracer_ros',
        }
        return {'object': 'list', 'data': [entry]}

    async def query(self, request: Request) -> dict[str, Any]:
        """Answer ``POST /query``."""
        limits = self._limits

        def read(query: Query) -> tuple[Observation, str]:
            prompt = model_prompt(query.text, reasoning=self._reasoning)
            return observe_query(query, limits.picture, self._folder), prompt

        written, _, seconds = await self._answer(request, Query, read)
        # Readers of this protocol take every tuple for a point of the answer.
        reasoning, answer = split_reasoning(written.text)
        return {
            'result': 1,
            'answer': answer,
            'reasoning': reasoning,
            'scale': written.scale if math.isfinite(written.scale) else None,
            'ended': written.ended,
            'inference_time_s': round(seconds, 4),
        }

    async def chat(self, request: Request) -> dict[str, Any]:
        """Answer ``POST /v1/chat/completions``."""

        def read(chat: Chat) -> tuple[Observation, str]:
            if chat.model not in ('', self._model):
                raise Refusal(
                    404, 'model_not_found', f"model '{chat.model[:100]}': here is '{self._model}'"
                )
            observation, text = observe_chat(chat, self._limits.picture)
            return observation, model_prompt(text, reasoning=self._reasoning)

        written, prompt, seconds = await self._answer(request, Chat, read)
        read_tokens, new = written.read_tokens, written.written_tokens
        return {
            'id': f'chatcmpl-{uuid.uuid4().hex}',
            'object': 'chat.completion',
            'created': int(time.time()),
            'model': self._model,
            'choices': [
                {
                    'index': 0,
                    'message': {'role': 'assistant', 'content': written.text},
                    'finish_reason': 'stop' if written.ended else 'length',
                }
            ],
            'usage': {
                'prompt_tokens': read_tokens,
                'completion_tokens': new,
                'total_tokens': read_tokens + new,
            },
            'robotracer': {
                'scale': written.scale if math.isfinite(written.scale) else None,
                'prompt': prompt,
                'inference_time_s': round(seconds, 4),
            },
        }

    def close(self) -> None:
        """Wait for the running inference."""
        self._gate.close()

    async def _answer(
        self, request: Request, form: type[M], read: Callable[[M], tuple[Observation, str]]
    ) -> tuple[Written, str, float]:
        """Read, wait, infer; return what was written, the prompt, and seconds of inference."""
        self.admit(request)
        try:
            return await self._admitted(request, form, read)
        except (Refusal, RobotracerError):
            raise
        except ClientDisconnect as error:
            raise Refusal(400, 'gone', 'the client went before its request was whole') from error
        except Exception as error:
            # Here and not in the framework, which would close the connection as well.
            _LOG.exception('request failed')
            raise Refusal(500, 'internal', 'a fault of this server; its log has more') from error

    async def _admitted(
        self, request: Request, form: type[M], read: Callable[[M], tuple[Observation, str]]
    ) -> tuple[Written, str, float]:
        budget = Budget(self._limits.timeout_s)
        with self._gate.place():
            body = await self._body(request)
            parsed, observation, prompt = await asyncio.to_thread(_understood, body, form, read)
            wanted = getattr(parsed, 'max_completion_tokens', None) or getattr(
                parsed, 'max_tokens', None
            )
            tokens = min(wanted or self._limits.max_tokens, self._limits.max_tokens)

            def work() -> tuple[Written, float]:
                start = time.monotonic()
                written = self._tracer.ask(observation, prompt, max_tokens=tokens, budget=budget)
                return written, time.monotonic() - start

            written, seconds = await self._gate.run(work, budget, request.is_disconnected)
        return written, prompt, seconds

    async def _body(self, request: Request) -> bytes:
        """Return the body. Raises Refusal when it is no JSON, too long, or does not arrive."""
        kind = request.headers.get('content-type', '').partition(';')[0].strip().lower()
        if kind != 'application/json':
            # Also what makes browsers ask before a web page may send anything.
            raise Refusal(415, 'no_json', f"content type '{kind[:60]}': must be application/json")
        limit = self._limits.max_body_bytes
        too_large = Refusal(413, 'too_large', f'the request is longer than {limit} bytes')
        length = request.headers.get('content-length', '0')
        if not length.isdigit() or int(length[:20]) > limit:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.body_timeout_s):
                async for part in request.stream():
                    body += part
                    if len(body) > limit:
                        raise too_large
        except TimeoutError as error:
            raise Refusal(
                408, 'slow', f'the request did not arrive in {self._limits.body_timeout_s:g} s'
            ) from error
        return bytes(body)


def _understood(
    body: bytes, form: type[M], read: Callable[[M], tuple[Observation, str]]
) -> tuple[M, Observation, str]:
    """Return a parsed request with what it asks. Raises Refusal or RobotracerError."""
    try:
        value = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, 'bad_json', f'the request is not JSON: {error}') from error
    try:
        parsed = form.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = '.'.join(str(x) for x in first['loc']) or 'the request'
        raise Refusal(400, 'bad_request', f'{where[:120]}: {first["msg"]}') from error
    return parsed, *read(parsed)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f'{name} is no JSON number')


def _error_response(error: Exception) -> JSONResponse:
    """Turn a known error into its response."""
    match error:
        case Refusal():
            refusal = error
        case InvalidInstructionError() | InputError():
            refusal = Refusal(400, error.name.lower(), str(error))
        case TracerTimeoutError():
            refusal = Refusal(504, 'timeout', str(error))
        case TracerCancelledError():
            refusal = Refusal(503, 'cancelled', str(error))
        case RobotracerError():
            refusal = Refusal(500, error.name.lower(), str(error))
        case HTTPException():
            refusal = Refusal(error.status_code, 'http', str(error.detail))
        case _:
            raise error
    return JSONResponse(refusal.body, refusal.status, refusal.headers)


def create_app(
    tracer: LocalTracer,
    limits: ServeLimits | None = None,
    access: ServeAccess | None = None,
    *,
    reasoning: bool = True,
) -> FastAPI:
    """Make the application around a loaded tracer; its ``state.service`` is to be closed.

    Raises:
        OSError: the folder of ``access`` does not exist.
    """
    service = Service(tracer, limits or ServeLimits(), access or ServeAccess(), reasoning)
    # No pages of documentation: they would fetch scripts from elsewhere.
    app = FastAPI(title='robotracer', docs_url=None, redoc_url=None, openapi_url=None)
    app.state.service = service

    async def handle(request: Request, error: Exception) -> JSONResponse:
        return _error_response(error)

    for kind in (Refusal, RobotracerError, HTTPException):
        app.add_exception_handler(kind, handle)

    @app.get('/healthz')
    async def health() -> dict[str, Any]:
        return service.health()

    @app.get('/v1/models')
    async def models(request: Request) -> dict[str, Any]:
        service.admit(request)
        return service.models()

    @app.post('/v1/chat/completions')
    async def chat(request: Request) -> dict[str, Any]:
        return await service.chat(request)

    @app.post('/query')
    async def query(request: Request) -> dict[str, Any]:
        return await service.query(request)

    return app
