# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The tracer plugin contract: an observation and a sentence in, a trace out."""

from __future__ import annotations

import abc
import threading
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.errors import InvalidInstructionError, TracerCancelledError, TracerTimeoutError
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.trace import Trace, TraceKind

MAX_INSTRUCTION_CHARS = 2000


@dataclass(frozen=True)
class Observation:
    """What the camera saw at one moment; colour is always there, geometry is any subset.

    Attributes:
        rgb: (H, W, 3) uint8.
        depth: (H, W) float32 metres on the same grid, 0 where invalid, or None.
        camera: Intrinsics, or None when unknown.
        gravity_from_camera: (4, 4) pose of the camera in a gravity-aligned frame (z up), or None.
        frame_id, stamp_ns: Optical frame and time of the image.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32] | None = None
    camera: CameraModel | None = None
    gravity_from_camera: NDArray[np.float64] | None = None
    frame_id: str = ''
    stamp_ns: int = 0


class Budget:
    """A deadline and a cancel flag in one; backends call :meth:`check` between tokens or attempts.

    Args:
        timeout_s: Seconds from now, or None for no deadline.
    """

    def __init__(self, timeout_s: float | None = None) -> None:
        self._start = time.monotonic()
        self._timeout_s = timeout_s
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Ask the running prediction to stop at its next check."""
        self._cancelled.set()

    @property
    def remaining_s(self) -> float:
        """Seconds left; infinite without a deadline, never negative."""
        if self._timeout_s is None:
            return float('inf')
        return max(0.0, self._start + self._timeout_s - time.monotonic())

    def check(self) -> None:
        """Return when work may go on.

        Raises:
            TracerCancelledError: :meth:`cancel` was called.
            TracerTimeoutError: the deadline passed.
        """
        if self._cancelled.is_set():
            raise TracerCancelledError('prediction cancelled by the caller')
        if self.remaining_s <= 0.0:
            raise TracerTimeoutError(
                f'no answer within {self._timeout_s:.3f} s', timeout_s=self._timeout_s
            )


@dataclass(frozen=True)
class PointAnswer:
    """Answer to a referring question: (u, v, d) with u, v in 0..1000 and d in metres."""

    point: tuple[float, float, float]
    model: str
    inference_time_s: float
    raw_text: str


@dataclass(frozen=True)
class LengthAnswer:
    """Answer to a measuring question."""

    metres: float
    text: str
    model: str
    inference_time_s: float
    raw_text: str


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that a tracer can load: its name as an option, its folder and its size."""

    name: str
    path: str
    size_bytes: int


def check_instruction(text: str) -> str:
    """Return the instruction stripped.

    Raises:
        InvalidInstructionError: it is empty or longer than ``MAX_INSTRUCTION_CHARS``.
    """
    stripped = text.strip()
    if not stripped:
        raise InvalidInstructionError('the instruction is empty')
    if len(stripped) > MAX_INSTRUCTION_CHARS:
        raise InvalidInstructionError(
            f'the instruction has {len(stripped)} characters: at most {MAX_INSTRUCTION_CHARS}'
        )
    return stripped


class Tracer(abc.ABC):
    """A model that turns an observation and an instruction into a trace.

    A tracer is made cheaply from keyword options (its parameters), :meth:`load` does the heavy work and :meth:`close`
    frees it. One thread at a time calls :meth:`predict`, :meth:`refer` or :meth:`measure`; any thread may cancel the
    budget. An answer from a model that gives no depth takes it from the observation.
    """

    @abc.abstractmethod
    def load(self) -> None:
        """Load weights or open connections. Raises TracerError subclasses."""

    @abc.abstractmethod
    def close(self) -> None:
        """Free what :meth:`load` took; may be called twice."""

    @property
    @abc.abstractmethod
    def model_name(self) -> str:
        """Backend and checkpoint, e.g. ``local:robotracer-tiny``."""

    @property
    def checkpoint(self) -> str:
        """Name of the loaded checkpoint as :meth:`checkpoints` lists it; empty without one."""
        return ''

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """List what can be given as the option ``checkpoint``; cheap, also before :meth:`load`."""
        return ()

    @abc.abstractmethod
    def predict(
        self,
        observation: Observation,
        instruction: str,
        *,
        kind: TraceKind = TraceKind.OBJECT_CENTRIC,
        budget: Budget | None = None,
    ) -> Trace:
        """Answer with a trace. Raises TracerError subclasses and NoIntrinsicsError."""

    def refer(
        self, observation: Observation, target: str, *, budget: Budget | None = None
    ) -> PointAnswer:
        """Answer where ``target`` is. Raises TracerError subclasses."""
        raise InvalidInstructionError(f'{self.model_name} cannot refer')

    def measure(
        self, observation: Observation, target: str, *, budget: Budget | None = None
    ) -> LengthAnswer:
        """Answer how long ``target`` is, in metres. Raises TracerError subclasses."""
        raise InvalidInstructionError(f'{self.model_name} cannot measure')
