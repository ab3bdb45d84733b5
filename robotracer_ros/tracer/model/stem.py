# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Convolutional stem and transformer block shared by the encoders."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ResidualConv(nn.Module):
    """Pre-normalised 3x3 convolution with a skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Add the convolved image."""
        return x + self.conv(F.gelu(self.norm(x)))


class ConvStem(nn.Module):
    """(B, in, H, W) to tokens (B, H/16 * W/16, out) in row-major order.

    Convolutions instead of one linear patch projection: at small scale they learn shape and colour
        of a 20-pixel thing in
    minutes, which a ViT does not.
    """

    def __init__(self, in_channels: int, channels: Sequence[int], out_channels: int) -> None:
        super().__init__()
        a, b = channels
        self.net = nn.Sequential(
            nn.Conv2d(in_channels, a, 4, 4),
            ResidualConv(a),
            nn.Conv2d(a, b, 2, 2),
            ResidualConv(b),
            ResidualConv(b),
            nn.Conv2d(b, out_channels, 2, 2),
            ResidualConv(out_channels),
            ResidualConv(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens."""
        return self.net(x).flatten(2).transpose(1, 2)


class Block(nn.Module):
    """Pre-norm transformer block without causality."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Mix (B, N, width) tokens."""
        b, n, d = x.shape
        q, k, v = (
            self.qkv(self.norm1(x))
            .view(b, n, 3, self.heads, d // self.heads)
            .permute(2, 0, 3, 1, 4)
        )
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, d))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


def fourier(x: Tensor, bands: int) -> Tensor:
    """Return sines and cosines (..., 2 * bands) of x in about 0..1 at 0.5, 1, 2 ... periods."""
    octave = 2.0 ** torch.arange(bands, device=x.device, dtype=x.dtype)
    angle = x[..., None] * octave * torch.pi
    return torch.cat([angle.sin(), angle.cos()], dim=-1)
