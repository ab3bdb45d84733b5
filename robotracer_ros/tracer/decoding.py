# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What every way of running a checkpoint gives: greedy answers to several questions about one image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Decoded:
    """Tokens of each answer without the end token, whether each ended, metric scale in metres."""

    tokens: list[list[int]]
    ended: list[bool]
    scale: float


class Decoder(Protocol):
    """A loaded checkpoint.

    Attributes:
        name: Of the runtime, ``torch`` or ``onnx``.
        image_width, image_height: Of the packed pixels.
        prefix_tokens: Tokens that stand before every question.
    """

    name: str
    image_width: int
    image_height: int
    prefix_tokens: int

    def encode(self, prompt: str) -> list[int]:
        """Return the tokens of a question as the model reads them after ``<SCALE>``."""

    def text(self, tokens: Sequence[int]) -> str:
        """Return what tokens say."""

    def greedy(
        self,
        pixels: NDArray[np.float32],
        prompts: Sequence[Sequence[int]],
        max_new: int,
        check: Callable[[], None] | None = None,
    ) -> Decoded:
        """Answer questions about one image.

        Args:
            pixels: (C, H, W) packed image.
            prompts: Token ids that follow ``<SCALE>``, one list per question.
            max_new: Tokens per answer at most.
            check: Called before every forward pass; may raise to stop.

        Raises:
            TracerBackendError: the runtime failed.
        """


class Answers:
    """Collects one token per question and step until every answer has ended."""

    def __init__(self, questions: int, end: int) -> None:
        self.tokens: list[list[int]] = [[] for _ in range(questions)]
        self.ended = [False] * questions
        self._end = end

    def add(self, chosen: Sequence[int]) -> bool:
        """Take the next token of every question; return whether all answers have ended."""
        for i, token in enumerate(chosen):
            if self.ended[i]:
                continue
            if token == self._end:
                self.ended[i] = True
            else:
                self.tokens[i].append(token)
        return all(self.ended)


def left_padded(
    prompts: Sequence[Sequence[int]], pad: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return prompts as (N, longest) ids that end together, and where they are not padding."""
    width = max(len(p) for p in prompts)
    ids = np.full((len(prompts), width), pad, np.int64)
    for row, prompt in zip(ids, prompts, strict=True):
        row[width - len(prompt) :] = prompt
    lengths = np.array([len(p) for p in prompts])
    return ids, np.arange(width) >= width - lengths[:, None]


def text_mask(real: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which text (N, T, T) each text token sees: causal, without padding."""
    return np.tri(real.shape[1], dtype=bool) & real[:, None, :]
