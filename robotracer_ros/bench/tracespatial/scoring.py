# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Scores of answers by the official rules with all their quirks, and by the same rules mended.

Both judge the same answers, so their figures can stand side by side. Every quirk has a number in doc/evaluation.md;
the comments name it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.bench.tracespatial.cloud import fitted, object_cloud
from robotracer_ros.bench.tracespatial.collision import (
    HiddenSpace,
    Unseen,
    keypoint_ratio,
    swept_ratio,
)
from robotracer_ros.bench.tracespatial.occupancy import Occupancy, occupancy
from robotracer_ros.bench.tracespatial.parsing import (
    Family,
    OfficialError,
    official_points,
    points_of,
)
from robotracer_ros.bench.tracespatial.paths import path_errors, resample
from robotracer_ros.bench.tracespatial.samples import Answer, Answers, Dataset, Frame, Sample
from robotracer_ros.data.files import Array
from robotracer_ros.data.rates import Outcome
from robotracer_ros.errors import TraceParseError

Dimensions = Literal['2D', '3D']
#: the official code leaves samples with a larger discrete Frechet distance out of its means
_OFFICIAL_MAX_DFD = 100.0
#: of so many last points one has to arrive
LAST = 3


@dataclass(frozen=True)
class Rules:
    """What counts.

    Attributes:
        threshold_m: A trace starts and ends where it should within less than this, metres.
        collision_ratio: More than this share of the object's cloud in occupied voxels is a collision.
        unseen: Whether space behind what is seen counts as occupied; the official code takes it for free.
    """

    threshold_m: float = 0.20
    collision_ratio: float = 0.20
    unseen: Unseen = 'free'


@dataclass
class Scored:
    """Outcomes of all answers in their order, by the official rules and by the mended ones."""

    official: list[Outcome] = field(default_factory=list)
    mended: list[Outcome] = field(default_factory=list)


def score(
    answers: Answers,
    dimensions: Dimensions,
    family: Family,
    dataset: Dataset | None = None,
    rules: Rules | None = None,
) -> Scored:
    """Score a file of answers.

    Args:
        answers: What a model wrote.
        dimensions: Whether points in the picture or in space were asked for.
        family: How the model writes.
        dataset: Where the pictures are. None: only what needs none is scored, and image sizes follow from the
            principal points (:meth:`Sample.inferred_size`).
        rules: Thresholds.

    Raises:
        DatasetFileError: a picture is missing or broken, or an image size does not follow from the intrinsics.
    """
    return _Scorer(dimensions, family, dataset, rules or Rules()).run(answers)


class _Ways:
    """Pairs of ways that wait to be compared all at once."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, int], list[tuple[Outcome, Array, Array]]] = defaultdict(list)

    def add(self, outcome: Outcome, suffix: str, way: Array, truth: Array) -> None:
        """Compare two resampled ways (N, D) later; the errors go to the outcome, names with a suffix."""
        self._waiting[suffix, way.shape[1]].append((outcome, way, truth))

    def compare(self, limit: float = np.inf) -> None:
        """Fill in the errors; a pair whose discrete Frechet distance is above the limit gets none."""
        for (suffix, _), waiting in self._waiting.items():
            found = path_errors(
                np.stack([way for _, way, _ in waiting]), np.stack([t for _, _, t in waiting])
            )
            for i, (outcome, _, _) in enumerate(waiting):
                if found.dfd[i] <= limit:
                    for name in ('dfd', 'hd', 'rmse', 'mae'):
                        value = float(getattr(found, name)[i])
                        outcome.errors[f'{name.upper()}{suffix}'] = value


@dataclass
class _Seen:
    """What the pictures of a sample say, for both sets of rules.

    Attributes:
        frame: The pictures.
        cloud: (M, 3) of the object, M may be 0.
        around: Its surroundings as the official code sees them, None when it sees nothing or ends with an exception.
        mended_around: The same without the quirks.
        obstacles: (H, W) metres, the depth image without the object.
    """

    frame: Frame
    cloud: Array
    around: Occupancy | None
    mended_around: Occupancy | None
    obstacles: NDArray[np.float32]


class _Scorer:
    def __init__(
        self, dimensions: Dimensions, family: Family, dataset: Dataset | None, rules: Rules
    ) -> None:
        self._dimensions, self._family = dimensions, family
        self._dataset, self._rules = dataset, rules
        self._official_ways, self._ways = _Ways(), _Ways()
        near = f'<{rules.threshold_m:.2f} m'
        self._start, self._end = f'start {near}', f'end {near}'
        self._bound = f'start {near} of the true start'

    def run(self, answers: Answers) -> Scored:
        scored = Scored()
        for answer in answers.answers:
            frame = self._dataset.frame(answer.sample) if self._dataset else None
            with _quiet():
                if self._dimensions == '2D':
                    size = frame.size if frame else answer.sample.inferred_size(answers.path)
                    scored.official.append(self._official_2d(answer, size, frame))
                    scored.mended.append(self._mended_2d(answer, size, frame))
                    continue
                seen = self._see(answer.sample, frame) if frame else None
                # Quirk 3: in 3D the size is that of the depth image.
                size = _size(frame.depth) if frame else answer.sample.inferred_size(answers.path)
                scored.official.append(self._official_3d(answer, size, seen))
                scored.mended.append(self._mended_3d(answer, frame.size if frame else size, seen))
        self._official_ways.compare(_OFFICIAL_MAX_DFD)
        self._ways.compare()
        return scored

    def _see(self, sample: Sample, frame: Frame) -> _Seen:
        shape = (frame.depth.shape[0], frame.depth.shape[1])
        whole = fitted(frame.grey, shape)
        obstacles = np.where(whole > 0, np.float32(0), frame.depth)
        mended = occupancy(obstacles, sample.intrinsics)
        around: Occupancy | None = mended
        if frame.mask.shape != shape:
            around = None  # quirk 10: an exception
        elif ((frame.mask == 255) != (whole > 0)).any():
            official = np.where(frame.mask == 255, np.float32(0), frame.depth)
            around = occupancy(official, sample.intrinsics)
        cloud = object_cloud(frame.depth, frame.grey, sample.intrinsics)
        return _Seen(frame, cloud, around, mended, obstacles)

    # --- the official rules ---

    def _official_2d(
        self, answer: Answer, size: tuple[int, int], frame: Frame | None
    ) -> Outcome:
        out, sample = Outcome(), answer.sample
        try:
            points = self._official_points(answer)
        except OfficialError as error:
            # Quirk 1: the official program stops here; the answer counts as none.
            points, out.note = np.zeros((0, 2)), f'the official code stops: {error}'
        pixels = points[:, :2] * size if points.ndim == 2 else np.zeros((0, 2))
        if len(pixels) < 2:  # quirk 2
            pixels = np.repeat(pixels[:1], 2, axis=0) if len(pixels) else np.zeros((2, 2))
        if frame is not None:
            out.hits['start in mask'] = float(_in_mask(pixels[0], frame.mask))
        out.hits['end in box'] = float(_ends_in_rectangle(sample, pixels))
        # Ways are resampled in pixels and compared in shares of the picture.
        truth = _official_resample(sample.project(sample.trajectory))
        self._add_official_way(out, '', _official_resample(pixels) / size, truth / size)
        return out

    def _official_3d(self, answer: Answer, size: tuple[int, int], seen: _Seen | None) -> Outcome:
        out, sample = Outcome(), answer.sample
        if seen is not None:
            out.hits['overall'] = 0.0  # of all answers, those left out below included
        try:
            points = self._official_points(answer)
        except OfficialError as error:
            out.note = f'left out: {error}'
            return out
        if points.ndim != 2 or points.shape[1] < 3:
            out.note = 'left out: no depth'  # quirk 6
            return out
        if not len(points):
            # No code block: counted as a failure, where an empty list in one would be left out (quirk 6).
            out.hits |= dict.fromkeys((self._end, 'end in box, of 3D', self._bound), 0.0)
            if seen is not None:
                out.hits |= {self._start: 0.0, 'start in mask, of 3D': 0.0, 'no collision': 1.0}
            return out
        way = sample.lift(points, size)
        truth = sample.trajectory
        here, there = _official_resample(way), _official_resample(truth)
        self._add_official_way(out, '', here, there)
        self._add_official_way(
            out, ', of 3D', sample.project(here) / size, sample.project(there) / size
        )
        pixels = sample.project(way)
        out.hits['end in box, of 3D'] = float(_ends_in_rectangle(sample, pixels))
        to_truth = float(np.linalg.norm(way[0] - truth[0]))
        out.hits[self._bound] = float(to_truth < self._rules.threshold_m)
        ended = self._judge_end(out, sample, way)
        if seen is None:
            return out
        out.hits['start in mask, of 3D'] = float(_in_mask(pixels[0], seen.frame.mask))
        started = False
        if len(seen.cloud):
            # Quirk 7: near the reference's first point is as good as near the object.
            nearest = float(np.linalg.norm(seen.cloud - way[0], axis=1).min())
            distance = min(nearest, to_truth)
            out.errors['start distance (m)'] = distance
            started = distance < self._rules.threshold_m
        collided = False
        if seen.around is not None and len(seen.cloud):  # quirks 8 to 11
            ratio = keypoint_ratio(seen.around, seen.cloud, way)
            collided = ratio > self._rules.collision_ratio
        out.hits[self._start] = float(started)
        out.hits['no collision'] = float(not collided)
        out.hits['overall'] = float(started and ended and not collided)
        return out

    def _official_points(self, answer: Answer) -> Array:
        if answer.null and self._family == 'general':
            raise OfficialError('null is no text')
        return official_points(answer.text, self._family)

    def _add_official_way(self, out: Outcome, suffix: str, way: Array, truth: Array) -> None:
        # Quirk 4: a way that begins with a repeated point becomes NaN, which leaves it out (in 3D the official
        # recursion never ends on NaN).
        if np.isfinite(way).all() and np.isfinite(truth).all():
            self._official_ways.add(out, suffix, way, truth)

    # --- the same mended ---

    def _mended_2d(self, answer: Answer, size: tuple[int, int], frame: Frame | None) -> Outcome:
        out, sample = Outcome(), answer.sample
        names = ['parsed', 'end in box', 'end in box, last point']
        names += ['start in mask'] if frame is not None else []
        points = self._read(answer, out, names, 2)
        if points is None:
            return out
        pixels = points[:, :2] * size
        if frame is not None:
            mask = fitted(frame.grey, (size[1], size[0]))
            out.hits['start in mask'] = float(_in_mask(pixels[0], mask))
        out.hits['end in box'] = float(_ends_in_rectangle(sample, pixels))
        out.hits['end in box, last point'] = float(_ends_in_rectangle(sample, pixels[-1:]))
        truth = resample(sample.project(sample.trajectory))
        self._ways.add(out, '', resample(pixels) / size, truth / size)
        return out

    def _mended_3d(self, answer: Answer, size: tuple[int, int], seen: _Seen | None) -> Outcome:
        out, sample = Outcome(), answer.sample
        names = ['parsed', self._end, f'{self._end}, last point', 'end in box, of 3D']
        if seen is None:
            names.append(self._bound)
        else:
            names += [self._start, 'no collision', 'overall', 'start in mask, of 3D']
        points = self._read(answer, out, names, 3)
        if points is None:
            return out
        way, truth = sample.lift(points, size), sample.trajectory
        here, there = resample(way), resample(truth)
        self._ways.add(out, '', here, there)
        self._ways.add(
            out, ', of 3D', sample.project(here) / size, sample.project(there) / size
        )
        pixels = sample.project(way)
        out.hits['end in box, of 3D'] = float(_ends_in_rectangle(sample, pixels))
        ended = self._judge_end(out, sample, way)
        if sample.box is not None:
            last = float(sample.box.distances(way[-1:])[0])
            out.hits[f'{self._end}, last point'] = float(last < self._rules.threshold_m)
        if seen is None:
            to_truth = float(np.linalg.norm(way[0] - truth[0]))
            out.hits[self._bound] = float(to_truth < self._rules.threshold_m)
            return out
        mask = fitted(seen.frame.grey, (size[1], size[0]))
        out.hits['start in mask, of 3D'] = float(_in_mask(pixels[0], mask))
        if not len(seen.cloud):
            out.note = 'the mask shows nothing that has depth'
            return out
        distance = float(np.linalg.norm(seen.cloud - way[0], axis=1).min())
        out.errors['start distance (m)'] = distance
        started = distance < self._rules.threshold_m
        hidden = None
        if self._rules.unseen == 'occupied':
            hidden = HiddenSpace(seen.obstacles, sample.intrinsics)
        ratio = swept_ratio(seen.mended_around, seen.cloud, way, sample.box, hidden)
        free = ratio <= self._rules.collision_ratio
        out.errors['largest share that meets something'] = ratio
        out.hits[self._start], out.hits['no collision'] = float(started), float(free)
        out.hits['overall'] = float(started and ended and free)
        return out

    def _read(
        self, answer: Answer, out: Outcome, names: Sequence[str], dimensions: int
    ) -> Array | None:
        """Set all hits to 0 and return the points (N >= 2) with at least so many numbers each, or None."""
        out.hits |= dict.fromkeys(names, 0.0)
        try:
            points = points_of(answer.text, self._family)
        except TraceParseError as error:
            out.note = str(error)
            return None
        if len(points) < 2 or points.shape[1] < dimensions:
            out.note = f'{len(points)} points of {points.shape[1]} numbers: no {dimensions}D trace'
            return None
        out.hits['parsed'] = 1.0
        return points

    def _judge_end(self, out: Outcome, sample: Sample, way: Array) -> bool:
        """Score the last points (quirk 5: of three or more points one of the last three, else the last one)."""
        if sample.box is None:
            out.hits[self._end] = 0.0
            return False
        last = sample.box.distances(way[-LAST:] if len(way) >= LAST else way[-1:])[::-1]
        # As Python's min: what comes after something that is not a number is not smaller.
        distance = float(min(last.tolist()))
        if np.isfinite(distance):
            out.errors['end distance (m)'] = distance
        out.hits[self._end] = float(distance < self._rules.threshold_m)
        return bool(out.hits[self._end])


@contextmanager
def _quiet() -> Iterator[None]:
    """Compute with what is not a number without a warning: answers may hold absurd values."""
    with np.errstate(all='ignore'):
        yield


def _size(picture: NDArray[np.floating]) -> tuple[int, int]:
    return picture.shape[1], picture.shape[0]


def _official_resample(points: Array) -> Array:
    """Return 100 points as the official code does: NaN at the start when the first two points are the same."""
    out = np.full((100, points.shape[1]), np.nan)
    if not np.isfinite(points).all():
        return out
    out = resample(points)
    single = points.astype(np.float32)
    if len(points) > 1 and (single[0] == single[1]).all() and (single != single[0]).any():
        out[0] = np.nan
    return out


def _in_mask(pixel: Array, mask: NDArray[np.uint8]) -> bool:
    if not np.isfinite(pixel).all():
        return False
    column, row = round(float(pixel[0])), round(float(pixel[1]))
    height, width = mask.shape
    return 0 <= row < height and 0 <= column < width and bool(mask[row, column] > 0)


def _ends_in_rectangle(sample: Sample, pixels: Array) -> bool:
    """Tell whether one of the last points lies in the upright rectangle around the box's corners in the picture."""
    if sample.box is None:
        return False
    corners = sample.project(sample.box.corners())
    low, high = corners.min(axis=0), corners.max(axis=0)
    last = pixels[-LAST:] if len(pixels) >= LAST else pixels[-1:]
    return bool(((last >= low) & (last <= high)).all(axis=1).any())
