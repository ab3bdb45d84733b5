# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a recorded episode is, whatever layout it was published in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.data.video.frames import Frames, Rgb
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.transforms import apply, invert

Array = NDArray[np.float64]


class DepthFrames(Protocol):
    """Depth frames of a recording, aligned to the colour frames."""

    def read(self, index: int) -> NDArray[np.float32] | None:
        """Return frame ``index`` as (H, W) metres, 0 invalid; None when it was not recorded."""


@dataclass(frozen=True)
class ArmMotion:
    """What one arm did.

    Attributes:
        name: ``left``, ``right``, or empty for the only one.
        flange: (N, 4, 4) base_from_flange.
        opening: (N,) opening of the gripper from 0 (closed) to 1 (open).
        grip_offset: (3,) where the fingers meet in the frame of the flange, metres.
    """

    name: str
    flange: Array
    opening: Array
    grip_offset: Array

    @property
    def grip_points(self) -> Array:
        """(N, 3) where the fingers meet, in the base frame."""
        return np.asarray(self.flange[:, :3, :3] @ self.grip_offset + self.flange[:, :3, 3])


@dataclass(frozen=True)
class SubTask:
    """A labelled part of an episode, frames ``start`` up to and without ``end``."""

    start: int
    end: int
    text: str
    skill: str = ''


@dataclass(frozen=True)
class Episode:
    """One recording by one camera.

    Attributes:
        id: Unique in its data set.
        layout: ``lerobot``, ``droid`` or ``agibot``.
        instructions: What was asked for; several wordings of the same, or none.
        fps: Frames per second.
        camera: Intrinsics of the colour frames.
        base_from_camera: (N, 4, 4) pose of the optical frame at every frame.
        rgb: Colour frames.
        depth: Depth frames, or None.
        arms: One or two.
        subtasks: Labelled parts; empty when the episode is one task.
        path: Where it was read from, for people.
        extra: What else the source says, JSON-serialisable.
    """

    id: str
    layout: str
    instructions: tuple[str, ...]
    fps: float
    camera: CameraModel
    base_from_camera: Array
    rgb: Frames
    depth: DepthFrames | None
    arms: tuple[ArmMotion, ...]
    subtasks: tuple[SubTask, ...] = ()
    path: str = ''
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.base_from_camera)

    def frame(self, index: int) -> Rgb:
        """Return colour frame ``index`` as (H, W, 3)."""
        return self.rgb.read(index)

    def in_view(self, points: Array, frame: int) -> Array:
        """Project points (..., 3) of the base frame to (u, v, d) in the camera as it was at a frame."""
        return self.camera.project(apply(invert(self.base_from_camera[frame]), points))
