# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Any request whatever is understood or refused; nothing else may come out of reading it."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from http_rig import CAMERA, INSTRUCTION, view
from hypothesis import given, settings
from hypothesis import strategies as st

from robotracer_ros.errors import InvalidInstructionError
from robotracer_ros.serving import pictures
from robotracer_ros.serving.app import _understood
from robotracer_ros.serving.pictures import PictureLimits
from robotracer_ros.serving.questions import model_prompt
from robotracer_ros.serving.refusal import Refusal
from robotracer_ros.serving.requests import Chat, Query, observe_chat, observe_query
from robotracer_ros.tracer.base import Observation
from robotracer_ros.tracer.pictures import data_uri, encode_colour, encode_depth, text64

LIMITS = PictureLimits(max_pixels=20_000, max_bytes=100_000)
COLOUR = encode_colour(view().rgb)
JPEG = encode_colour(view().rgb, 'jpeg')
DEPTH = encode_depth(np.full((48, 96), 1.5, np.float32))


def npy() -> bytes:
    out = io.BytesIO()
    np.save(out, np.full((48, 96), 1.5, np.float32))
    return out.getvalue()


NUMBER = st.integers() | st.floats() | st.sampled_from([0, 1, 90.0, 1e308])
ANY = st.recursive(
    st.none() | st.booleans() | NUMBER | st.text(max_size=8),
    lambda x: st.lists(x, max_size=4) | st.dictionaries(st.text(max_size=6), x, max_size=3),
    max_leaves=12,
)
MATRIX = st.just(CAMERA.matrix.tolist()) | st.lists(st.lists(NUMBER, max_size=5), max_size=5) | ANY
IMAGES = st.lists(st.sampled_from([text64(COLOUR), text64(JPEG), text64(DEPTH), 'x', '']),
                  max_size=2) | ANY
QUERY = st.fixed_dictionaries(
    {'text': st.just(INSTRUCTION) | st.text() | ANY},
    optional={
        'image_url': IMAGES, 'depth_url': IMAGES, 'image_paths': IMAGES, 'depth_z_paths': IMAGES,
        'intrinsics': MATRIX, 'enable_spatial': ANY, 'enable_depth': ANY,
    },
)
URI = st.sampled_from([data_uri(COLOUR), data_uri(DEPTH), 'http://x', 'data:,']) | ANY
PART = st.one_of(
    st.fixed_dictionaries({'type': st.just('text'), 'text': st.just(INSTRUCTION) | ANY}),
    st.fixed_dictionaries({'type': st.just('image_url'),
                           'image_url': st.fixed_dictionaries({'url': URI})}),
    st.fixed_dictionaries({'type': st.just('depth'), 'depth': st.fixed_dictionaries({'url': URI})}),
    st.fixed_dictionaries({'type': st.just('camera'), 'camera': st.fixed_dictionaries(
        {}, optional={'intrinsics': MATRIX, 'width': NUMBER, 'height': NUMBER,
                      'gravity_from_camera': MATRIX})}),
    ANY,
)
CHAT = st.fixed_dictionaries({'messages': st.lists(st.fixed_dictionaries({
    'role': st.sampled_from(['user', 'user', 'user', 'system', 'x']),
    'content': st.lists(PART, max_size=5) | ANY}), max_size=2)})


def read_query(query: Query) -> tuple[Observation, str]:
    return observe_query(query, LIMITS, None), model_prompt(query.text, reasoning=True)


def read_chat(chat: Chat) -> tuple[Observation, str]:
    observation, text = observe_chat(chat, LIMITS)
    return observation, model_prompt(text, reasoning=True)


def understood(value: Any, form: Any, read: Any) -> None:
    try:
        _, seen, prompt = _understood(json.dumps(value).encode(), form, read)
    except (Refusal, InvalidInstructionError):
        return
    assert seen.rgb.ndim == 3
    assert prompt
    if seen.camera is not None:
        assert np.isfinite(seen.camera.rays()).all()


@settings(deadline=None)
@given(QUERY | ANY)
def test_any_query(value: Any) -> None:
    understood(value, Query, read_query)


@settings(deadline=None)
@given(CHAT | ANY)
def test_any_chat(value: Any) -> None:
    understood(value, Chat, read_chat)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(raw: bytes) -> None:
    for form, read in ((Query, read_query), (Chat, read_chat)):
        with pytest.raises(Refusal):
            _understood(raw, form, read)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(['colour', 'depth']), st.sampled_from([COLOUR, JPEG, DEPTH, npy()]),
       st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
       st.floats(0.2, 1))
def test_any_damage_to_a_picture(
    what: str, good: bytes, hits: list[tuple[float, int]], keep: float
) -> None:
    """Bytes of the head are hit as often as all the others."""
    data = bytearray(good)
    for i, (where, value) in enumerate(hits):
        data[int(where * (60 if i % 2 else len(data)))] = value
    damaged = bytes(data[: max(1, round(keep * len(data)))])
    try:
        if what == 'colour':
            assert pictures.colour(damaged, LIMITS).size <= 3 * LIMITS.max_pixels
            return
        depth = pictures.depth(damaged, LIMITS)
    except Refusal:
        return
    if depth is not None:
        assert np.isfinite(depth).all()
        assert (depth >= 0).all()
