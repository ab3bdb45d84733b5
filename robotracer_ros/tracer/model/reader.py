# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The last step of pointing: compare a text state with the visual tokens and write down the place.

A small decoder learns to look at the thing that is meant within minutes, but takes very long to turn
what it looks at into digits: the place has to pass several layers whose other outputs are a hundred
times larger. Here the comparison stands after the decoder, and the place enters the state in the code
in which numbers are embedded, so that the language head reads it off. The text stays the interface.

Three readers: :class:`PlaceReader` for things, which says where the middle of the thing is that a
token shows; :class:`StepReader` for places described by a thing or by a place that the text has said,
which goes a step in metres from there, by a length where the text has said one; and :class:`SpotReader` for all other
points, waypoints in the air, which says where in the picture it looks.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from robotracer_ros.tracer.model.said import REASONED, Said
from robotracer_ros.tracer.model.support import SupportFrame

#: how a place is written: u and v in 0..1, the decimals of d in metres, and d / 4 m for the metres
#: before them
PLACE = 4
DEPTH_RANGE = 4.0
#: what is read of a thing: its place, then its shorter and longer side and its height / 10 m, in which
#: 12 cm are as much as the number 12 of 1000
READINGS = PLACE + 3
LENGTH_RANGE = 10.0
#: what a step may begin at: a thing, or a place that the text has said
ORIGINS = 1 + REASONED + 1
#: logit of an origin that is not there
NEVER = -1e4
#: gaps between a step's depth and the sensor's are told apart up to this, metres
_GAP = 0.1
_COMPARE = 128
_SHUT = 3.0
#: a direction counts half when it is so long, and how suddenly
_SHORT, _FIRM = 0.4, 12.0


def number_waves(value: Tensor, pairs: int) -> Tensor:
    """Return the Fourier code (..., 2 * pairs) of numbers in 0..1: 0.5 to 63 periods."""
    cycles = torch.logspace(-0.3, 1.8, pairs, device=value.device, dtype=value.dtype)
    angle = 2 * torch.pi * value[..., None] * cycles
    return torch.cat([angle.sin(), angle.cos()], -1)


def readings(place: Tensor) -> Tensor:
    """Return how places (..., 3) of u, v in 0..1 and d in metres are written: (..., PLACE)."""
    u, v, d = place.unbind(-1)
    return torch.stack([u, v, d - d.detach().floor(), d / DEPTH_RANGE], -1)


def _written(hidden: Tensor, code: Tensor) -> Tensor:
    """Add the code (..., T, C) of numbers to the coordinates of states (..., T, D) where embeddings have it."""
    rest = hidden.shape[-1] - code.shape[-1]
    padded = torch.cat([code, code.new_zeros(*code.shape[:-1], rest)], -1)
    return (hidden + padded).to(hidden.dtype)


class PlaceView(NamedTuple):
    """What a :class:`PlaceReader` reads from, computed once per picture.

    ``keys`` (..., N, C) and ``shown`` (..., N, D) of the visual tokens, their ``places``
    (..., N, READINGS) and the ``waves`` (..., READINGS, N, 2 * pairs) of these.
    """

    keys: Tensor
    shown: Tensor
    places: Tensor
    waves: Tensor


class PlaceReader(nn.Module):
    """Attention of text states over visual tokens whose values are places and lengths."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pairs = width // 4
        self.norm = nn.LayerNorm(width)
        self.query, self.key = nn.Linear(width, _COMPARE), nn.Linear(width, _COMPARE)
        self.gate = nn.Linear(width, READINGS)
        self.amplitude = nn.Parameter(torch.ones(READINGS))
        self.content = nn.Linear(width, width, bias=False)

    def view(self, visual: Tensor, places: Tensor) -> PlaceView:
        """Prepare visual tokens (..., N, D) and what is read of each: (..., N, READINGS)."""
        shown = self.norm(visual)
        waves = number_waves(places.transpose(-1, -2), self.pairs)
        return PlaceView(self.key(shown), shown, places, waves)

    def forward(self, hidden: Tensor, view: PlaceView) -> tuple[Tensor, Tensor, Tensor]:
        """Add places and lengths of what states point at.

        Args:
            hidden: (..., T, D) last states of the decoder.
            view: Of the picture.

        Returns:
            New states (..., T, D), the comparison's logits (..., T, N) and the mean place looked at
            (..., T, READINGS).
        """
        scores = self.query(hidden) @ view.keys.transpose(-1, -2) * _COMPARE**-0.5
        look = scores.softmax(-1)
        codes = look.unsqueeze(-3) @ view.waves.to(look.dtype)  # (..., R, T, 2 * pairs)
        gates = self.gate(hidden).sigmoid() * self.amplitude
        code = (codes * gates.transpose(-1, -2)[..., None]).sum(-3)
        read = _written(hidden, code) + self.content(look @ view.shown)
        return read, scores, _mean(look, view.places)


class Steps(NamedTuple):
    """Where a :class:`StepReader` arrives.

    Attributes:
        place: (..., T, 3) u, v in 0..1 and d in metres, from the origin that is the likeliest.
        arrivals: (..., T, ORIGINS, 3) the same from each origin: a thing, the last places of the reasoning, the
            last place of all.
        origin: (..., T, ORIGINS) logits of the origins, ``NEVER`` where one is not there.
    """

    place: Tensor
    arrivals: Tensor
    origin: Tensor


class StepReader(nn.Module):
    """A place described by a thing or by a place: where that is, plus a step in metres that is learned.

    "20 cm to the left of the plate" is the same step wherever the plate stands and whoever looks at
    it. A decoder that has to find the place itself learns it anew for every corner of the picture
    and every camera. Where the camera is not known the step is one in the picture.

    The step from a thing is a learned one plus a learned direction times the length that the text has
    said, which can be written again, too. What lies on a surface is as far away as the sensor says where
    the step leads; whether it does is learned. A trace ends where the reasoning says and goes on from where
    it was: places that the text has said (:mod:`robotracer_ros.tracer.model.said`) are origins as well, and
    which origin counts is learned.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pairs = width // 4
        self.step = nn.Sequential(
            nn.Linear(width + READINGS, width), nn.GELU(), nn.Linear(width, 2)
        )
        self.metres = nn.Sequential(
            nn.Linear(width + READINGS, width), nn.GELU(), nn.Linear(width, 3)
        )
        self.along = nn.Sequential(
            nn.Linear(width + READINGS, width), nn.GELU(), nn.Linear(width, 3)
        )
        self.touch = nn.Linear(width + 2, 1)
        # From a place of the reasoning and from the last one: a step in the picture and one in metres.
        self.onward = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 2 * 5))
        self.origin = nn.Linear(width, ORIGINS)
        self.gate = nn.Linear(width, PLACE + 1)
        self.amplitude = nn.Parameter(torch.ones(PLACE + 1, self.pairs))

    def forward(
        self, hidden: Tensor, anchor: Tensor, frame: SupportFrame, said: Said
    ) -> tuple[Tensor, Steps]:
        """Add the codes of the place and of the length that was said.

        Args:
            hidden: (..., T, D) states.
            anchor: (..., T, READINGS) place of the thing that each state looks at.
            frame: Of the picture, with a dimension for T.
            said: What the text of each state has said, (..., T).

        Returns:
            New states (..., T, D) and where the steps lead.
        """
        # Where the thing is has a loss of its own; a step must not pull it away.
        anchor = anchor.detach().to(hidden.dtype)
        seen = torch.cat([hidden, anchor], -1)
        length = said.length[..., None].float()
        metres = self.metres(seen).float() + length * _direction(self.along(seen).float())
        thing = torch.cat([anchor[..., :2], anchor[..., 3:4] * DEPTH_RANGE], -1).float()
        reached = _moved(thing, self.step(seen).float(), metres, frame)
        arrivals = [torch.cat([reached[..., :2], self._touching(hidden, reached, frame)], -1)]
        onward = self.onward(hidden).float().unflatten(-1, (2, 5))
        for k in range(REASONED + 1):
            step = onward[..., k // REASONED, :]
            arrivals.append(_moved(said.places[..., k, :], step[..., :2], step[..., 2:], frame))
        origin = self.origin(hidden).float()
        missing = torch.cat([torch.zeros_like(said.known[..., :1]), ~said.known], -1)
        steps = _choose(torch.stack(arrivals, -2), origin.masked_fill(missing, NEVER))
        values = torch.cat([readings(steps.place), length / LENGTH_RANGE], -1)
        return _written(hidden, _gated(self, hidden, values)), steps

    def _touching(self, hidden: Tensor, place: Tensor, frame: SupportFrame) -> Tensor:
        """Return the depth (..., T, 1) of places (..., T, 3): the sensor's where they lie on what it sees."""
        depth = place[..., 2:]
        gap = frame.sensed(place.detach())[..., None] - depth
        size = (gap.detach() / _GAP).tanh().to(hidden.dtype)
        share = self.touch(torch.cat([hidden, size, size.abs()], -1)).float().sigmoid()
        return depth + share * gap


def _direction(along: Tensor) -> Tensor:
    """Return directions (..., 3) of length 1, or nearly 0 where they are short: a length counts whole or not at all."""
    size = along.norm(dim=-1, keepdim=True).clamp(min=1e-3)
    return along / size * (_FIRM * (size - _SHORT)).sigmoid()


def _moved(place: Tensor, in_picture: Tensor, metres: Tensor, frame: SupportFrame) -> Tensor:
    """Move places (..., T, 3) by metres (..., T, 3), or in the picture (..., T, 2) where the camera is unknown."""
    with torch.autocast(place.device.type, enabled=False):
        stepped = frame.step(place, metres)
    plain = torch.cat([place[..., :2] + in_picture, place[..., 2:]], -1)
    return torch.where(frame.known[..., None], stepped, plain)


def _choose(arrivals: Tensor, origin: Tensor) -> Steps:
    """Take of arrivals (..., T, K, 3) the one with the highest logit (..., T, K)."""
    best = origin.argmax(-1)[..., None, None].expand(*origin.shape[:-1], 1, 3)
    return Steps(arrivals.gather(-2, best).squeeze(-2), arrivals, origin)


class SpotView(NamedTuple):
    """What a :class:`SpotReader` looks at: ``keys`` (..., N, C), ``centres`` (N, 2) of patches."""

    keys: Tensor
    centres: Tensor


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

    def view(self, visual: Tensor, centres: Tensor) -> SpotView:
        """Prepare visual tokens (..., N, D) and the middles of their patches (N, 2), in 0..1."""
        return SpotView(self.key(self.norm(visual)), centres)

    def forward(self, hidden: Tensor, view: SpotView) -> tuple[Tensor, Tensor, Tensor]:
        """Add the codes of u, v and the expected number.

        Args:
            hidden: (..., T, D) states.
            view: Of the picture.

        Returns:
            New states (..., T, D), the comparison's logits (..., T, N) and u, v, number (..., T, 3)
            in 0..1.
        """
        scores = self.query(hidden) @ view.keys.transpose(-1, -2) * _COMPARE**-0.5
        spot = _mean(scores.float().softmax(-1), view.centres)
        values = torch.cat([spot, self.number(hidden).float().sigmoid()], -1)
        return _written(hidden, _gated(self, hidden, values)), scores, values


def _mean(look: Tensor, places: Tensor) -> Tensor:
    """Return the mean (..., T, K) of places (..., N, K) under attention (..., T, N)."""
    # Waves of a number need more digits than half precision has.
    with torch.autocast(look.device.type, enabled=False):
        return look.float() @ places.float()


def _gated(reader: SpotReader | StepReader, hidden: Tensor, values: Tensor) -> Tensor:
    """Return the code (..., T, C) of a reader's values (..., T, K), each as far as its gate is open."""
    # Not differentiated: sixty waves across the picture lead nowhere by descent. Where to look and
    # what to expect have losses of their own.
    waves = number_waves(values.detach(), reader.pairs)  # (..., T, K, 2 * pairs)
    # It says nothing before it has learned where to look: hence the shut gate at the start.
    gates = (reader.gate(hidden) - _SHUT).sigmoid()[..., None]
    code = waves * gates * torch.cat([reader.amplitude] * 2, -1)
    return code.sum(-2)
