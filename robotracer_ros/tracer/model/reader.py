# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The last step of pointing: compare a text state with the visual tokens and write down the place.

A small decoder learns to look at the thing that is meant within minutes, but takes very long to turn
what it looks at into digits: the place has to pass several layers whose other outputs are a hundred
times larger. Here the comparison stands after the decoder, and the place enters the state in the code
in which numbers are embedded, so that the language head reads it off. The text stays the interface.

Two readers: :class:`PlaceReader` for things, which says where the middle of the thing is that a token
shows, and :class:`SpotReader` for all other points, free places and waypoints in the air, which says
where in the picture it looks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: what is read: u and v in 0..1, the decimals of d in metres, and d / 4 m for the metres before them
READINGS = 4
_COMPARE = 128
_SHUT = 3.0


def number_waves(value: Tensor, pairs: int) -> Tensor:
    """Return the Fourier code (..., 2 * pairs) of numbers in 0..1: 0.5 to 63 periods."""
    cycles = torch.logspace(-0.3, 1.8, pairs, device=value.device, dtype=value.dtype)
    angle = 2 * torch.pi * value[..., None] * cycles
    return torch.cat([angle.sin(), angle.cos()], -1)


def _written(hidden: Tensor, code: Tensor) -> Tensor:
    """Add the code (..., T, C) of numbers to the coordinates of states (..., T, D) where embeddings have it."""
    rest = hidden.shape[-1] - code.shape[-1]
    return hidden + torch.cat([code, code.new_zeros(*code.shape[:-1], rest)], -1)


class PlaceReader(nn.Module):
    """Attention of text states over visual tokens whose values are places."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pairs = width // 4
        self.norm = nn.LayerNorm(width)
        self.query, self.key = nn.Linear(width, _COMPARE), nn.Linear(width, _COMPARE)
        self.gate = nn.Linear(width, READINGS)
        self.amplitude = nn.Parameter(torch.ones(READINGS))
        self.content = nn.Linear(width, width, bias=False)

    def scores(self, hidden: Tensor, visual: Tensor) -> Tensor:
        """Compare states (..., T, D) with tokens (..., N, D): logits (..., T, N)."""
        query, key = self.query(hidden), self.key(self.norm(visual))
        return query @ key.transpose(-1, -2) * _COMPARE**-0.5

    def forward(self, hidden: Tensor, visual: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Add the places that states point at.

        Args:
            hidden: (..., T, D) last states of the decoder.
            visual: (..., N, D) visual tokens as they enter the decoder.
            places: (..., N, READINGS) of each token, in 0..1.

        Returns:
            New states (..., T, D) and the comparison's logits (..., T, N).
        """
        scores = self.scores(hidden, visual)
        look = scores.softmax(-1)
        waves = number_waves(places.transpose(-1, -2), self.pairs)  # (..., R, N, 2 * pairs)
        codes = look.unsqueeze(-3) @ waves  # (..., R, T, 2 * pairs)
        gates = self.gate(hidden).sigmoid() * self.amplitude
        code = (codes * gates.transpose(-1, -2)[..., None]).sum(-3)
        return _written(hidden, code) + self.content(look @ self.norm(visual)), scores


class SpotReader(nn.Module):
    """Where in the picture a state looks, and which number it expects, written as numbers.

    The place is the mean of the patch centres under the attention, so it lies between patches where
    the point does. The expected number is a plain regression: the one thing attention over the
    picture cannot give is a depth in the air, or a step from the point before.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pairs = width // 4
        self.norm = nn.LayerNorm(width)
        self.query, self.key = nn.Linear(width, _COMPARE), nn.Linear(width, _COMPARE)
        self.number = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1))
        self.gate = nn.Linear(width, 3)
        # Fast waves of an uncertain number are noise: how much each counts is learned.
        self.amplitude = nn.Parameter(torch.ones(3, self.pairs))

    def forward(
        self, hidden: Tensor, visual: Tensor, centres: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Add the codes of u, v and the expected number.

        Args:
            hidden: (..., T, D) states.
            visual: (..., N, D) visual tokens as they enter the decoder.
            centres: (N, 2) middle of each token's patch, u and v in 0..1.

        Returns:
            New states (..., T, D), the comparison's logits (..., T, N) and u, v, number (..., T, 3)
            in 0..1.
        """
        query, key = self.query(hidden), self.key(self.norm(visual))
        scores = query @ key.transpose(-1, -2) * _COMPARE**-0.5
        # Waves of a number need more digits than half precision has.
        spot = scores.float().softmax(-1) @ centres.float()
        values = torch.cat([spot, self.number(hidden).float().sigmoid()], -1)
        # Not differentiated: sixty waves across the picture lead nowhere by descent. Where to look
        # and what to expect have losses of their own.
        waves = number_waves(values.detach(), self.pairs)  # (..., T, 3, 2 * pairs)
        # It says nothing before it has learned where to look: hence the shut gate at the start.
        gates = (self.gate(hidden) - _SHUT).sigmoid()[..., None] * torch.cat([self.amplitude] * 2, -1)
        code = (waves * gates).sum(-2)
        return _written(hidden, code), scores, values
