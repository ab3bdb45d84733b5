# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The RGB encoder of the tiny model and the universal spatial encoder.

Geometry travels inside ``pixel_values`` so that trainers, ``generate`` and servers need no change:
channels are RGB (3, in
-1..1), unit rays (3), depth along the optical axis in metres (1, 0 = invalid) and a pose as 8
constant planes (quaternion
xyzw of gravity_from_camera, unit translation, log length). A plane group that is all zero is
absent.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from robotracer_ros.tracer.model.config import RoboTracerSpatialConfig, RoboTracerVisionConfig
from robotracer_ros.tracer.model.stem import Block, ConvStem, fourier
from robotracer_ros.tracer.pixels import PACKED_CHANNELS

_MIN_DEPTH = 1e-3
#: a thing of 8 cm at 1.4 m changes log depth and relative height by 0.06: too little beside
#: colours of size 1 to be noticed
_RELIEF_GAIN, _HEIGHT_GAIN = 10.0, 8.0
_RELIEF_WINDOW = 33


@dataclass(frozen=True)
class Geometry:
    """What is known of a batch of images besides colour.

    Attributes:
        rays: (B, 3, H, W) unit viewing rays in the optical frame.
        depth: (B, 1, H, W) metres along the optical axis, 0 = invalid.
        pose: (B, 8) quaternion xyzw of gravity_from_camera, unit translation, log of its length.
        present: (B, 3) bool: rays, depth, pose; a False entry masks its input completely.
    """

    rays: Tensor
    depth: Tensor
    pose: Tensor
    present: Tensor


def unpack(pixel_values: Tensor) -> tuple[Tensor, Geometry]:
    """Split packed ``pixel_values`` (B, 3 | 7 | 15, H, W) into RGB and geometry."""
    b, c, h, w = pixel_values.shape
    if c not in (3, 7, PACKED_CHANNELS):
        raise ValueError(
            f'pixel_values have {c} channels: must be 3 (RGB), 7 (+ rays, depth) or {PACKED_CHANNELS} (+ pose)'
        )
    if c < PACKED_CHANNELS:
        pixel_values = torch.cat(
            [pixel_values, pixel_values.new_zeros(b, PACKED_CHANNELS - c, h, w)], dim=1
        )
    rays, depth, pose = pixel_values[:, 3:6], pixel_values[:, 6:7], pixel_values[:, 7:, 0, 0]
    present = torch.stack([x.flatten(1).abs().amax(1) > 0 for x in (rays, depth, pose)], dim=1)
    return pixel_values[:, :3], Geometry(rays, depth, pose, present)


def metric_scale(geometry: Geometry) -> Tensor:
    """Return s* (B,).

    Mean distance (m) of the valid depth points from the camera; NaN without rays or depth.
    """
    valid = (geometry.depth > 0) & torch.isfinite(geometry.depth)
    distance = torch.where(valid, geometry.depth / geometry.rays[:, 2:3].clamp(min=0.05), 0.0)
    count = valid.flatten(1).sum(1)
    mean = distance.flatten(1).sum(1) / count.clamp(min=1)
    known = geometry.present[:, 0] & geometry.present[:, 1] & (count > 0)
    return torch.where(known, mean, torch.full_like(mean, float('nan')))


def up_in_camera(pose: Tensor) -> Tensor:
    """Return the upward direction (B, 3) in the optical frame of poses (B, 8)."""
    x, y, z, w = pose[:, :4].unbind(1)
    return torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], dim=1)


class RoboTracerVisionModel(PreTrainedModel):
    """RGB (B, 3, H, W) in -1..1 to tokens (B, N, hidden)."""

    config_class = RoboTracerVisionConfig
    main_input_name = 'pixel_values'
    base_model_prefix = 'vision'
    _supports_sdpa = True

    def __init__(self, config: RoboTracerVisionConfig) -> None:
        super().__init__(config)
        self.stem = ConvStem(3, config.stem_channels, config.hidden_size)
        self.post_init()

    def forward(self, pixel_values: Tensor, **kwargs: object) -> BaseModelOutput:
        """Return the tokens as ``last_hidden_state``."""
        return BaseModelOutput(last_hidden_state=self.stem(pixel_values))


class RoboTracerSpatialEncoder(PreTrainedModel):
    """RGB and any subset of rays, depth and pose to tokens (B, N, hidden).

    Depth is divided by its own mean, so that the picture is free of scale, and the logarithm of
    that mean enters
    separately. Where rays and depth are known every pixel carries its 3D point, where the pose is
    known too its height
    along gravity. Each absent input is zero in the planes and a learned vector in the tokens.
    """

    config_class = RoboTracerSpatialConfig
    main_input_name = 'rgb'
    base_model_prefix = 'spatial'
    _supports_sdpa = True

    def __init__(self, config: RoboTracerSpatialConfig) -> None:
        super().__init__(config)
        d = config.hidden_size
        self.stem = ConvStem(3 + 3 + 2 + 3 + 2 + 1 + 3, config.stem_channels, d)
        self.position = nn.Linear(3 * 2 * config.position_bands, d)
        self.scale = nn.Sequential(nn.Linear(1, d), nn.GELU(), nn.Linear(d, d))
        self.pose = nn.Sequential(nn.Linear(8, d), nn.GELU(), nn.Linear(d, d))
        self.missing = nn.Parameter(torch.randn(3, d) * 0.02)
        self.blocks = nn.ModuleList(
            Block(d, config.num_attention_heads, config.intermediate_size)
            for _ in range(config.num_hidden_layers)
        )
        self.norm = nn.LayerNorm(d)
        self.post_init()

    def forward(self, rgb: Tensor, geometry: Geometry) -> Tensor:
        """Encode RGB (B, 3, H, W) in -1..1 with what geometry is present."""
        # Half precision would cost millimetres: only what has been derived enters in the weights' type.
        dtype, exact = self.missing.dtype, torch.float32
        has = geometry.present.to(exact)
        k, d, p = (has[:, i].view(-1, 1, 1, 1) for i in range(3))
        # NaN times a mask of 0 is still NaN, hence where().
        rays = torch.where(k > 0, geometry.rays, 0.0).to(exact)
        valid = (geometry.depth > 0) & torch.isfinite(geometry.depth) & (d > 0)
        depth = torch.where(valid, geometry.depth, 0.0).to(exact)
        pose = torch.where(has[:, 2:] > 0, geometry.pose, 0.0).to(exact)
        valid_f = valid.to(exact)
        count = valid_f.flatten(1).sum(1).clamp(min=1)
        mean = (depth.flatten(1).sum(1) / count).clamp(min=_MIN_DEPTH).view(-1, 1, 1, 1)
        relative = depth / mean
        log_depth = torch.where(valid, (relative.clamp(min=_MIN_DEPTH)).log(), 0.0)
        points = rays / rays[:, 2:3].clamp(min=0.05) * relative
        up = up_in_camera(pose).view(-1, 3, 1, 1) * p
        planes = torch.cat(
            [
                rgb.to(exact),
                rays,
                log_depth,
                valid_f,
                points * valid_f,
                (up * rays).sum(1, keepdim=True),
                _height(points, up, valid),
                _relief(log_depth, valid_f),
                surface_normals(points, valid_f),
            ],
            dim=1,
        )
        places, scale = self._positions(log_depth, valid_f), mean.view(-1, 1).log()
        places, scale, pose, has = (t.to(dtype) for t in (places, scale, pose, has))
        x = self.stem(planes.to(dtype)) + self.position(places)
        x = x + (self.scale(scale) * has[:, 1:2])[:, None]
        x = x + (self.pose(pose) * has[:, 2:3])[:, None] + ((1 - has) @ self.missing)[:, None]
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def _positions(self, log_depth: Tensor, valid: Tensor) -> Tensor:
        """Return Fourier features (B, N, 6 * bands) of the patch centres and of the mean log depth in each patch."""
        b, _, h, w = log_depth.shape
        s, bands = self.config.patch_size, self.config.position_bands
        rows, cols = h // s, w // s
        v = (
            (torch.arange(rows, device=log_depth.device, dtype=log_depth.dtype) + 0.5) / rows
        ).repeat_interleave(cols)
        u = (
            (torch.arange(cols, device=log_depth.device, dtype=log_depth.dtype) + 0.5) / cols
        ).repeat(rows)
        share = F.avg_pool2d(valid, s).flatten(1)
        z = F.avg_pool2d(log_depth * valid, s).flatten(1) / share.clamp(min=1e-6)
        uv = torch.cat([fourier(u, bands), fourier(v, bands)], dim=-1).expand(b, -1, -1)
        return torch.cat([uv, fourier(z, bands) * (share > 0).to(z.dtype)[..., None]], dim=-1)


def _height(points: Tensor, up: Tensor, valid: Tensor) -> Tensor:
    """Return heights (B, 1, H, W) along gravity over the median height, most often the table.

    0 where unknown.
    """
    height = (up * points).sum(1, keepdim=True)
    known = torch.where(valid, height, torch.nan).flatten(1).nanmedian(1).values.nan_to_num(0.0)
    return torch.where(valid, (height - known.view(-1, 1, 1, 1)) * _HEIGHT_GAIN, 0.0)


def _relief(log_depth: Tensor, valid: Tensor) -> Tensor:
    """Return how far (B, 1, H, W) log depth lies off its neighbourhood's mean."""
    half = _RELIEF_WINDOW // 2

    def smooth(x: Tensor) -> Tensor:
        x = F.avg_pool2d(x, (_RELIEF_WINDOW, 1), 1, (half, 0), count_include_pad=False)
        return F.avg_pool2d(x, (1, _RELIEF_WINDOW), 1, (0, half), count_include_pad=False)

    mean = smooth(log_depth * valid) / smooth(valid).clamp(min=1e-6)
    return (log_depth - mean).clamp(-0.2, 0.2) * valid * _RELIEF_GAIN


def surface_normals(points: Tensor, valid: Tensor) -> Tensor:
    """Return surface normals (B, 3, H, W) in the optical frame from neighbouring points.

    0 where one is missing.
    """
    across = F.pad(points[..., 2:] - points[..., :-2], (1, 1, 0, 0))
    down = F.pad(points[..., 2:, :] - points[..., :-2, :], (0, 0, 1, 1))
    normal = F.normalize(torch.linalg.cross(down, across, dim=1), dim=1, eps=1e-9)
    # All five points must be known.
    known = -F.max_pool2d(-valid, 3, 1, 1)
    return normal * known


AutoModel.register(RoboTracerVisionConfig, RoboTracerVisionModel)
AutoModel.register(RoboTracerSpatialConfig, RoboTracerSpatialEncoder)
