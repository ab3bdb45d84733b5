# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Which part of an episode becomes a trace: one closing of one gripper. Rules of the reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.data.rejection import Rejected
from robotracer_ros.data.video.config import VideoConfig
from robotracer_ros.data.video.episode import ArmMotion, Episode, SubTask
from robotracer_ros.data.video.gripper import Closing, closings


@dataclass(frozen=True)
class Clip:
    """A part of an episode that can be told as a trace.

    Attributes:
        base: Frame of the picture.
        instructions: Wordings of what is done.
        arm: The arm that does it.
        hand: First frame and frame after the last of the end-effector's way.
        object: The same of the object's way, or None where only the hand's is known.
        closing: When the gripper is closed, within the part.
        skill: Label of the source, e.g. ``Pick``.
    """

    base: int
    instructions: tuple[str, ...]
    arm: ArmMotion
    hand: tuple[int, int]
    object: tuple[int, int] | None
    closing: Closing
    skill: str = ''


def clips(episode: Episode, config: VideoConfig) -> Iterator[Clip | Rejected]:
    """Find the parts of an episode that can be told, and why others cannot."""
    found = [(arm, closings(arm.opening, episode.fps, config.gripper)) for arm in episode.arms]
    if not episode.subtasks:
        whole = SubTask(0, len(episode), '')
        yield _recording(episode, config, whole, found)
        return
    for part in merge_pick_and_place(episode.subtasks):
        yield _subtask(config, part, found)


def merge_pick_and_place(subtasks: tuple[SubTask, ...]) -> list[SubTask]:
    """Join each ``Pick`` with the ``Place`` right after it: the object is not put down between them."""
    merged: list[SubTask] = []
    for part in subtasks:
        last = merged[-1] if merged else None
        if (
            last is not None
            and last.skill.lower() == 'pick'
            and part.skill.lower() == 'place'
            and part.start - last.end <= 1
        ):
            text = f'{last.text.rstrip(" .")}, then {part.text[:1].lower()}{part.text[1:]}'
            merged[-1] = SubTask(last.start, part.end, text, 'PickAndPlace')
        else:
            merged.append(part)
    return merged


def moved_by(points: NDArray[np.float64]) -> float:
    """Return the diagonal (m) of the box around points (N, 3)."""
    return float(np.linalg.norm(np.ptp(points, axis=0))) if len(points) else 0.0


def _recording(
    episode: Episode,
    config: VideoConfig,
    whole: SubTask,
    found: list[tuple[ArmMotion, list[Closing]]],
) -> Clip | Rejected:
    """Tell an episode without labelled parts: picture some seconds before the only closing."""
    if not episode.instructions:
        return Rejected('no instruction')
    active = _active(config, whole, found)
    if isinstance(active, Rejected):
        return active
    arm, closing = active
    if not closing.seen_opening:
        return Rejected('never opened', f'closed from frame {closing.start} to the end')
    base = max(0, closing.start - round(config.lead_s * episode.fps))
    return Clip(
        base,
        episode.instructions,
        arm,
        (base, closing.end),
        (closing.start, closing.end),
        closing,
    )


def _subtask(
    config: VideoConfig, part: SubTask, found: list[tuple[ArmMotion, list[Closing]]]
) -> Clip | Rejected:
    """Tell a labelled part: picture at its first frame."""
    if not part.text.strip():
        return Rejected('no instruction', f'sub-task at frame {part.start}')
    active = _active(config, part, found)
    if isinstance(active, Rejected):
        return active
    arm, closing = active
    if part.skill.lower() == 'pick':
        hand, carried = (part.start, closing.start + 1), None
    elif part.skill == 'PickAndPlace':
        if not closing.seen_opening:
            return Rejected('never opened', f'closed from frame {closing.start} to the end')
        hand, carried = (part.start, closing.end), (closing.start, closing.end)
    else:
        hand, carried = (part.start, closing.end), None
    return Clip(part.start, (part.text,), arm, hand, carried, closing, part.skill)


def _active(
    config: VideoConfig, part: SubTask, found: list[tuple[ArmMotion, list[Closing]]]
) -> tuple[ArmMotion, Closing] | Rejected:
    """Choose the only arm that grips and moves within a part, and its only closing there."""
    gripping: list[tuple[ArmMotion, list[Closing]]] = []
    for arm, times in found:
        here = [
            Closing(max(c.start, part.start), min(c.end, part.end), c.start > part.start, c.end < part.end)
            for c in times
            if c.start < part.end and c.end > part.start
        ]
        if here:
            gripping.append((arm, here))
    if not gripping:
        return Rejected('no closing', f'frames {part.start}..{part.end}')
    moving = [
        (arm, here)
        for arm, here in gripping
        if moved_by(arm.grip_points[part.start : part.end]) >= config.min_motion
    ]
    if not moving:
        return Rejected('no motion', f'less than {config.min_motion} m')
    if len(moving) > 1:
        return Rejected('both arms', 'both grippers close and both arms move')
    arm, here = moving[0]
    if len(here) > 1:
        return Rejected('several closings', f'{len(here)} in frames {part.start}..{part.end}')
    if not here[0].seen_closing:
        return Rejected('closed from the start', 'what was taken, and where, was not seen')
    return arm, here[0]
