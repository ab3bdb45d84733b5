# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The real server on a loopback port, and what its tests see and ask; for tests with and without ROS."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import numpy as np

from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.trace import TraceKind
from robotracer_ros.tracer.base import Budget, Observation
from robotracer_ros.tracer.local import LocalTracer, Written
from robotracer_ros.tracer.prompts import measure_prompt, refer_prompt, trace_prompt

#: one client for all: each new one reads the certificates of the system
WEB = httpx2.Client(verify=False, trust_env=False, timeout=300)

TRACE = (
    '<think>\n[Scale] [Scene]: 1.500\n</think>\n'
    '<answer>[(125, 250, 0.500), (875, 750, 1.250)]</answer>'
)
POINT = '<answer>[(125, 250, 0.500)]</answer>'
LENGTH = '<answer>9.500 centimeters</answer>'
INSTRUCTION = 'put it there'
#: what the micro model was taught to answer, by prompt
LESSONS = {
    trace_prompt(INSTRUCTION): TRACE,
    trace_prompt(
        INSTRUCTION, kind=TraceKind.END_EFFECTOR_CENTRIC, dimensions=2, reasoning=False
    ): '<answer>[(125, 250), (875, 750)]</answer>',
    refer_prompt('it'): POINT,
    measure_prompt('it'): LENGTH,
}
CAMERA = CameraModel(96, 48, 90.0, 91.0, 47.5, 23.5)


class Held(LocalTracer):
    """Holds every inference until released or out of budget; the model is not asked."""

    def __init__(self) -> None:
        super().__init__('held')
        self.release = threading.Event()
        self.running = 0
        self.most = 0
        self.ended: list[str] = []
        self._lock = threading.Lock()

    def ask(
        self,
        observation: Observation,
        prompt: str,
        *,
        max_tokens: int = 320,
        budget: Budget | None = None,
    ) -> Written:
        assert budget is not None
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            while not self.release.is_set():
                budget.check()
                time.sleep(0.005)
        except Exception as error:
            self.ended.append(type(error).__name__)
            raise
        finally:
            with self._lock:
                self.running -= 1
        self.ended.append('answer')
        return Written(TRACE, True, 1.5, 10, 20)


@contextmanager
def running(app: Any, **options: Any) -> Iterator[str]:
    """Run an application by uvicorn on a free loopback port; give its address."""
    import uvicorn

    config = uvicorn.Config(
        app,
        host='127.0.0.1',
        port=0,
        http='h11',
        ws='none',
        lifespan='off',
        log_level='warning',
        **options,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until = time.monotonic() + 60
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < until, 'the server did not start'
            time.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f'{"https" if options else "http"}://127.0.0.1:{port}'
    finally:
        server.should_exit = True
        thread.join()
        app.state.service.close()


def view(seed: int = 0, **changes: Any) -> Observation:
    """Return a picture of noise with depth in whole millimetres, intrinsics and a pose."""
    rng = np.random.default_rng(seed)
    mm = rng.integers(300, 3000, (48, 96)).astype(np.uint16)
    mm[:5] = 0
    pose = np.eye(4)
    pose[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    pose[:3, 3] = (0.1, 0.2, 0.9)
    given: dict[str, Any] = {
        'rgb': rng.integers(0, 256, (48, 96, 3), np.uint8),
        'depth': mm.astype(np.float32) * np.float32(1e-3),
        'camera': CAMERA,
        'gravity_from_camera': pose,
        'frame_id': 'eye',
        'stamp_ns': 12,
    }
    return Observation(**{**given, **changes})
