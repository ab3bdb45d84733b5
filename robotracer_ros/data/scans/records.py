# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From a scanned frame to a record of a data set: questions, answers, traces."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import numpy as np

from robotracer_ros.data.generate import masks_of, object_entries
from robotracer_ros.data.qa import TYPE_WEIGHTS, sample_questions, trace
from robotracer_ros.data.record import Record, Sample, encode_depth, encode_png16, encode_rgb
from robotracer_ros.data.rejection import Rejected
from robotracer_ros.data.scans.facts import ScanFacts
from robotracer_ros.data.scans.frame import ScanFrame
from robotracer_ros.data.scans.occupancy import Unseen
from robotracer_ros.data.scans.platforms import Platform, find_platforms
from robotracer_ros.data.scans.segments import segment
from robotracer_ros.data.split import SPLITS, Split, weighted
from robotracer_ros.data.task import GoalRegion
from robotracer_ros.data.tasks import Rejections, sample_tasks
from robotracer_ros.geometry.transforms import make_transform

_TRACES = {k: w for k, w in TYPE_WEIGHTS.items() if k.startswith('trace') or k == 'lift'}
_POINTING = {k: w for k, w in TYPE_WEIGHTS.items() if k not in _TRACES}


@dataclass(frozen=True)
class ScanConfig:
    """How scans become a data set.

    Attributes:
        questions: Asked for per frame; a frame may yield fewer.
        every: Use every so many-th frame of a scan.
        shard_scans: Scans per shard.
        split: Which phrasings and compositions occur.
        unseen: Whether space behind what the camera sees is ``occupied`` or ``free``.
        jpeg_quality: Of colour images, 1..95; 0 for lossless PNG.
        platforms: Surfaces used per frame at most.
    """

    questions: int = 24
    every: int = 20
    shard_scans: int = 1
    split: Split = 'train'
    unseen: Unseen = 'occupied'
    jpeg_quality: int = 92
    platforms: int = 3


def facts_of(frame: ScanFrame, unseen: Unseen = 'occupied', most: int = 3) -> list[ScanFacts]:
    """Return the facts of a frame, one per platform; a frame without any is told as it is, nothing to be moved."""
    segments = segment(frame)
    chosen: list[Platform | None] = [*find_platforms(frame, segments)[:most]]
    return [ScanFacts(frame, segments, p, unseen) for p in chosen or [None]]


def questions(
    facts: ScanFacts, rng: np.random.Generator, n: int, split: Split, count: Rejections
) -> list[Sample]:
    """Make up to ``n`` questions about a frame and a platform.

    Things are pointed at and measured with all relations; traces are object-centric, of the primitives M1 to M5 and
    hovering, as in the paper's scans: nothing is known of a gripper or of what slides.
    """
    share = sum(_TRACES.values()) / sum(TYPE_WEIGHTS.values())
    wanted = round(share * n)
    tasks = sample_tasks(facts, rng, wanted, split=split, rejections=count)
    kinds = [weighted(rng, list(_TRACES), list(_TRACES.values())) for _ in tasks]
    pointing = sample_questions(facts, rng, n - wanted, split, _POINTING, breadth='full')
    return [*(trace(facts, t, k) for t, k in zip(tasks, kinds, strict=True)), *pointing]


def make_record(frame: ScanFrame, config: ScanConfig) -> Record | Rejected:
    """Make the record of a frame, or say why there is nothing to ask about it.

    Everything follows from the frame and the configuration.
    """
    name = f'{frame.dataset}/{frame.scan}/{frame.name}'
    rng = np.random.default_rng([31338, zlib.crc32(name.encode()), SPLITS.index(config.split)])
    views = facts_of(frame, config.unseen, config.platforms)
    samples: dict[str, Sample] = {}
    attempts = Rejections()
    share = -(-config.questions // len(views))
    for facts in views:
        for sample in questions(facts, rng, share, config.split, attempts):
            samples.setdefault(sample.prompt, raised(sample, facts.height))
    if not samples:
        return Rejected('nothing to ask about', f'{len(frame.boxes)} boxes, {len(views[0].objects)} seen')
    first = views[0]
    segmentation = first.view.segmentation
    up = make_transform(translation=(0.0, 0.0, first.height))
    entries = [
        # The annotated boxes, not those that were made to rest exactly.
        replace(e, pose=frame.boxes[i].pose, extents=frame.boxes[i].extents)
        for e, i in zip(object_entries(first.scene, segmentation), first.setting.kept, strict=True)
    ]
    return Record(
        id=f'{frame.dataset}-{config.split}-{frame.scan}-{frame.name}',
        source='scan',
        split=config.split,
        image=encode_rgb(frame.image, config.jpeg_quality or None),
        camera=frame.camera,
        samples=tuple(samples.values()),
        origin=name,
        depth=encode_depth(frame.depth),
        masks=encode_png16(masks_of(segmentation)),
        world_from_camera=up @ first.scene.world_from_camera,
        objects=tuple(entries),
        scale=round(first.scale, 5),
        extra={
            'platforms': [round(v.height, 4) for v in views if v.platform is not None],
            'dropped_boxes': list(frame.dropped),
            'trace_attempts': dict(sorted(attempts.items())),
        },
    )


def raised(sample: Sample, height: float) -> Sample:
    """Return a sample in the frame's world: the one of its facts has the platform (m) at z = 0."""
    up = np.array([0.0, 0.0, height])
    task = sample.task
    if task is not None:
        goal = task.goal
        if goal is not None:
            goal = GoalRegion(make_transform(translation=up) @ goal.pose, goal.extents)
        task = replace(task, path=task.path + up, goal=goal)
    mentions = tuple(replace(m, world=m.world + up) for m in sample.mentions)
    return replace(sample, mentions=mentions, task=task)
