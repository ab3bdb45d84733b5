# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Steps in metres from one place of a picture to another, along what things stand on."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from robotracer_ros.tracer.model.encoders import Geometry, surface_normals, up_in_camera

#: a place is never moved closer to the camera than this, metres
_NEAREST = 0.1
#: rounds of looking for the direction that most of the surface faces, and how fast others stop counting
_ROUNDS, _SHARPNESS = 4, 8.0


class SupportFrame(NamedTuple):
    """How a camera sees the surface that things stand on.

    Attributes:
        lens: (..., 4) slopes x / z and y / z of the viewing ray at u = v = 0, and what they grow by
            until u = v = 1.
        axes: (..., 3, 3) rows right, away and up as seen by the camera: unit vectors in the optical
            frame.
        known: (...) whether rays and an upward direction are known; lens and axes mean nothing otherwise.
        depth: (..., H, W) of the sensor in metres, 0 where it measured nothing.
    """

    lens: Tensor
    axes: Tensor
    known: Tensor
    depth: Tensor

    def step(self, place: Tensor, metres: Tensor) -> Tensor:
        """Move places (..., 3) of u, v in 0..1 and d in metres by (..., 3) metres right, away, up."""
        offset, slope = self.lens[..., :2], self.lens[..., 2:]
        depth = place[..., 2:]
        point = torch.cat([(offset + slope * place[..., :2]) * depth, depth], -1)
        point = point + (metres.unsqueeze(-2) @ self.axes).squeeze(-2)
        depth = point[..., 2:].clamp(min=_NEAREST)
        return torch.cat([(point[..., :2] / depth - offset) / slope, depth], -1)

    def sensed(self, place: Tensor) -> Tensor:
        """Return the sensor's depth (B, T) at places (B, T, 3), theirs where it has none; when expanded."""
        height, width = self.depth.shape[-2:]
        # Several questions in a batch look at one picture.
        pixels = self.depth.flatten(1).expand(len(place), -1)
        x = (place[..., 0] * width).long().clamp(0, width - 1)
        y = (place[..., 1] * height).long().clamp(0, height - 1)
        found = pixels.gather(-1, y * width + x)
        return torch.where(found > 0, found, place[..., 2])

    def expanded(self) -> SupportFrame:
        """Return the frame of pictures (B, ...) for their texts (B, T, ...)."""
        return SupportFrame(*(x.unsqueeze(1) for x in self))


def support_frame(geometry: Geometry) -> SupportFrame:
    """Find the frame of each picture (B): up along gravity with a pose, else along most of the surface.

    What stands around is seen against a table or a floor; without a pose, the direction that most
    of the measured surface faces is taken for up.
    """
    rays = geometry.rays.float()
    known = geometry.present[:, 0]
    slopes = rays[:, :2] / rays[:, 2:].clamp(min=0.05)
    height, width = rays.shape[-2:]
    # u = 0 is the middle of the first pixel (CameraInfo's convention), u = 1 lies a pixel after the last.
    first, last = slopes[:, :, 0, 0], slopes[:, :, -1, -1]
    pixels = torch.tensor([width, height], device=rays.device, dtype=rays.dtype)
    grown = (last - first) * pixels / (pixels - 1)
    lens = torch.cat([first, grown], -1)
    valid = (geometry.depth > 0) & torch.isfinite(geometry.depth)
    depth = torch.where(valid, geometry.depth, 0.0).float()
    faced = _faced(rays, depth, valid.float())
    with_pose, with_depth = geometry.present[:, 2], geometry.present[:, 1]
    up = torch.where(with_pose[:, None], up_in_camera(geometry.pose.float()), faced)
    known = known & (with_pose | (with_depth & (faced.norm(dim=-1) > 0.5)))
    ahead = torch.tensor([1.0, 0.0, 0.0], device=up.device).expand_as(up)
    right = F.normalize(ahead - (ahead * up).sum(-1, keepdim=True) * up, dim=-1)
    axes = torch.stack([right, torch.linalg.cross(up, right, dim=-1), up], dim=-2)
    # No NaN may leave: where() in the caller stops the value, not the gradient.
    lens = torch.where(known[:, None], lens, torch.ones_like(lens))
    axes = torch.where(known[:, None, None], axes, torch.eye(3, device=axes.device))
    measured = torch.where(with_depth[:, None, None], depth[:, 0], 0.0)
    return SupportFrame(lens, axes, known, measured)


def _faced(rays: Tensor, depth: Tensor, valid: Tensor) -> Tensor:
    """Return the unit vector (B, 3) towards the camera's side that most of the surface faces."""
    points = rays / rays[:, 2:3].clamp(min=0.05) * depth
    normals = surface_normals(points, valid).flatten(2)
    # The near side of a surface faces the camera.
    normals = normals * -torch.sign((normals * rays.flatten(2)).sum(1, keepdim=True))
    mean = F.normalize(normals.sum(-1), dim=-1)
    for _ in range(_ROUNDS):
        along = (normals * mean[..., None]).sum(1, keepdim=True).clamp(min=0.0)
        mean = F.normalize((normals * along**_SHARPNESS).sum(-1), dim=-1)
    return mean
