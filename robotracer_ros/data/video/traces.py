# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Clips of episodes as records: the way of the hand and of the object, seen from the first picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.data.mentions import Meaning, mentions_of
from robotracer_ros.data.paths import simplify
from robotracer_ros.data.record import Record, Sample, encode_depth, encode_rgb, metric_scale
from robotracer_ros.data.rejection import Rejected
from robotracer_ros.data.task import Task
from robotracer_ros.data.trace_question import rounded, trace_question
from robotracer_ros.data.video.checks import Alignment, alignment, depth_at_uv, invalid_share
from robotracer_ros.data.video.clips import Clip, clips
from robotracer_ros.data.video.config import VideoConfig
from robotracer_ros.data.video.episode import ArmMotion, Episode
from robotracer_ros.errors import ResolutionMismatchError
from robotracer_ros.geometry.camera import UV_RANGE
from robotracer_ros.geometry.trace import MAX_DEPTH_M, ReasoningStep, Referring, Scale, TraceKind
from robotracer_ros.geometry.transforms import apply
from robotracer_ros.tracer.text import write_answer

Array = NDArray[np.float64]

#: what the reasoning calls the two places that a gripper tells of; more is not known of a recording
TAKEN, PUT = 'the place where it is taken', 'the place where it is put'
PRIMITIVE = 'demonstration'


@dataclass(frozen=True)
class Way:
    """A simplified way.

    Attributes:
        path: (N, 3) in the base frame, metres.
        trace: (N, 3) the same as (u, v, d), u and v rounded to integers, d to millimetres.
        tolerance: How far (m) the recorded way is from this one at most.
    """

    path: Array
    trace: Array
    tolerance: float


def records(episode: Episode, config: VideoConfig) -> Iterator[Record | Rejected]:
    """Make the records of an episode, and say of every other part of it why it makes none."""
    aligned: dict[str, Alignment] = {}
    for clip in clips(episode, config):
        if isinstance(clip, Rejected):
            yield clip
            continue
        if clip.arm.name not in aligned:
            aligned[clip.arm.name] = alignment(
                episode, clip.arm.grip_points, 0, len(episode), config.alignment
            )
        yield _checked(aligned[clip.arm.name], config) or _record(episode, clip, config, aligned)


def way(
    episode: Episode, arm: ArmMotion, frames: tuple[int, int], base: int, config: VideoConfig
) -> Way | Rejected:
    """Project the way of a grip point over some frames into the camera as it was at frame ``base``."""
    points = arm.grip_points[frames[0] : frames[1]]
    length = float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
    if length < config.min_length:
        return Rejected('short', f'{length:.3f} m: at least {config.min_length} m')
    tolerance = config.simplify_m
    path = simplify(points, tolerance)
    while len(path) > config.max_keypoints and tolerance < config.max_simplify_m:
        tolerance = min(1.2 * tolerance, config.max_simplify_m)
        path = simplify(points, tolerance)
    if len(path) > config.max_keypoints:
        return Rejected('many keypoints', f'{len(path)}: at most {config.max_keypoints}')
    uvd = episode.in_view(path, base)
    outside = ~((uvd[:, :2] >= 0) & (uvd[:, :2] <= UV_RANGE)).all(axis=1)
    outside |= ~((uvd[:, 2] > 0) & (uvd[:, 2] <= MAX_DEPTH_M))
    if outside.any():
        k = int(np.argmax(outside))
        u, v, d = uvd[k]
        return Rejected('out of view', f'keypoint {k} of {len(path)} is at ({u:.0f}, {v:.0f}, {d:.3f})')
    bent = _distortion(episode, uvd)
    if bent > config.max_distortion_px:
        return Rejected('distorted', f'{bent:.1f} px: at most {config.max_distortion_px} px')
    return Way(path, rounded(uvd), tolerance)


def _checked(result: Alignment, config: VideoConfig) -> Rejected | None:
    """Judge an alignment."""
    limits = config.alignment
    if result.tested < limits.min_tested:
        if config.require_alignment:
            return Rejected('alignment unknown', f'{result.tested} frames could be tested')
        return None
    if result.share <= limits.min_share:
        return Rejected(
            'not aligned',
            f'{result.aligned} of {result.tested} frames: more than {limits.min_share:.2f} must agree',
        )
    return None


def _record(
    episode: Episode, clip: Clip, config: VideoConfig, aligned: dict[str, Alignment]
) -> Record | Rejected:
    depth = episode.depth.read(clip.base) if episode.depth is not None else None
    closes = episode.in_view(clip.arm.grip_points[clip.closing.start], clip.base)
    if depth is not None and config.max_invalid_share < 1:
        share = invalid_share(depth, closes[0], closes[1], config.occlusion_radius_px)
        if share > config.max_invalid_share:
            return Rejected(
                'occluded', f'{share:.2f} of the pixels around the grip have no depth'
            )
    rgb = episode.frame(clip.base)
    camera = episode.camera
    if rgb.shape[:2] != (camera.height, camera.width):
        raise ResolutionMismatchError(
            f"frame {clip.base} of '{episode.path}' is {rgb.shape[1]}x{rgb.shape[0]}, its camera "
            f'{camera.width}x{camera.height}'
        )
    scale = None if depth is None else metric_scale(depth, camera)
    samples: list[Sample] = []
    hand = way(episode, clip.arm, clip.hand, clip.base, config)
    if isinstance(hand, Way):
        samples += _questions(episode, clip, hand, TraceKind.END_EFFECTOR_CENTRIC, scale)
    carried = None
    if clip.object is not None:
        carried = way(episode, clip.arm, clip.object, clip.base, config)
        if isinstance(carried, Way):
            carried = _on_surface(episode, clip, carried, depth, config)
            samples += _questions(episode, clip, carried, TraceKind.OBJECT_CENTRIC, scale)
    if not samples:
        return hand if isinstance(hand, Rejected) else Rejected('short')
    test = aligned[clip.arm.name]
    return Record(
        id=f'{episode.layout}-{episode.id}-{clip.base}',
        source='video',
        split='train',
        image=encode_rgb(rgb, config.jpeg_quality or None),
        camera=camera,
        samples=tuple(samples),
        origin=f'{episode.path} frame {clip.base}',
        depth=None if depth is None else encode_depth(depth),
        world_from_camera=episode.base_from_camera[clip.base],
        scale=None if scale is None else round(scale, 5),
        extra={
            **episode.extra,
            'episode': episode.id,
            'layout': episode.layout,
            'frame': clip.base,
            'closing': [clip.closing.start, clip.closing.end],
            'hand_frames': list(clip.hand),
            'object_frames': None if clip.object is None else list(clip.object),
            'skill': clip.skill,
            'arm': clip.arm.name,
            'alignment': [test.aligned, test.tested],
            'simplified_m': {
                name: round(found.tolerance, 4)
                for name, found in (('hand', hand), ('object', carried))
                if isinstance(found, Way)
            },
        },
    )


def _on_surface(
    episode: Episode, clip: Clip, carried: Way, depth: NDArray[np.float32] | None, config: VideoConfig
) -> Way:
    """Move the first point of an object's way to the surface that the sensor sees there, when that is the object.

    A grip point lies inside the object; a trace begins on what can be seen, and a planner reads the sensor there.
    """
    if depth is None:
        return carried
    u, v, d = carried.trace[0]
    seen = depth_at_uv(depth, u, v)
    if not 0 < seen <= MAX_DEPTH_M or abs(seen - d) > config.contact_tolerance:
        return carried
    trace, path = carried.trace.copy(), carried.path.copy()
    trace[0, 2] = round(seen, 3)
    path[0] = apply(episode.base_from_camera[clip.base], episode.camera.lift(trace[0]))
    return Way(path, trace, carried.tolerance)


def _questions(
    episode: Episode, clip: Clip, found: Way, kind: TraceKind, scale: float | None
) -> Iterator[Sample]:
    """Ask for a way in 3D with and without steps, in 2D, and lifted; wordings take turns."""
    steps = _steps(episode, clip, found, kind, scale)
    turn = 0 if kind == TraceKind.END_EFFECTOR_CENTRIC else 1
    for i, task_type in enumerate(('trace_3d_think', 'trace_3d', 'trace_2d', 'lift')):
        words = clip.instructions[(i + turn) % len(clip.instructions)].strip()
        think = task_type == 'trace_3d_think'
        if think and not steps:
            continue
        prompt, points = trace_question(words, found.trace, task_type, kind)
        answer = write_answer(points, steps if think else ())
        task = Task(
            instruction=words,
            primitive=PRIMITIVE,
            relation='',
            moved='',
            references=(),
            kind=kind,
            goal=None,
            hover_targets=(),
            path=found.path,
            trace=found.trace,
            reasoning=steps,
            key_steps=tuple(range(len(steps))),
            split='train',
            step_objects=(None,) * len(steps),
        )
        meant = [*_meanings_of_steps(episode, clip, steps if think else ()), *_meanings(found)]
        yield Sample(prompt, answer, task_type, mentions_of(answer, meant), (), task)


def _steps(
    episode: Episode, clip: Clip, found: Way, kind: TraceKind, scale: float | None
) -> tuple[ReasoningStep, ...]:
    """Return what is known of how the trace came about: the scale and where the gripper closed and opened."""
    steps: list[ReasoningStep] = [] if scale is None else [Scale(round(scale, 3))]
    closing, points = clip.closing, clip.arm.grip_points
    places: list[tuple[str, Array]] = []
    if kind == TraceKind.OBJECT_CENTRIC:
        places.append((TAKEN, found.trace[0]))
    else:
        places.append((TAKEN, rounded(episode.in_view(points[closing.start], clip.base))))
    if clip.hand[1] > closing.start + 1 and closing.seen_opening:
        places.append((PUT, found.trace[-1]))
    for name, (u, v, d) in places:
        if 0 <= u <= UV_RANGE and 0 <= v <= UV_RANGE and 0 < d <= MAX_DEPTH_M:
            steps.append(Referring(name, (float(u), float(v), float(d))))
    return tuple(steps)


def _meanings_of_steps(
    episode: Episode, clip: Clip, steps: Sequence[ReasoningStep]
) -> Iterator[Meaning]:
    for step in steps:
        if isinstance(step, Referring):
            world = apply(episode.base_from_camera[clip.base], episode.camera.lift(step.point))
            yield None, world, step.point


def _meanings(found: Way) -> Iterator[Meaning]:
    for world, (u, v, d) in zip(found.path, found.trace, strict=True):
        yield None, world, (float(u), float(v), float(d))


def _distortion(episode: Episode, uvd: Array) -> float:
    """Return how far (px) the lens moves points at most; 0 where the source tells no distortion."""
    lens = episode.extra.get('distortion')
    if not lens:
        return 0.0
    k1, k2, p1, p2, k3 = lens
    c = episode.camera
    x, y = ((c.uv_to_pixels(uvd[:, :2]) - (c.cx, c.cy)) / (c.fx, c.fy)).T
    r2 = x**2 + y**2
    radial = k1 * r2 + k2 * r2**2 + k3 * r2**3
    dx = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x**2)
    dy = y * radial + p1 * (r2 + 2 * y**2) + 2 * p2 * x * y
    return float(np.hypot(dx * c.fx, dy * c.fy).max())
