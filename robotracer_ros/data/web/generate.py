# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The web pipeline: a folder of pictures to records, and a list of why others made none.

The models come as a function from outside, so that this room needs no learning library.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from robotracer_ros.data.dataset import ShardJob, build
from robotracer_ros.data.image_files import BROKEN
from robotracer_ros.data.options import at_least_one, read_options, with_options
from robotracer_ros.data.record import (
    MASK_NOTHING,
    MASK_TABLE,
    ObjectEntry,
    Record,
    encode_depth,
    encode_png16,
    encode_rgb,
    metric_scale,
)
from robotracer_ros.data.rejection import (
    Rejected,
    rejections_path,
    report_rejections,
    write_rejections,
)
from robotracer_ros.data.web.config import ModelNames, WebConfig
from robotracer_ros.data.web.instances import Instance, instances_of
from robotracer_ros.data.web.perception import DepthEstimate, Perception, Rgb
from robotracer_ros.data.web.plane import Plane, find_plane
from robotracer_ros.data.web.questions import Picture, questions
from robotracer_ros.errors import InvalidParameterError, ResolutionMismatchError
from robotracer_ros.geometry.camera import CameraModel

#: of rules and texts together
VERSION = 1
_SUFFIXES = ('.jpg', '.jpeg', '.png', '.webp')
#: pixels around a thing in the cut-out that is described
_MARGIN = 8
#: what a cut-out shows around the thing
_GREY = 200
Loader = Callable[[ModelNames], Perception]


def make_record(
    rgb: Rgb, perception: Perception, config: WebConfig, key: str
) -> tuple[Record | None, list[Rejected]]:
    """Look at a picture and make its record.

    Args:
        rgb: (H, W, 3).
        perception: The models.
        config: Limits.
        key: Name of the picture; with ``config.seed`` it fixes all choices.

    Returns:
        The record or None, and what was left out of it and why.

    Raises:
        ResolutionMismatchError: masks or depth are not on the pixel grid of the picture.
    """
    rng = np.random.default_rng([config.seed, zlib.crc32(key.encode())])
    detections = perception.detect(rgb)
    if len(detections) < config.min_instances:
        return None, [Rejected('few things', f'{len(detections)} detected')]
    estimate = perception.depth(rgb)
    masks = perception.segment(rgb, [d.box for d in detections])
    _same_grid(rgb, masks, len(detections), estimate)
    height, width = rgb.shape[:2]
    focal = estimate.focal_px or width / 2 / np.tan(np.radians(config.fov_degrees) / 2)
    camera = CameraModel(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)
    depth = np.where(np.isfinite(estimate.depth), estimate.depth, 0).astype(np.float32)
    found, missed = instances_of(detections, masks, depth, camera, config)
    rejected = [r for _, r in missed]
    # A second cup that could not be made out is still a second cup.
    uncertain = frozenset(d.label for d, r in missed if r.reason != 'double')
    if len(found) < config.min_instances:
        return None, [*rejected, Rejected('few things', f'{len(found)} believed')]
    found = [replace(i, caption=perception.caption(cut_out(rgb, i))) for i in found]
    cloud = camera.depth_to_points(depth)
    plane = find_plane(cloud, np.any([i.mask for i in found], axis=0), config, rng)
    if isinstance(plane, Rejected):
        rejected.append(plane)
    picture = Picture(camera, found, plane if isinstance(plane, Plane) else None, uncertain)
    samples = questions(picture, config, rng)
    if not samples:
        return None, [*rejected, Rejected('no question', 'no thing could be named for certain')]
    scale = metric_scale(depth, camera)
    record = Record(
        id=f'web-{zlib.crc32(key.encode()):08x}',
        source='web',
        split='train',
        image=encode_rgb(rgb, config.jpeg_quality or None),
        camera=camera,
        samples=tuple(samples),
        origin=key,
        depth=encode_depth(depth),
        masks=encode_png16(_mask_image(picture, depth.shape)),
        objects=tuple(_entry(i, camera) for i in found),
        scale=None if scale is None else round(scale, 5),
        extra={
            'models': asdict(config.models),
            'depth': 'estimated',
            'focal': 'estimated' if estimate.focal_px else f'assumed {config.fov_degrees:g} degrees',
            'captions': {i.id: i.caption for i in found},
            'scores': {i.id: round(i.score, 3) for i in found},
        },
    )
    return record, rejected


def cut_out(rgb: Rgb, thing: Instance) -> Rgb:
    """Return a thing on grey, with a margin."""
    x0, y0, x1, y1 = thing.box
    window = (
        slice(max(0, y0 - _MARGIN), y1 + _MARGIN),
        slice(max(0, x0 - _MARGIN), x1 + _MARGIN),
    )
    return np.where(thing.mask[window][..., None], rgb[window], np.uint8(_GREY))


def make_records(
    folder: Path, names: Sequence[str], load: Loader, config: WebConfig, rejections: Path
) -> Iterator[Record]:
    """Make the records of some pictures; at the end write what was left out and why."""
    perception = load(config.models)
    left_out: list[tuple[str, Rejected]] = []
    for name in names:
        rgb = read_picture(folder / name, config.max_side)
        if isinstance(rgb, Rejected):
            left_out.append((name, rgb))
            continue
        record, rejected = make_record(rgb, perception, config, name)
        left_out += [(name, r) for r in rejected]
        if record is not None:
            yield record
    write_rejections(rejections, left_out)


def read_picture(path: Path, max_side: int) -> Rgb | Rejected:
    """Read a picture as (H, W, 3), made smaller where it is larger than ``max_side``."""
    try:
        with Image.open(path) as image:
            # Cameras note which side is up beside the pixels.
            picture = ImageOps.exif_transpose(image).convert('RGB')
    except BROKEN as error:
        return Rejected('broken file', f"'{path.name}' cannot be read: {error}")
    largest = max(picture.size)
    if largest > max_side:
        w, h = (max(1, round(x * max_side / largest)) for x in picture.size)
        picture = picture.resize((w, h), Image.Resampling.LANCZOS)
    return np.asarray(picture)


def main(
    folder: str | Path,
    out: str | Path,
    load: Loader,
    options_file: Path | None = None,
    workers: int = 1,
    ray: bool = False,
    limit: int | None = None,
) -> dict[str, Any]:
    """Write a data set from a folder of pictures, going on where it was interrupted.

    Args:
        folder: Pictures, also in folders below.
        out: Folder of the data set; ``rejections/`` in it lists what was left out and why.
        load: Loads the models; a function of a module, because workers import it.
        options_file: YAML: fields of ``WebConfig``, and under ``models`` those of ``ModelNames``.
        workers: Processes, each with models of its own.
        ray: Make shards with Ray Data.
        limit: Only the first so many pictures.

    Returns:
        What :func:`build` returns, and ``rejected``: how many things and pictures by reason.

    Raises:
        InvalidParameterError: an option is unknown, or the folder holds no picture.
    """
    config = with_options(WebConfig(), read_options(options_file))
    at_least_one(
        limit=limit,
        shard_pictures=config.shard_pictures,
        questions=config.questions,
        max_side=config.max_side,
    )
    folder, out = Path(folder), Path(out)
    if not folder.is_dir():
        raise InvalidParameterError(f"'{folder}' is no folder")
    names = sorted(
        str(p.relative_to(folder)) for p in folder.rglob('*') if p.suffix.lower() in _SUFFIXES
    )[:limit]
    if not names:
        raise InvalidParameterError(f"'{folder}' holds no picture: {', '.join(_SUFFIXES)}")
    jobs = []
    for index, start in enumerate(range(0, len(names), config.shard_pictures)):
        some = names[start : start + config.shard_pictures]
        rejections = rejections_path(out, 'web', index)
        args = (folder, some, load, config, rejections)
        jobs.append(ShardJob(index, make_records, args, {'pictures': some}))
    made = {'version': VERSION, 'folder': folder.name, 'config': asdict(config)}
    command = 'robotracer generate web FOLDER OUT'
    command += ' --config CONFIG' if options_file else ''
    command += f' --limit {limit}' if limit else ''
    result = build(out, 'web', 'train', made, jobs, workers, ray, command)
    return {**result, 'rejected': report_rejections(out, 'web', len(jobs))}


def _same_grid(rgb: Rgb, masks: NDArray[np.bool_], count: int, estimate: DepthEstimate) -> None:
    h, w = rgb.shape[:2]
    if masks.shape != (count, h, w):
        raise ResolutionMismatchError(
            f'the segmenter gave masks {masks.shape}: {count} boxes in a picture of {w}x{h} need '
            f'({count}, {h}, {w})'
        )
    if estimate.depth.shape != (h, w):
        raise ResolutionMismatchError(
            f'the depth model gave {estimate.depth.shape}: the picture is {w}x{h}'
        )


def _mask_image(picture: Picture, shape: tuple[int, ...]) -> NDArray[np.uint16]:
    image = np.full(shape, MASK_NOTHING, dtype=np.uint16)
    if picture.plane is not None:
        image[picture.plane.mask] = MASK_TABLE
    for k in reversed(range(len(picture.instances))):  # where two overlap, the better one is seen
        image[picture.instances[k].mask] = k + 1
    return image


def _entry(thing: Instance, camera: CameraModel) -> ObjectEntry:
    x0, y0, x1, y1 = thing.box
    u0, v0 = camera.pixels_to_uv((x0, y0))
    u1, v1 = camera.pixels_to_uv((x1, y1))
    return ObjectEntry(
        thing.id,
        thing.caption or thing.label,
        thing.label,
        box=(float(u0), float(v0), float(u1), float(v1)),
    )
