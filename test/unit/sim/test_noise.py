# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Tests of robotracer_ros.sim.noise."""

import numpy as np
import pytest

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.sim.noise import TYPICAL, DepthNoise, add_noise


def step() -> np.ndarray:
    depth = np.full((100, 120), 1.0, np.float32)
    depth[:, 60:] = 2.0
    depth[:5] = 0
    return depth


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_off_by_default():
    np.testing.assert_array_equal(add_noise(step(), DepthNoise(), rng()), step())


def test_noise_grows_with_the_square_of_depth():
    out = add_noise(step(), DepthNoise(sigma=0.002), rng())
    near, far = out[10:, :55].std(), out[10:, 65:].std()
    assert near == pytest.approx(0.002, rel=0.1)
    assert far == pytest.approx(0.008, rel=0.1)
    assert np.all(out[:5] == 0)


def test_holes_and_flying_pixels_only_at_jumps():
    out = add_noise(step(), DepthNoise(edge_jump=0.1, edge_probability=0.5, flying=1.0), rng())
    assert np.mean(out[6:, 59:61] == 0) == pytest.approx(0.5, abs=0.15)
    flying = out[6:, 59:61]
    flying = flying[flying > 0]
    assert np.all((flying >= 1.0) & (flying <= 2.0))
    assert np.ptp(flying) > 0.5
    np.testing.assert_array_equal(out[6:, :59], step()[6:, :59])
    np.testing.assert_array_equal(out[6:, 61:], step()[6:, 61:])


def test_dropout_and_quantisation():
    out = add_noise(step(), DepthNoise(dropout=0.1), rng())
    assert np.mean(out[5:] == 0) == pytest.approx(0.1, abs=0.02)
    fine = step() * np.float32(1.00042)
    out = add_noise(fine, DepthNoise(quantum=0.001), rng())
    np.testing.assert_allclose(out * 1000, np.round(out * 1000), atol=1e-3)
    assert not np.array_equal(out, fine)


def test_the_same_generator_gives_the_same_image():
    np.testing.assert_array_equal(add_noise(step(), TYPICAL, rng()), add_noise(step(), TYPICAL, rng()))


@pytest.mark.parametrize('bad', [{'sigma': -0.1}, {'dropout': 1.5}, {'quantum': 2.0}])
def test_values_out_of_range_are_refused(bad):
    with pytest.raises(InvalidParameterError, match=next(iter(bad))):
        DepthNoise(**bad)
