# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""JSON over HTTP for backends elsewhere: deadline, cancellation, retries, circuit breaker.

Requests run in an event loop of their own thread, so that the caller can look at its budget every
few milliseconds and give up: the connection is then closed, by which a server can see that nobody
waits any more.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import ipaddress
import json
import os
import random
import threading
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from robotracer_ros.errors import (
    InvalidParameterError,
    MissingPackageError,
    TracerBackendError,
    TracerCancelledError,
    TracerTimeoutError,
)
from robotracer_ros.tracer.base import Budget
from robotracer_ros.tracer.breaker import CircuitBreaker

if TYPE_CHECKING:
    import httpx2

T = TypeVar('T')

#: An answer is text of a few thousand characters; more is refused before it fills the memory.
MAX_ANSWER_BYTES = 4 * 1024 * 1024
_POLL_S = 0.02
_CONNECT_S = 5.0
_BACKOFF_S = 0.25
_MAX_BACKOFF_S = 8.0
#: a server that asks for a longer pause is not waited for, deadline or not
_MAX_WAIT_S = 60.0
#: worth another attempt: too early, too many, or the server's own trouble
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class RemoteOptions:
    """How patient a backend is; the options of both remote backends.

    Attributes:
        retries: Further attempts after a failed one.
        attempt_timeout_s: Seconds for one attempt.
        breaker_failures: Failed requests in a row after which the endpoint is left alone; 0: never.
        breaker_pause_s: For how long.
    """

    retries: int = 2
    attempt_timeout_s: float = 30.0
    breaker_failures: int = 5
    breaker_pause_s: float = 30.0

    def __post_init__(self) -> None:
        for name in ('retries', 'breaker_failures'):
            if not 0 <= getattr(self, name) <= 100:
                raise InvalidParameterError(f'{name} {getattr(self, name)}: must be in 0..100')
        for name in ('attempt_timeout_s', 'breaker_pause_s'):
            if not 0 < getattr(self, name) <= 3600:
                raise InvalidParameterError(f'{name} {getattr(self, name)}: must be in (0, 3600] s')


class _Retry(Exception):
    """An attempt failed in a way that another one may cure."""

    def __init__(self, why: str, wait_s: float = 0.0) -> None:
        super().__init__(why)
        self.wait_s = wait_s


class Endpoint:
    """A JSON service.

    Args:
        url: http or https address without credentials, query or fragment.
        who: Name for messages.
        key_variable: Environment variable with the bearer token; empty: none is sent. The token is
            read at :meth:`open` and stands in no message.
        options: See there.

    Raises:
        InvalidParameterError: the address cannot be used.
    """

    def __init__(
        self, url: str, *, who: str, key_variable: str = '', options: RemoteOptions | None = None
    ) -> None:
        try:
            import httpx2
        except ImportError as error:
            raise MissingPackageError(
                f"{who} needs the Python package 'httpx2': pip install httpx2"
            ) from error
        self._who = who
        self._options = options or RemoteOptions()
        self._key_variable = key_variable
        try:
            parsed = httpx2.URL(url)
        except httpx2.InvalidURL as error:
            raise InvalidParameterError(f'{who}: the address is not a URL: {error}') from error
        if parsed.userinfo:
            raise InvalidParameterError(
                f'{who}: the address holds credentials; they belong into an environment variable'
            )
        whole = parsed.scheme in ('http', 'https') and parsed.host and 0 < (parsed.port or 80) < 65536
        if not whole or parsed.query or parsed.fragment:
            raise InvalidParameterError(
                f"{who}: address '{url}': must be http(s)://host[:port][/path]"
            )
        self._url = str(parsed).rstrip('/')
        self._loopback = is_loopback(parsed.host)
        self._plain = parsed.scheme == 'http'
        self._key = ''
        self._client: httpx2.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._breaker = CircuitBreaker(
            f'{who} at {self._url}', self._options.breaker_failures, self._options.breaker_pause_s
        )

    @property
    def url(self) -> str:
        """Address without a slash at its end."""
        return self._url

    def open(self) -> None:
        """Read the token and make the client; connects at the first request.

        Raises:
            InvalidParameterError: the token would travel unencrypted to another machine, or is not
                printable ASCII.
        """
        import httpx2

        self.close()
        key = os.environ.get(self._key_variable, '').strip() if self._key_variable else ''
        if key and self._plain and not self._loopback:
            raise InvalidParameterError(
                f'{self._who}: ${self._key_variable} is set and {self._url} is neither https nor '
                'this machine: the key would travel readably. Use https, or name no variable'
            )
        if not (key.isascii() and key.isprintable()):
            raise InvalidParameterError(
                f'{self._who}: ${self._key_variable} holds characters that no header may hold'
            )
        headers = {'Accept': 'application/json', 'Accept-Encoding': 'identity'}
        if key:
            headers['Authorization'] = f'Bearer {key}'
        self._key = key
        self._closing.clear()
        # No redirects: pictures and key go where they were sent. No proxy for this machine.
        self._client = httpx2.AsyncClient(
            headers=headers,
            follow_redirects=False,
            mounts=dict.fromkeys(('http://', 'https://', 'all://')) if self._loopback else None,
            timeout=httpx2.Timeout(self._options.attempt_timeout_s, connect=_CONNECT_S),
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name=f'{self._who} client', daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop what runs and free the connections; may be called twice."""
        self._closing.set()
        client, loop, thread = self._client, self._loop, self._thread
        self._client = self._loop = self._thread = None
        self._key = ''
        if client is None or loop is None or thread is None:
            return
        # A peer that does not finish closing is not waited for.
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(_shut(client), loop).result(_CONNECT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def get(self, path: str, budget: Budget) -> Any:
        """Return the JSON answer to GET. Raises as :meth:`post`."""
        return self._request('GET', path, None, budget)

    def post(self, path: str, body: dict[str, Any], budget: Budget) -> Any:
        """Return the JSON answer to POST of a JSON object.

        Raises:
            TracerBackendError: no connection, an error status, or an answer that is not JSON or
                too long, after the retries that the deadline allows; or the breaker is open.
                ``details`` has the ``status`` of the last HTTP answer, if any.
            TracerTimeoutError, TracerCancelledError: by the budget.
        """
        return self._request('POST', path, json.dumps(body).encode(), budget)

    def _request(self, method: str, path: str, body: bytes | None, budget: Budget) -> Any:
        # Held here: close() may come from another thread at any moment.
        client = self._client
        if client is None:
            raise TracerBackendError(f'{self._who} is not loaded')
        self._breaker.check()
        attempts = 1 if self._breaker.on_trial else 1 + self._options.retries
        why = ''
        try:
            for attempt in range(attempts):
                try:
                    answer = self._run(self._attempt(client, method, path, body), budget)
                except _Retry as failure:
                    why = str(failure)
                    wait_s = max(failure.wait_s, _backoff_s(attempt))
                    if attempt + 1 == attempts or wait_s >= min(budget.remaining_s, _MAX_WAIT_S):
                        break
                    self._sleep(wait_s, budget)
                else:
                    self._breaker.succeeded()
                    return answer
        except TracerBackendError as error:
            # A refusal is a sign of life; nonsense is not.
            if 'status' in error.details and 400 <= error.details['status'] < 500:
                self._breaker.succeeded()
            else:
                self._breaker.failed(str(error))
            raise
        except TracerTimeoutError as error:
            self._breaker.failed(why or str(error))
            after = f' (before: {why})' if why else ''
            raise TracerTimeoutError(f'{self._who} at {self._url}: {error}{after}') from error
        self._breaker.failed(why)
        raise TracerBackendError(
            f'{self._who} at {self._url} failed in {attempt + 1} attempt(s): {why}'
        )

    async def _attempt(
        self, client: httpx2.AsyncClient, method: str, path: str, body: bytes | None
    ) -> Any:
        """Make one attempt; raise _Retry or TracerBackendError when it fails."""
        import httpx2

        limit_s = self._options.attempt_timeout_s
        try:
            async with (
                asyncio.timeout(limit_s),
                client.stream(
                    method,
                    f'{self._url}{path}',
                    content=body,
                    headers={'Content-Type': 'application/json'} if body is not None else None,
                ) as response,
            ):
                raw = await self._read(response)
        except TimeoutError as error:
            raise _Retry(f'no answer within {limit_s:g} s') from error
        except httpx2.TimeoutException as error:
            raise _Retry(f'{type(error).__name__}: {error}'.rstrip(': ')) from error
        except httpx2.TransportError as error:
            raise _Retry(f'{type(error).__name__}: {self._redacted(str(error))}') from error
        status = response.status_code
        if status in _RETRIED:
            raise _Retry(f'HTTP {status}: {self._excerpt(raw)}',
                         _retry_after_s(response.headers.get('retry-after', '')))
        if status != 200:
            raise TracerBackendError(
                f'{self._who} at {self._url} answered HTTP {status}: {self._excerpt(raw)}',
                status=status,
            )
        try:
            return json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise TracerBackendError(
                f'{self._who} at {self._url} answered with something that is not JSON: '
                f'{self._excerpt(raw)}',
                status=status,
            ) from error

    async def _read(self, response: httpx2.Response) -> bytes:
        """Return the body without the token, should it be there.

        Raises:
            TracerBackendError: it is packed or too long.
        """
        key = self._key.encode()
        packing = response.headers.get('content-encoding', 'identity')
        if packing.lower() not in ('', 'identity'):
            raise TracerBackendError(
                f"{self._who} at {self._url} sent an answer packed as '{packing[:40]}', unasked"
            )
        parts = bytearray()
        async for part in response.aiter_raw():
            parts += part
            if len(parts) > MAX_ANSWER_BYTES:
                raise TracerBackendError(
                    f'{self._who} at {self._url} sent more than {MAX_ANSWER_BYTES} bytes'
                )
        return bytes(parts.replace(key, b'***') if key else parts)

    def _run(self, work: Coroutine[Any, Any, T], budget: Budget) -> T:
        """Run a coroutine in the loop's thread while looking at the budget."""
        loop = self._loop
        if loop is None:
            work.close()
            raise TracerCancelledError(f'{self._who} was closed')
        try:
            self._check(budget)
        except BaseException:
            work.close()
            raise
        try:
            future = asyncio.run_coroutine_threadsafe(work, loop)
        except RuntimeError as error:  # closed since
            work.close()
            raise TracerCancelledError(f'{self._who} was closed') from error
        try:
            while True:
                try:
                    return future.result(min(_POLL_S, max(0.001, budget.remaining_s)))
                except concurrent.futures.CancelledError as error:
                    raise TracerCancelledError(f'{self._who} was closed') from error
                except TimeoutError:
                    if future.done():
                        raise
                self._check(budget)
        finally:
            future.cancel()

    def _check(self, budget: Budget) -> None:
        if self._closing.is_set():
            raise TracerCancelledError(f'{self._who} was closed')
        budget.check()

    def _sleep(self, seconds: float, budget: Budget) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._check(budget)
            time.sleep(min(left, _POLL_S))

    def _excerpt(self, raw: bytes) -> str:
        """Return the beginning of an answer, printable and without the token."""
        text = self._redacted(raw[:2000].decode('utf-8', 'replace'))
        return ''.join(c if c.isprintable() else ' ' for c in text)[:300] or '(empty)'

    def _redacted(self, text: str) -> str:
        return text.replace(self._key, '***') if self._key else text


def told_scale(value: Any) -> float:
    """Return the metric scale that a service tells, NaN for anything that cannot be one."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e6:
        return float('nan')
    return float(value)


async def _shut(client: httpx2.AsyncClient) -> None:
    others = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await client.aclose()


def _backoff_s(attempt: int) -> float:
    # Jitter, so that several robots do not come back at the same moment.
    return min(_MAX_BACKOFF_S, _BACKOFF_S * 2.0**attempt) * random.uniform(0.75, 1.25)


def _retry_after_s(header: str) -> float:
    """Return the seconds of a Retry-After header; a date or nonsense counts as none."""
    return float(header) if header.isascii() and header.isdigit() and len(header) <= 6 else 0.0


def is_loopback(host: str) -> bool:
    """Whether a host name or address is certainly this machine."""
    if host == 'localhost':
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
