# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Options of the web pipeline: which models look at a picture, and which of what they say is believed."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ModelNames:
    """The ``transformers`` models, by hub name or folder. Loaded by :mod:`robotracer_ros.training.web_models`.

    Attributes:
        detector: Zero-shot (GroundingDINO, OWL class) or with fixed classes (DETR class).
        segmenter: SAM class, asked with boxes.
        depth: Metric depth (Depth Anything metric, ZoeDepth, DepthPro class); relative depth is refused.
        captioner: Writes a sentence about a cut-out; empty for none.
        labels: What a zero-shot detector is asked for.
        detector_threshold, text_threshold: Least scores of a box, and of its words.
        caption_tokens: Length of a caption at most.
        device: ``auto``, ``cpu`` or ``cuda``.
        download: Ask the hub for what is not on this machine.
    """

    detector: str = 'IDEA-Research/grounding-dino-tiny'
    segmenter: str = 'facebook/sam-vit-base'
    depth: str = 'depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf'
    captioner: str = 'Salesforce/blip-image-captioning-base'
    labels: tuple[str, ...] = (
        'cup', 'mug', 'bottle', 'bowl', 'plate', 'box', 'can', 'book', 'vase', 'fruit', 'toy', 'tool', 'chair',
        'pillow', 'lamp', 'bag', 'shoe', 'keyboard', 'phone', 'plant',
    )  # fmt: skip
    detector_threshold: float = 0.3
    text_threshold: float = 0.25
    caption_tokens: int = 24
    device: str = 'auto'
    download: bool = False


@dataclass(frozen=True)
class WebConfig:
    """What is believed and asked.

    Attributes:
        models: The models.
        max_side: Larger pictures are made smaller first, pixels.
        fov_degrees: Horizontal field of view where the depth model tells no focal length.
        min_area, max_area: Share of the picture that a thing may cover.
        min_box_iou: Overlap of a detected box with the box around its mask.
        max_mask_iou: Two detections whose masks overlap more are one thing; the better one stays.
        min_valid_depth: Share of a thing's pixels that must have depth.
        max_depth: Farther things are left out, metres.
        min_instances: Pictures with fewer things are dropped.
        min_gap: Neighbours of an order differ by this share of the picture (left, right) or of their depth at least.
        questions: Per picture at most.
        trace_share: Share of the questions that ask for a trace.
        plane_tolerance: Points this close to the plane belong to it, metres per metre of depth.
        min_plane_share: Without a plane under this share of the picture no traces are asked for.
        max_tilt_degrees: Largest angle between the plane's normal and the picture's upright direction.
        lift: How high a carried thing is lifted over what it passes, metres.
        jpeg_quality: Of the stored picture; 0 stores PNG.
        shard_pictures: Pictures per shard.
        seed: Of all choices.
    """

    models: ModelNames = field(default_factory=ModelNames)
    max_side: int = 1024
    fov_degrees: float = 60.0
    min_area: float = 0.002
    max_area: float = 0.4
    min_box_iou: float = 0.5
    max_mask_iou: float = 0.6
    min_valid_depth: float = 0.6
    max_depth: float = 15.0
    min_instances: int = 2
    min_gap: float = 0.04
    questions: int = 12
    trace_share: float = 0.4
    plane_tolerance: float = 0.015
    min_plane_share: float = 0.1
    max_tilt_degrees: float = 75.0
    lift: float = 0.08
    jpeg_quality: int = 92
    shard_pictures: int = 200
    seed: int = 0
