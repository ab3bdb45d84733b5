# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""TraceSpatial-Sim: 300 simulated samples in the layout of TraceSpatial-Bench, frozen.

Questions, truth and checksums are in a file of the package; pictures are rendered from the scene seeds by
:func:`build`. The questions were made once, by :func:`freeze`: later wordings of the data engine do not change them.
All seeds are reserved (training never uses them, :mod:`robotracer_ros.data.split`), and every instruction holds a
phrasing that training never shows.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from robotracer_ros.bench.tracespatial.samples import DATASET, DESTINATION, PICTURES
from robotracer_ros.data.facts import SceneFacts
from robotracer_ros.data.files import DatasetFileError
from robotracer_ros.data.generate import rendering_of, scene_batch
from robotracer_ros.data.split import SPLITS
from robotracer_ros.data.task import Task
from robotracer_ros.data.tasks import PRIMITIVE_WEIGHTS, sample_tasks
from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.geometry.trace import Referring
from robotracer_ros.geometry.transforms import apply, invert
from robotracer_ros.sim.spec import Scene

#: of the frozen samples; other samples get another version
VERSION = 1
INDEX = Path(__file__).parent / f'sim_v{VERSION}.json.gz'
#: samples, and the reserved seeds among which they were looked for (training watches itself on the first ones)
SAMPLES = 300
SEEDS = range(400, 1000)
#: a task with a goal: hovering has none, and pushing is the hand's way
_PRIMITIVES = {k: v for k, v in PRIMITIVE_WEIGHTS.items() if k != 'hover'}
#: questions are not those that training, its evaluation or other benches draw
_STREAM = 60601
_FIELDS = (
    'id', 'image_path', 'gt_depth_path', 'mask_path', 'gt_depth_intrinsics', 'prompt', 'target_object', DESTINATION,
    'trajectory', 'bbox_center', 'bbox_extent', 'bbox_rotation', 'step', 'category', 'data_source',
)  # fmt: skip
#: another processor may round the last bit of a ray otherwise: pixels of depth or mask, of 1000
_OTHER_PIXELS = 2


@dataclass(frozen=True)
class Pictures:
    """Pictures of one sample.

    Attributes:
        image: (H, W, 3) uint8.
        depth: (H, W) uint16 millimetres, 0 invalid.
        mask: (H, W) uint8, 255 on the object.
    """

    image: NDArray[np.uint8]
    depth: NDArray[np.uint16]
    mask: NDArray[np.uint8]

    def checksum(self) -> str:
        """Return the SHA-256 of all pixels, independent of how they are packed."""
        digest = hashlib.sha256()
        for picture, kind in ((self.image, 'u1'), (self.depth, '<u2'), (self.mask, 'u1')):
            digest.update(np.ascontiguousarray(picture, dtype=kind).tobytes())
        return digest.hexdigest()

    def summary(self) -> list[float]:
        """Return what stays the same when single pixels change: means of colour, of depth in quarters, size of mask."""
        h, w = self.depth.shape
        quarters = self.depth.astype(float).reshape(2, h // 2, 2, w // 2).mean(axis=(1, 3))
        means = [*self.image.mean(axis=(0, 1)), *quarters.ravel(), float((self.mask > 0).sum())]
        return [round(float(m), 2) for m in means]


def index(path: Path = INDEX) -> list[dict[str, Any]]:
    """Return the frozen samples: the fields of the data set, and ``seed``, ``moved``, ``sha256``, ``summary``.

    Raises:
        DatasetFileError: the file is missing or broken.
    """
    try:
        data = json.loads(gzip.decompress(path.read_bytes()))
    except (OSError, EOFError, ValueError) as error:
        raise DatasetFileError(path, '', f'cannot be read: {error}') from error
    if data.get('version') != VERSION:
        raise DatasetFileError(path, 'version', f'is {data.get("version")}: must be {VERSION}')
    return list(data['samples'])


def render(seed: int, moved: str) -> Pictures:
    """Render the scene of a seed; the mask shows the object with the id ``moved``.

    Raises:
        InvalidParameterError: the scene has no such object: the scene generator is another one.
    """
    batch = scene_batch(seed)
    ids = [o.id for o in batch['scene'].objects]
    if moved not in ids:
        raise InvalidParameterError(
            f"scene {seed} has no object '{moved}': the scene generator is not the one that "
            f'TraceSpatial-Sim v{VERSION} was frozen with'
        )
    mask = np.where(batch['segmentation'] == ids.index(moved), 255, 0).astype(np.uint8)
    return Pictures(batch['rgb'], batch['depth'], mask)


def build(out: Path, samples: Sequence[Mapping[str, Any]] | None = None) -> Iterator[tuple[int, bool]]:
    """Write the data set, pictures from their seeds, and check every one.

    Args:
        out: Folder, made when it is missing.
        samples: As :func:`index` returns them, all when None.

    Yields:
        Number of each sample when it is written, and whether all its pixels are the frozen ones; False when single
        pixels differ, as other processors may round them.

    Raises:
        InvalidParameterError: a picture shows something else than the frozen one.
    """
    chosen = index() if samples is None else samples
    out.mkdir(parents=True, exist_ok=True)
    for sample in chosen:
        pictures = render(sample['seed'], sample['moved'])
        same = check(sample, pictures)
        place = out / PICTURES / str(sample['id'])
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pictures.image).save(place / 'image.png')
        Image.fromarray(pictures.depth).save(place / 'gt_depth.png')
        Image.fromarray(pictures.mask).save(place / 'mask.png')
        yield sample['id'], same
    entries = [{k: sample[k] for k in _FIELDS} for sample in chosen]
    (out / DATASET).write_text(json.dumps(entries, indent=1) + '\n', encoding='utf-8')


def check(sample: Mapping[str, Any], pictures: Pictures) -> bool:
    """Tell whether pictures are the frozen ones to the last pixel.

    Raises:
        InvalidParameterError: they show something else.
    """
    if pictures.checksum() == sample['sha256']:
        return True
    frozen, found = np.array(sample['summary']), np.array(pictures.summary())
    pixels = pictures.depth.size * _OTHER_PIXELS / 1000
    limits = np.array([1.0] * 3 + [20.0] * 4 + [pixels])
    if (np.abs(frozen - found) > limits).any():
        raise InvalidParameterError(
            f'sample {sample["id"]} (scene {sample["seed"]}) shows something else than when it was frozen: means and '
            f'size of the object are {found.tolist()}, were {frozen.tolist()}'
        )
    return False


def freeze(path: Path, count: int = SAMPLES, seeds: Sequence[int] = SEEDS) -> int:
    """Make the frozen samples anew, for a new version; return how many there are."""
    samples: list[dict[str, Any]] = []
    for seed in seeds:
        if len(samples) == count:
            break
        batch = scene_batch(seed)
        facts = SceneFacts(batch['scene'], rendering_of(batch))
        rng = np.random.default_rng([_STREAM, seed, SPLITS.index('wording')])
        for task in sample_tasks(facts, rng, 1, _PRIMITIVES, split='wording', breadth='full'):
            samples.append(_frozen(len(samples), batch['scene'], task))
    data = {'version': VERSION, 'samples': samples}
    packed = gzip.compress(json.dumps(data, separators=(',', ':')).encode(), 9, mtime=0)
    path.write_bytes(packed)
    return len(samples)


def _frozen(number: int, scene: Scene, task: Task) -> dict[str, Any]:
    assert task.goal is not None
    camera_from_world = invert(scene.world_from_camera)
    goal = camera_from_world @ task.goal.pose
    pictures = render(scene.seed, task.moved)
    # As the instruction calls them; the reasoning repeats its words.
    names = {
        i: step.target
        for i, step in zip(task.step_objects, task.reasoning, strict=True)
        if i is not None and isinstance(step, Referring)
    }
    where = ' and '.join(names[r] for r in task.references)
    if task.distance is not None and not where:
        where = f'where it stands, by {100 * task.distance:.1f} cm'
    return {
        'id': number,
        'image_path': f'{number}/image.png',
        'gt_depth_path': f'{number}/gt_depth.png',
        'mask_path': f'{number}/mask.png',
        'gt_depth_intrinsics': _rounded(scene.camera.matrix),
        'prompt': task.instruction,
        'target_object': names[task.moved],
        DESTINATION: f'{task.relation} {where}'.strip(),
        'trajectory': _rounded(apply(camera_from_world, task.path)),
        'bbox_center': _rounded(goal[:3, 3]),
        'bbox_extent': _rounded(task.goal.extents),
        'bbox_rotation': _rounded(goal[:3, :3], 9),
        'step': len(task.reasoning),
        'category': task.primitive,
        'data_source': 'sim',
        'seed': scene.seed,
        'moved': task.moved,
        'sha256': pictures.checksum(),
        'summary': pictures.summary(),
    }


def _rounded(values: NDArray[np.floating], digits: int = 6) -> list[Any]:
    return list(np.round(np.asarray(values, dtype=float), digits).tolist())
