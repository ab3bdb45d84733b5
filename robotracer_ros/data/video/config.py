# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Options of the video pipeline; the numbers of the reference are the defaults of each layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from robotracer_ros.data.video.checks import AlignmentConfig
from robotracer_ros.data.video.gripper import GripperConfig


@dataclass(frozen=True)
class VideoConfig:
    """How traces are made from episodes.

    Attributes:
        gripper: How closings are found.
        alignment: When camera pose, depth and arm agree.
        require_alignment: Reject episodes for which that cannot be tested, e.g. without depth.
        lead_s: The picture is taken this long before the gripper closes (60 frames at 15 Hz); recordings with
            labelled sub-tasks begin with the sub-task instead.
        simplify_m: A keypoint is dropped when the way without it stays this close, metres.
        max_simplify_m: Where that leaves too many keypoints, the tolerance grows up to this.
        max_keypoints: Traces that still have more are dropped.
        min_length: Shorter ways are dropped, metres.
        min_motion: An arm whose grip point stays within a ball of this diameter does not move, metres.
        occlusion_radius_px, max_invalid_share: A picture is dropped when, in this disc around the place where the
            gripper closes, more than this share of the pixels has no depth; 1 switches the rule off.
        contact_tolerance: The first point of an object's trace takes the depth of the sensor where the two differ
            by less, metres.
        max_distortion_px: Recordings whose lens moves a keypoint by more are dropped: traces are pinhole.
        jpeg_quality: Of the stored picture; 0 stores PNG.
        shard_episodes: Episodes per shard.
        skip_broken: List episodes with broken files among the rejections instead of stopping.
    """

    gripper: GripperConfig = field(default_factory=GripperConfig)
    alignment: AlignmentConfig = field(default_factory=AlignmentConfig)
    require_alignment: bool = True
    lead_s: float = 4.0
    simplify_m: float = 0.02
    max_simplify_m: float = 0.04
    max_keypoints: int = 8
    min_length: float = 0.05
    min_motion: float = 0.05
    occlusion_radius_px: float = 30.0
    max_invalid_share: float = 1.0
    contact_tolerance: float = 0.05
    max_distortion_px: float = 3.0
    jpeg_quality: int = 92
    shard_episodes: int = 100
    skip_broken: bool = True


#: what the reference does with each source
LAYOUT_DEFAULTS: Mapping[str, VideoConfig] = {
    'lerobot': VideoConfig(),
    'droid': VideoConfig(),
    'agibot': VideoConfig(
        alignment=AlignmentConfig(min_share=0.83, invalid='aligned'), max_invalid_share=0.6
    ),
}
