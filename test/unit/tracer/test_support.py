# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Steps in metres land where a pinhole camera says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.transforms import make_transform
from robotracer_ros.tracer.model.encoders import unpack
from robotracer_ros.tracer.model.images import pack_image
from robotracer_ros.tracer.model.reader import (
    LENGTH_RANGE,
    NEVER,
    ORIGINS,
    READINGS,
    StepReader,
    number_waves,
    readings,
)
from robotracer_ros.tracer.model.said import REASONED, Said
from robotracer_ros.tracer.model.support import SupportFrame, support_frame

CAMERA = CameraModel(320, 240, 300.0, 280.0, 150.0, 130.0)


def looking_down(tilt: float, roll: float) -> np.ndarray:
    """Return world_from_camera 1.2 m above a table, tilted and rolled by radians."""
    c, s = np.cos(tilt), np.sin(tilt)
    # Optical x to world -y, the view forwards and down.
    forward = np.array([[0, -s, c], [-1, 0, 0], [0, -c, -s]])
    cr, sr = np.cos(roll), np.sin(roll)
    rolled = forward @ np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return make_transform(rolled, np.array([0.0, 0.0, 1.2]))


def table_depth(world_from_camera: np.ndarray) -> np.ndarray:
    """Return the depth (H, W) of the plane z = 0."""
    v, u = np.mgrid[0:240, 0:320]
    rays = np.stack([(u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy, np.ones(u.shape)], -1)
    down = rays @ world_from_camera[2, :3]  # metres that a metre of depth goes up
    return np.where(down < -0.05, -world_from_camera[2, 3] / np.minimum(down, -0.05), 0.0)


def frame_of(pose: np.ndarray, with_pose: bool = True, with_depth: bool = True) -> SupportFrame:
    rgb, depth = np.zeros((240, 320, 3), np.uint8), table_depth(pose).astype(np.float32)
    pixels = pack_image(
        rgb, depth if with_depth else None, CAMERA, pose if with_pose else None
    )
    return support_frame(unpack(pixels[None])[1])


@pytest.mark.parametrize('roll', [0.0, 0.3])
@pytest.mark.parametrize('with_pose', [True, False])
def test_a_step_lands_where_the_camera_sees_it(with_pose: bool, roll: float) -> None:
    pose = looking_down(0.8, roll)
    frame = frame_of(pose, with_pose)
    assert bool(frame.known[0])
    right, away, up = frame.axes[0].double().numpy()
    assert pose[:3, :3] @ up == pytest.approx([0, 0, 1], abs=2e-3)
    assert (pose[:3, :3] @ away)[0] > 0.9 and abs((pose[:3, :3] @ right)[2]) < 2e-3
    assert right[0] > 0.9
    metres = np.array([0.2, -0.1, 0.05])
    point = np.array([0.1, 0.05, 1.3])
    moved = point + metres @ np.stack([right, away, up])

    def pixel(p: np.ndarray) -> np.ndarray:
        return np.array([CAMERA.fx * p[0] / p[2] + CAMERA.cx, CAMERA.fy * p[1] / p[2] + CAMERA.cy])

    size = np.array([320, 240])
    place = torch.tensor([[*(pixel(point) / size), point[2]]], dtype=torch.float32)
    got = frame.step(place, torch.tensor(metres[None], dtype=torch.float32))[0].double().numpy()
    assert got[:2] * size == pytest.approx(pixel(moved), abs=0.02)
    assert got[2] == pytest.approx(moved[2], abs=1e-4)


def test_without_rays_or_any_upward_direction_nothing_is_known() -> None:
    pose = looking_down(0.8, 0.0)
    assert not bool(frame_of(pose, with_pose=False, with_depth=False).known[0])
    blind = pack_image(np.zeros((240, 320, 3), np.uint8), table_depth(pose), None, pose)
    frame = support_frame(unpack(blind[None])[1])
    assert not bool(frame.known[0])
    assert all(torch.isfinite(x).all() for x in frame[:2])


def test_where_nothing_was_measured_the_own_depth_counts() -> None:
    pose = looking_down(0.8, 0.0)
    place = torch.tensor([[[0.5, 0.5, 0.7], [0.5, -0.2, 0.9], [1.4, 0.99, 0.8]]])
    blind = frame_of(pose, with_depth=False).expanded()
    assert torch.equal(blind.sensed(place), place[..., 2])
    seen = frame_of(pose).expanded().sensed(place)[0]
    assert seen.tolist() == pytest.approx(
        [table_depth(pose)[y, x] for x, y in ((160, 120), (160, 0), (319, 237))], abs=1e-3
    )


def test_a_place_behind_the_camera_stays_in_front_of_it() -> None:
    frame = frame_of(looking_down(0.8, 0.0))
    got = frame.step(torch.tensor([[0.5, 0.5, 0.2]]), torch.tensor([[0.0, -3.0, 3.0]]))
    assert torch.isfinite(got).all() and float(got[0, 2]) == pytest.approx(0.1)


def nothing_said(*shape: int) -> Said:
    places = torch.zeros(*shape, REASONED + 1, 3)
    return Said(torch.zeros(shape), places, torch.zeros(*shape, REASONED + 1, dtype=torch.bool))


def test_a_step_begins_at_a_place_that_was_said() -> None:
    """The likeliest origin counts; what was not said is none, however likely."""
    torch.manual_seed(0)
    width = 16
    reader = StepReader(width)
    with torch.no_grad():
        for layer in (reader.onward[2], reader.origin):
            layer.weight.zero_()
            layer.bias.zero_()
        reader.origin.bias[[1, ORIGINS - 1]] = torch.tensor([2.0, 1.0])
        reader.onward[2].bias[7:].copy_(torch.tensor([0.0, 0.0, 0.08]))  # up, from the last place
    frame = frame_of(looking_down(0.8, 0.0)).expanded()
    hidden = torch.randn(1, 4, width)
    anchor = torch.rand(1, 4, READINGS)
    places = torch.rand(REASONED + 1, 3).expand(1, 4, REASONED + 1, 3) + 0.2
    known = torch.zeros(1, 4, REASONED + 1, dtype=torch.bool)
    known[0, [0, 2], 0] = known[0, [0, 1], REASONED] = True
    said = Said(torch.zeros(1, 4), places * known[..., None], known)
    steps = reader(hidden, anchor, frame, said)[1]
    lifted = frame.step(places[:, :, REASONED], torch.tensor([0.0, 0.0, 0.08]).expand(1, 4, 3))
    expected = torch.stack([places[0, 0, 0], lifted[0, 1], places[0, 2, 0], steps.arrivals[0, 3, 0]])
    assert torch.allclose(steps.place[0], expected, atol=1e-5)
    assert ((steps.origin[..., 1:] <= NEVER) == ~known).all()


def test_the_reader_writes_the_place_that_it_stepped_to() -> None:
    """With the camera known the step is in metres; without it, in the picture, at the thing's depth."""
    torch.manual_seed(0)
    width = 32
    reader = StepReader(width)
    with torch.no_grad():
        reader.gate.bias.fill_(60.0)
        reader.touch.bias.fill_(-60.0)
        reader.metres[2].weight.zero_()
        reader.metres[2].bias.copy_(torch.tensor([0.2, 0.0, 0.0]))
        reader.along[2].weight.zero_()
        reader.along[2].bias.copy_(torch.tensor([0.0, 1.6, 0.0]))  # its length does not count
    frame = frame_of(looking_down(0.8, 0.0)).expanded()
    hidden = torch.zeros(1, 2, width)
    things = torch.tensor([[[0.4, 0.5, 1.25], [0.6, 0.5, 1.25]]])
    place = readings(things)
    anchor = torch.cat([place, torch.full((1, 2, READINGS - place.shape[-1]), 0.01)], -1)
    # The second text has said 10 cm, which it goes away from the camera.
    said = nothing_said(1, 2)._replace(length=torch.tensor([[0.0, 0.1]]))
    written, steps = reader(hidden, anchor, frame, said)
    place = steps.place
    straight = frame.step(things, torch.tensor([[[0.2, 0.0, 0.0], [0.2, 0.1, 0.0]]]))
    assert torch.allclose(place, straight, atol=1e-5)
    assert (place[0, :, 0] - torch.tensor([0.4, 0.6])).min() > 0.1
    numbers = torch.cat([readings(place), said.length[..., None] / LENGTH_RANGE], -1)
    code = number_waves(numbers, width // 4).sum(-2)
    assert torch.allclose(written[..., : width // 2], code, atol=1e-4)
    assert not written[..., width // 2 :].any()
    # What touches what the sensor sees is as far away as the sensor says.
    with torch.no_grad():
        reader.touch.bias.fill_(60.0)
        touching = reader(hidden, anchor, frame, said)[1].place
        reader.touch.bias.fill_(-60.0)
    x, y = (place[0, :, 0] * 320).long(), (place[0, :, 1] * 240).long()
    assert touching[0, :, 2].tolist() == pytest.approx(frame.depth[0, 0, y, x].tolist(), abs=1e-5)
    assert torch.equal(touching[..., :2], place[..., :2])
    assert (touching[..., 2] - place[..., 2]).abs().min() > 0.01
    # Its own loss moves the step; where the thing is has another.
    anchor.requires_grad_()
    reader(hidden, anchor, frame, said)[1].place.sum().backward()
    assert anchor.grad is None and reader.metres[2].weight.grad is not None
    blind = frame._replace(known=torch.zeros_like(frame.known))
    place = reader(hidden, anchor, blind, said)[1].place
    expected = anchor[..., :2] + reader.step(torch.cat([hidden, anchor], -1))
    assert torch.allclose(place[..., :2], expected, atol=1e-6)
    assert torch.allclose(place[..., 2], torch.tensor(1.25))
