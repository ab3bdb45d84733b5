# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Closing and opening events of noisy gripper signals."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from robotracer_ros.data.video.clips import merge_pick_and_place
from robotracer_ros.data.video.episode import SubTask
from robotracer_ros.data.video.gripper import Closing, GripperConfig, closings

FPS = 10.0


def signal(*parts: tuple[int, float]) -> NDArray[np.float64]:
    """Return lengths of constant openings one after the other."""
    return np.concatenate([np.full(n, value) for n, value in parts])


def test_one_closing() -> None:
    """Frames are exact where the signal is."""
    found = closings(signal((20, 1.0), (30, 0.0), (10, 1.0)), FPS)
    assert found == [Closing(20, 50, seen_closing=True, seen_opening=True)]


def test_a_thick_thing_stops_the_fingers() -> None:
    """Half closed counts when that is as far as they go."""
    found = closings(signal((20, 0.95), (30, 0.7), (10, 0.95)), FPS)
    assert [(c.start, c.end) for c in found] == [(20, 50)]


def test_a_slow_gripper_closes_at_a_third() -> None:
    """Thresholds differ for closing and opening: the way between them is neither."""
    ramp = np.linspace(1, 0, 11)
    found = closings(np.concatenate([np.ones(10), ramp, np.zeros(20), ramp[::-1], np.ones(10)]), FPS)
    assert [(c.start, c.end) for c in found] == [(17, 48)]


@pytest.mark.parametrize('value', [0.0, 1.0, 0.5])
def test_a_gripper_that_does_not_move(value: float) -> None:
    """Never closed, always closed and noise of 2 % are no events."""
    rng = np.random.default_rng(1)
    assert closings(value + rng.normal(0, 0.01, 100), FPS) == []


def test_flutter_is_no_event() -> None:
    """Openings and closings of a tenth of a second are dropped; what they interrupt stays whole."""
    x = signal((20, 1.0), (30, 0.0), (20, 1.0))
    x[30] = 1.0
    x[60] = 0.0
    assert [(c.start, c.end) for c in closings(x, FPS)] == [(20, 50)]
    assert len(closings(x, FPS, GripperConfig(min_closed_s=0, min_open_s=0))) == 3


def test_two_closings_and_open_ends() -> None:
    """What happens before and after the recording is not known, and said."""
    found = closings(signal((10, 0.0), (20, 1.0), (20, 0.0)), FPS)
    assert [(c.start, c.end, c.seen_closing, c.seen_opening) for c in found] == [
        (0, 10, False, True),
        (30, 50, True, False),
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(8, 30), st.booleans()), min_size=1, max_size=8),
    st.integers(0, 2**32 - 1),
)
def test_noise_does_not_change_the_events(parts: list[tuple[int, bool]], seed: int) -> None:
    """Any sequence of openings and closings is found again under noise of 4 % of the range."""
    clean = np.concatenate([np.full(n, float(is_open)) for n, is_open in parts])
    if clean.min() == clean.max():
        return
    noisy = clean + np.random.default_rng(seed).normal(0, 0.04, len(clean))
    edges = np.flatnonzero(np.diff(clean)) + 1
    bounds = [0, *edges, len(clean)]
    truth = [(a, b) for a, b in pairwise(bounds) if clean[a] == 0]
    assert [(c.start, c.end) for c in closings(noisy, FPS)] == truth


def test_pick_and_place_are_merged() -> None:
    """Only a Place right after a Pick belongs to it."""
    parts = (
        SubTask(0, 50, 'Pick up the cup.', 'Pick'),
        SubTask(50, 90, 'Place it on the tray.', 'Place'),
        SubTask(95, 140, 'Pick up the fork.', 'Pick'),
        SubTask(150, 190, 'Place it on the tray.', 'Place'),
    )
    merged = merge_pick_and_place(parts)
    assert [(p.start, p.end, p.skill) for p in merged] == [
        (0, 90, 'PickAndPlace'),
        (95, 140, 'Pick'),
        (150, 190, 'Place'),
    ]
    assert merged[0].text == 'Pick up the cup, then place it on the tray.'
