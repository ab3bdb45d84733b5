# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""One inference at a time, a short queue before it, and nobody works for a client who has gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from robotracer_ros.serving.refusal import Refusal
from robotracer_ros.tracer.base import Budget

T = TypeVar('T')

_POLL_S = 0.05


class Gate:
    """Lives in one event loop; work runs in one thread of its own.

    Args:
        waiting: Requests that may wait while one is answered.
    """

    def __init__(self, waiting: int) -> None:
        self._places = self._free = 1 + waiting
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix='inference')

    @property
    def busy(self) -> int:
        """Requests that are read, waiting or answered."""
        return self._places - self._free

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place from before the body is read, so that memory is bounded, too.

        Raises:
            Refusal: 429, all places are taken.
        """
        if not self._free:
            raise Refusal(
                429, 'busy', f'{self._places} requests are being answered or wait: that is all', 1
            )
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1

    async def run(
        self, work: Callable[[], T], budget: Budget, gone: Callable[[], Awaitable[bool]]
    ) -> T:
        """Do work in its turn.

        Args:
            work: Called in the thread; must look at the budget.
            budget: Of the request; its deadline counts the waiting, too.
            gone: Says whether the client has closed the connection.

        Raises:
            Refusal: 503 when the turn did not come before the deadline.
            TracerCancelledError: the client has gone.
        """
        turn = asyncio.ensure_future(self._turn.acquire())
        try:
            while not turn.done():
                await asyncio.wait({turn}, timeout=_POLL_S)
                if await gone():
                    budget.cancel()
                    budget.check()
                if not turn.done() and budget.remaining_s <= 0:
                    raise Refusal(503, 'overloaded', 'the turn did not come before the deadline', 1)
        except BaseException:
            if turn.cancel() is False and not turn.cancelled():
                self._turn.release()
            raise
        try:
            future = asyncio.get_running_loop().run_in_executor(self._thread, work)
            try:
                while not future.done():
                    await asyncio.wait({future}, timeout=_POLL_S)
                    if not future.done() and await gone():
                        budget.cancel()
                return future.result()
            except asyncio.CancelledError:
                # The turn is not given away before the thread is free.
                budget.cancel()
                await asyncio.wait({future})
                future.exception()
                raise
        finally:
            self._turn.release()

    def close(self) -> None:
        """Wait for the running work and end the thread."""
        self._thread.shutdown(wait=True)
