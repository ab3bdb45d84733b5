# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Recorded answers as a tracer: for bags, regression runs and tests, never a default.

The file holds one JSON object a line: ``{"instruction": "...", "answer":
    "<think>...</answer>"}``, ``answer`` in the format of
:mod:`robotracer_ros.tracer.text`. Instructions are compared without regard to case and spacing.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from robotracer_ros.errors import CheckpointError, InvalidInstructionError, TracerBackendError
from robotracer_ros.geometry.trace import Trace, TraceKind
from robotracer_ros.tracer.answers import length_from_answer, point_from_answer, trace_from_answer
from robotracer_ros.tracer.base import (
    Budget,
    LengthAnswer,
    Observation,
    PointAnswer,
    Tracer,
    check_instruction,
)


class ReplayTracer(Tracer):
    """Answers from a file of recorded answers.

    Args:
        path: JSON-lines file of instruction and answer.
        delay_s: Seconds to wait before answering, so that timing of a slow model can be rehearsed.
    """

    def __init__(self, path: str, delay_s: float = 0.0) -> None:
        self._path = Path(path)
        self._delay_s = delay_s
        self._answers: dict[str, str] | None = None

    @property
    def model_name(self) -> str:
        """Backend and file name."""
        return f'replay:{self._path.name}'

    def load(self) -> None:
        """Read the file. Raises CheckpointError naming the file and line."""
        answers: dict[str, str] = {}
        try:
            lines = self._path.read_text(encoding='utf-8').splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise CheckpointError(
                f"recorded answers '{self._path}' cannot be read: {error}"
            ) from error
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
                answers[_key(entry['instruction'])] = str(entry['answer'])
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise CheckpointError(
                    f"recorded answers '{self._path}', line {number}: needs an object with text "
                    f"'instruction' and 'answer' ({error})"
                ) from error
        self._answers = answers

    def close(self) -> None:
        """Forget the answers."""
        self._answers = None

    def predict(
        self,
        observation: Observation,
        instruction: str,
        *,
        kind: TraceKind = TraceKind.OBJECT_CENTRIC,
        budget: Budget | None = None,
    ) -> Trace:
        """Answer with the recorded trace of this instruction."""
        start = time.monotonic()
        answer = self._recorded(check_instruction(instruction), budget)
        return trace_from_answer(
            answer, observation, instruction, kind, self.model_name, time.monotonic() - start
        )

    def refer(
        self, observation: Observation, target: str, *, budget: Budget | None = None
    ) -> PointAnswer:
        """Answer with the recorded point for this target."""
        start = time.monotonic()
        answer = self._recorded(check_instruction(target), budget)
        return point_from_answer(answer, observation, self.model_name, time.monotonic() - start)

    def measure(
        self, observation: Observation, target: str, *, budget: Budget | None = None
    ) -> LengthAnswer:
        """Answer with the recorded length for this target."""
        start = time.monotonic()
        answer = self._recorded(check_instruction(target), budget)
        return length_from_answer(answer, self.model_name, time.monotonic() - start)

    def _recorded(self, question: str, budget: Budget | None) -> str:
        if self._answers is None:
            raise TracerBackendError(f'{self.model_name} is not loaded')
        budget = budget or Budget()
        until = time.monotonic() + self._delay_s
        while (left := until - time.monotonic()) > 0:
            budget.check()
            time.sleep(min(left, 0.01))
        budget.check()
        answer = self._answers.get(_key(question))
        if answer is None:
            raise InvalidInstructionError(
                f"no recorded answer for '{question}' in '{self._path}' ({len(self._answers)} known)"
            )
        return answer


def _key(question: str) -> str:
    return ' '.join(question.lower().split())
