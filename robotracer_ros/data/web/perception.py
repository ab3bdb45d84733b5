# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What models tell of a picture. This room never loads one: :mod:`robotracer_ros.training.web_models` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]


@dataclass(frozen=True)
class Detection:
    """A box with a name.

    Attributes:
        label: What it is called.
        score: 0..1.
        box: x0, y0, x1, y1 in pixels.
    """

    label: str
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class DepthEstimate:
    """Depth of a picture.

    Attributes:
        depth: (H, W) metres along the optical axis, 0 where unknown.
        focal_px: Horizontal focal length in pixels of the picture, or None when the model tells none.
    """

    depth: NDArray[np.float32]
    focal_px: float | None = None


class Perception(Protocol):
    """The models that look at a picture."""

    def detect(self, rgb: Rgb) -> list[Detection]:
        """Find things in a picture (H, W, 3)."""

    def segment(
        self, rgb: Rgb, boxes: Sequence[tuple[float, float, float, float]]
    ) -> NDArray[np.bool_]:
        """Cut out what is in boxes (K); return masks (K, H, W)."""

    def depth(self, rgb: Rgb) -> DepthEstimate:
        """Estimate metric depth."""

    def caption(self, rgb: Rgb) -> str:
        """Describe a picture in a few words; empty without a captioner."""
