# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Answers in camera-frame metres (x, y, z) in place of (u, v, d), for one ablation.

``[(+0.123, -0.045, 0.874)]``: optical frame, x right, y down, z forward, three decimals as for d. Signs are always
written, so that the numbers of all points stand at the same places. :func:`in_metres` and :func:`in_picture` turn whole
answers from one form into the other; the shared parser reads (u, v, d) only and knows nothing of this.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
from transformers import PreTrainedTokenizerFast

from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.tracer.model.tokenizer import NumberTokens
from robotracer_ros.training.examples import (
    END,
    GOAL_AT_DISTANCE,
    Example,
    TextPair,
    encode,
)
from robotracer_ros.training.samples import SampleStream

_NUMBER = r'[+-]?[0-9]{1,6}\.[0-9]{1,6}'
_METRIC = re.compile(rf'\(({_NUMBER}), ({_NUMBER}), ({_NUMBER})\)')
_UVD = re.compile(r'\(([0-9]{1,4}), ([0-9]{1,4}), ([0-9]{1,3}\.[0-9]{3})\)')
#: where the numbers of a tuple stand, counted in tokens from its first sign: signs, decimals, metres of z
_X_SIGN, _X, _Y_SIGN, _Y, _Z_WHOLE, _Z = 0, 3, 5, 8, 9, 10


def in_metres(answer: str, camera: CameraModel) -> str:
    """Return an answer with every (u, v, d) as (x, y, z)."""

    def metres(match: re.Match[str]) -> str:
        x, y, z = camera.lift(np.array([float(g) for g in match.groups()]))
        return f'({x:+.3f}, {y:+.3f}, {z:.3f})'

    return _UVD.sub(metres, answer)


def in_picture(answer: str, camera: CameraModel) -> str:
    """Return an answer with every (x, y, z) as (u, v, d), in the form that the shared parser reads.

    Points behind the camera become points that are in no picture, so that they miss.
    """

    def picture(match: re.Match[str]) -> str:
        x, y, z = (float(g) for g in match.groups())
        if z <= 0:
            return '(-1, -1, 0.000)'
        pixel = (camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy)
        u, v = camera.pixels_to_uv(np.array(pixel))
        return f'({u:.1f}, {v:.1f}, {z:.3f})'

    return _METRIC.sub(picture, answer)


def encode_metric(
    tokenizer: PreTrainedTokenizerFast, numbers: NumberTokens, pair: TextPair, camera: CameraModel
) -> Example:
    """Tokenise a pair whose answer is in (u, v, d) with the answer in metres, with the same auxiliary targets.

    What stands before u, v and d in the shipped form stands before the signs and decimals of x and y and before z here.
    The question stays as it is: a model knows one form only.

    Raises:
        ValueError: tuples and points do not match in number.
    """
    made = encode(tokenizer, numbers, replace(pair, answer=in_metres(pair.answer, camera), targets=()))
    answer, head = made.ids[made.start :], made.start
    signs = [tokenizer.convert_tokens_to_ids(s) for s in '+-']
    firsts = [
        i + 1 for i, t in enumerate(answer[:-1]) if t in numbers.openers and answer[i + 1] in signs
    ]
    uvd = [tuple(float(g) for g in m.groups()) for m in _UVD.finditer(pair.answer)]
    if len(firsts) != len(uvd):
        raise ValueError(f'{len(firsts)} tuples but {len(uvd)} points in {pair.answer!r}')
    targets = pair.targets or (None,) * len(uvd)
    pointers, followers = list(made.pointers), list(made.followers)
    places, spots = list(made.places), list(made.spots)
    emphasis = list(made.emphasis)
    if pair.family.startswith('refer') and targets and targets[0] is not None:
        pointers += [(head - back, targets[0]) for back in (3, 2, 1)]
    for n, (i, point, target) in enumerate(zip(firsts, uvd, targets, strict=True)):
        at = head + i - 1  # its state emits the first sign
        if target is not None:
            pointers.append((at, target))
            followers += [(at + k, target) for k in (_X, _Y_SIGN, _Y, _Z)]
        ends = n in pair.goals
        far = pair.at_distance and i != firsts[-1]
        weight = (GOAL_AT_DISTANCE if far else END) if ends else 1
        place = (point[0] / 1000, point[1] / 1000, point[2])
        places += [(at + k, place, weight) for k in (_X_SIGN, _X, _Y_SIGN, _Y, _Z_WHOLE, _Z)]
        spots += [(at + k, (point[0], point[1])) for k in (_X, _Y)] * (END if ends else 1)
        if ends:
            emphasis[i + _X] = emphasis[i + _Y] = float(END)
    return replace(
        made, pointers=pointers, followers=followers, places=places, spots=spots, emphasis=emphasis
    )


class MetricStream(SampleStream):
    """The same pictures and questions with answers in metres."""

    def _encode(self, pair: TextPair, camera: CameraModel) -> Example:
        """Tokenise a pair about a picture of a camera, its answer in metres."""
        return encode_metric(self._tokenizer, self._numbers, pair, camera)
