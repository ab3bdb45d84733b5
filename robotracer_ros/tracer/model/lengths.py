# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The lengths that a text has said, found in its tokens.

"14 cm to the right of the tray" is a step whose size is written in the question. A small decoder could
carry that number from where it stands to where the step is taken, through all its layers; it learned to
find things, relations and directions and took a step of the usual size (0.13 m more for every metre more
that was asked for, after 1,700 steps). So the number is read here, and the decoder only says where to.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from robotracer_ros.tracer.text import UNITS_M

#: "in" means inches less often than it means inside
_AMBIGUOUS = ('in',)


class SaidLengths(nn.Module):
    """Reads lengths such as ``14 cm`` and ``12.700 centimeters``, tokens as of ``build_tokenizer``.

    ``table`` (4, V) says of each token which whole number it is, which decimals after a point (both -1
    where it is none), how many metres its unit has (0 where it is none), and whether it is the point. It
    belongs to the vocabulary, so it travels with the weights and is never trained. Without one no length
    is ever found.
    """

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(4, vocabulary), requires_grad=False)

    @torch.no_grad()
    def learn(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Take the table from a tokenizer that writes numbers below 1001 as one token."""
        vocabulary = tokenizer.get_vocab()
        self.table[:2] = -1
        self.table[2:] = 0
        for text, token in vocabulary.items():
            if text.isascii() and text.isdecimal():
                self.table[1, token] = int(text) / 10 ** len(text)
                if str(int(text)) == text:
                    self.table[0, token] = int(text)
        for unit, metres in UNITS_M.items():
            ids = tokenizer.encode(f' {unit}', add_special_tokens=False)
            if len(ids) == 1 and unit not in _AMBIGUOUS:
                self.table[2, ids[0]] = metres
        self.table[3, vocabulary['.']] = 1

    def forward(self, ids: Tensor) -> Tensor:
        """Return for each token of texts (..., T) the length in metres said last, 0 before the first."""
        metres, ends = self._lengths(ids)
        return _at(metres, ends.cummax(-1).values)

    def last(self, ids: Tensor) -> Tensor:
        """Return the length in metres (...) that texts (..., T) have said last, 0 without any."""
        metres, ends = self._lengths(ids)
        return _at(metres, ends.amax(-1, keepdim=True)).squeeze(-1)

    def _lengths(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return metres (..., T) where a length ends with this token, and its index, -1 where none does."""
        whole, decimals, unit, point = self.table.float()

        def back(n: int) -> Tensor:
            return F.pad(ids, (n, 0))[..., : ids.shape[-1]]

        last, before = whole[back(1)], whole[back(2)]
        pointed = (point[back(2)] > 0) & (whole[back(3)] >= 0) & (decimals[back(1)] >= 0)
        # "05" is no token: 0.05 is written with its digits apart.
        apart = (point[back(3)] > 0) & (whole[back(4)] >= 0) & (before == 0) & (last >= 0) & (last < 10)
        plain = (point[back(2)] == 0) & (before < 0) & (last >= 0)
        number = torch.where(pointed, whole[back(3)] + decimals[back(1)], last)
        number = torch.where(apart, whole[back(4)] + last / 100, number)
        ends = (unit[ids] > 0) & (pointed | apart | plain)
        index = torch.arange(ids.shape[-1], device=ids.device)
        return number * unit[ids], torch.where(ends, index, -1)


def _at(metres: Tensor, index: Tensor) -> Tensor:
    """Return the entries (..., K) of metres (..., T) at indices (..., K), 0 for -1."""
    return torch.where(index >= 0, metres.gather(-1, index.clamp(min=0)), 0.0)
