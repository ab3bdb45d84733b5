# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The web pipeline with models that tell the truth, or nearly, of a simulated picture; judged against the scene."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from seen_scene import Seen, TrueModels, seen

from robotracer_ros.data.record import Record, Sample, decode_png16
from robotracer_ros.data.rejection import Rejected
from robotracer_ros.data.shards import read_records, shards_of
from robotracer_ros.data.sweep import Sweep
from robotracer_ros.data.web.config import ModelNames, WebConfig
from robotracer_ros.data.web.generate import main, make_record, read_picture
from robotracer_ros.data.web.instances import Instance, box_iou, instances_of, largest_piece
from robotracer_ros.data.web.names import name, noun_of
from robotracer_ros.data.web.perception import DepthEstimate, Detection, Perception, Rgb
from robotracer_ros.data.web.plane import Plane, find_plane
from robotracer_ros.errors import InvalidParameterError, ResolutionMismatchError
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.transforms import apply
from robotracer_ros.sim.spec import SceneObject
from robotracer_ros.tracer.text import parse_answer

SEEDS = range(1000, 1010)
CONFIG = WebConfig(questions=12, trace_share=0.5)


def object_of(s: Seen, instance_id: str) -> SceneObject:
    """Return what an instance is: its id ends with the number of its detection."""
    return s.scene.objects[s.visible[int(instance_id.rsplit('_', 1)[1])]]


def record_of(seed: int, models: TrueModels | None = None) -> tuple[Seen, Record]:
    """Return a scene and its record."""
    s = seen(seed)
    record, _ = make_record(s.picture.rgb, models or TrueModels(s), CONFIG, f'{seed}.png')
    assert record is not None
    return s, record


def right_of_camera(s: Seen) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the horizontal unit vectors to the right and away from the camera, (2,) each."""
    right = s.scene.world_from_camera[:2, 0]
    right = right / np.linalg.norm(right)
    away = np.array([-right[1], right[0]])
    return right, away if away @ s.scene.world_from_camera[:2, 2] > 0 else -away


@pytest.mark.parametrize('seed', SEEDS)
def test_points_lie_on_what_the_words_mean(seed: int) -> None:
    """Every pointing answer is a pixel of the named object, and the name fits no other thing in the picture."""
    s, record = record_of(seed)
    camera = s.scene.camera
    kinds = [s.scene.objects[i].kind for i in s.visible]
    asked = [x for x in record.samples if x.task_type.startswith('refer')]
    assert asked
    for sample in asked:
        target = object_of(s, sample.target_ids[0])
        (point,) = parse_answer(sample.answer).points
        column, row = camera.uv_to_pixels(point[:2]).round().astype(int)
        assert s.scene.objects[s.picture.segmentation[row, column]] is target
        if len(point) == 3:
            assert abs(point[2] - s.picture.depth[row, column]) < 0.002
        assert target.kind in sample.prompt
        if sample.relations:
            judge_order(s, sample, target)
        elif target.color in sample.prompt.split():
            alike = [o for o in (s.scene.objects[i] for i in s.visible) if o.kind == target.kind]
            assert [o.color for o in alike].count(target.color) == 1
        else:
            assert kinds.count(target.kind) == 1


def judge_order(s: Seen, sample: Sample, target: SceneObject) -> None:
    """Count in the scene what the words count in the picture."""
    camera_from_world = np.linalg.inv(s.scene.world_from_camera)
    alike = [s.scene.objects[i] for i in s.visible if s.scene.objects[i].kind == target.kind]
    at = {o.id: apply(camera_from_world, o.position) for o in alike}
    key = {
        'left': lambda p: p[0] / p[2],
        'right': lambda p: -p[0] / p[2],
        'near': lambda p: p[2],
        'far': lambda p: -p[2],
    }[sample.relations[0]]
    order = sorted(at, key=lambda i: key(at[i]))
    words = ('first', 'second', 'third', 'fourth', 'fifth')
    rank = next((k for k, w in enumerate(words) if f' {w} ' in sample.prompt), 0)
    assert order[rank] == target.id, sample.prompt


def judge_trace(s: Seen, sample: Sample) -> str:
    """Say what is wrong with a trace in the world; empty when nothing."""
    task = sample.task
    assert task is not None
    path = apply(s.scene.world_from_camera, task.path)
    moved, reference = object_of(s, task.moved), object_of(s, task.references[0])
    camera = s.scene.camera
    points = parse_answer(sample.answer).points
    np.testing.assert_array_equal(points, task.trace[:, :2])
    column, row = camera.uv_to_pixels(points[0]).round().astype(int)
    assert s.scene.objects[s.picture.segmentation[row, column]] is moved
    right, away = right_of_camera(s)
    step = path[-1, :2] - reference.position[:2]
    along = {'left of': -right, 'right of': right, 'in front of': -away, 'behind': away}
    if abs(path[-1, 2]) > 0.02:
        return f'ends {path[-1, 2]:.3f} m above the table'
    if step @ along[task.relation] < 0.8 * np.linalg.norm(step):
        return f'is not {task.relation}'
    # The real thing, carried as told: up, over, down.
    rise = path[1, 2] - moved.position[2]
    over = np.array([*(path[2] - path[1])[:2], 0.0])
    up = np.array([0.0, 0.0, 1.0])
    begin = moved.position + 0.002 * up
    way = np.stack([begin, begin + rise * up, begin + rise * up + over, begin + over])
    hit = Sweep(s.scene, moved.id).first_collision(way)
    return f'meets {hit.thing}, {hit.depth:.3f} m' if hit else ''


@pytest.mark.parametrize(
    ('noise', 'grow', 'allowed'), [(0.0, 0, 0.03), (0.02, 1, 0.08)], ids=['exact', 'noisy']
)
def test_traces_hold_in_the_world(noise: float, grow: int, allowed: float) -> None:
    """They end on the table, on the side that is asked for, and the real thing fits along them."""
    wrong, total = [], 0
    for seed in SEEDS:
        s = seen(seed)
        record, _ = make_record(s.picture.rgb, TrueModels(s, grow, noise), CONFIG, str(seed))
        for sample in record.samples if record else ():
            if sample.task is not None:
                total += 1
                if why := judge_trace(s, sample):
                    wrong.append(f'{seed} {sample.task.instruction}: {why}')
    assert total >= 30
    assert len(wrong) <= allowed * total, '\n'.join(wrong)


def test_the_plane_is_the_table() -> None:
    """Normal within a degree, height within 5 mm, from the pixels beside the things."""
    for seed in SEEDS:
        s = seen(seed)
        cloud = s.scene.camera.depth_to_points(s.picture.depth)
        plane = find_plane(cloud, s.picture.segmentation >= 0, CONFIG, np.random.default_rng(1))
        assert isinstance(plane, Plane)
        up = s.scene.world_from_camera[:3, :3] @ plane.up
        assert up[2] > np.cos(np.radians(1.0))
        origin = apply(s.scene.world_from_camera, plane.foot(np.array([0.0, 0.1, 1.0])))
        assert abs(origin[2]) < 0.005


def test_a_wall_is_no_plane_to_stand_on() -> None:
    """A picture of a wall, and one without depth."""
    cloud = np.dstack([*np.meshgrid(np.linspace(-1, 1, 40), np.linspace(-1, 1, 30)), np.ones((30, 40))])
    nothing = np.zeros((30, 40), dtype=bool)
    rng = np.random.default_rng(0)
    assert isinstance(find_plane(cloud.astype(np.float32), nothing, CONFIG, rng), Rejected)
    none = np.full((30, 40, 3), np.nan, dtype=np.float32)
    assert isinstance(find_plane(none, nothing, CONFIG, rng), Rejected)


def test_doubles_are_dropped() -> None:
    """A detector that tells everything twice changes no instance."""
    s = seen(1001)
    record, rejected = make_record(s.picture.rgb, TrueModels(s, doubles=True), CONFIG, 'x')
    assert record is not None
    assert len(record.objects) == len(s.visible)
    assert sum(r.reason == 'double' for r in rejected) == len(s.visible)


def test_record_keeps_what_was_seen() -> None:
    """Masks, boxes, depth, scale and captions of the instances."""
    s, record = record_of(1002)
    masks = decode_png16(record.masks or b'')
    for k, entry in enumerate(record.objects):
        thing = object_of(s, entry.id)
        assert entry.kind == thing.kind and entry.name == f'a {thing.color} {thing.kind} on a table'
        truth = s.picture.segmentation == s.scene.objects.index(thing)
        assert ((masks == k + 1) & truth).sum() >= 0.95 * largest_piece(truth).sum()
        assert entry.box is not None and entry.box[0] < entry.box[2]
    depth = record.depth_metres()
    assert depth is not None
    np.testing.assert_allclose(depth, s.picture.depth, atol=6e-4)
    distances = s.picture.depth / s.scene.camera.rays()[..., 2]
    assert record.scale == pytest.approx(distances[s.picture.depth > 0].mean(), abs=1e-3)


CAMERA = CameraModel(40, 30, 40.0, 40.0, 19.5, 14.5)


def one(mask: NDArray[np.bool_], box: tuple[float, ...], depth: float = 1.0) -> Instance | str:
    """Lift one detection; return it or the reason against it."""
    plain = np.full((30, 40), depth, dtype=np.float32)
    found, rejected = instances_of(
        [Detection('cup', 0.9, box)], mask[None], plain, CAMERA, WebConfig()  # type: ignore[arg-type]
    )
    return found[0] if found else rejected[0][1].reason


def test_what_is_not_believed() -> None:
    """Masks that are too small or large, elsewhere than the box, without depth, or far away."""
    mask = np.zeros((30, 40), dtype=bool)
    mask[10:20, 10:22] = True
    box = (10.0, 10.0, 22.0, 20.0)
    assert isinstance(one(mask, box), Instance)
    assert one(np.zeros_like(mask), box) == 'area'
    assert one(np.ones_like(mask), box) == 'area'
    assert one(mask, (0.0, 0.0, 12.0, 12.0)) == 'mask and box differ'
    assert one(mask, box, 0.0) == 'no depth'
    assert one(mask, box, 40.0) == 'far'
    crumbs = mask.copy()
    crumbs[2, 2] = crumbs[28, 38] = True
    kept = one(crumbs, box)
    assert isinstance(kept, Instance) and kept.box == (10, 10, 22, 20)
    assert box_iou((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)


def test_points_of_the_background_at_the_edge_are_left_out() -> None:
    """Estimated depth slopes from a thing to the wall behind it."""
    mask = np.zeros((30, 40), dtype=bool)
    mask[8:22, 8:26] = True
    depth = np.full((30, 40), 3.0, dtype=np.float32)
    depth[9:21, 9:25] = 1.0
    found, _ = instances_of([Detection('cup', 0.9, (8, 8, 26, 22))], mask[None], depth, CAMERA, WebConfig())
    assert found[0].points[:, 2].max() == 1.0 and found[0].uvd[2] == 1.0


def things(*rows: tuple[str, float, float, str]) -> list[Instance]:
    """Make instances: label, u, depth, caption."""
    mask, points = np.ones((2, 2), dtype=bool), np.zeros((1, 3), dtype=np.float32)
    return [
        Instance(f'{label}_{k}', label, 0.9, mask, points, (u, 500.0, d), caption)
        for k, (label, u, d, caption) in enumerate(rows)
    ]


def names_of(target: int, *rows: tuple[str, float, float, str]) -> set[str]:
    """Return everything that a thing may be called."""
    made = things(*rows)
    found = (name(made[target], made, WebConfig(), np.random.default_rng(i)) for i in range(40))
    return {n.text for n in found if n is not None}


def test_names_are_certain() -> None:
    """The axis with the larger spread counts; too close together, nothing does; a shared caption does not."""
    assert names_of(0, ('cup', 100, 1.0, ''), ('bowl', 200, 1.0, '')) == {'the cup'}
    across = names_of(0, ('cup', 100, 1.0, ''), ('cup', 800, 1.1, ''))
    assert 'the leftmost cup' in across and all('left' in n for n in across)
    away = names_of(1, ('cup', 500, 1.0, ''), ('cup', 520, 2.0, ''))
    assert 'the farthest cup' in away
    assert names_of(0, ('cup', 500, 1.0, ''), ('cup', 510, 1.01, '')) == set()
    told = names_of(0, ('cup', 500, 1.0, 'a red cup on a table'), ('cup', 510, 1.01, 'a blue cup'))
    assert told == {'the red cup'}
    assert names_of(0, ('cup', 500, 1.0, 'a red cup'), ('cup', 510, 1.01, 'a large red cup')) == set()
    assert names_of(0, ('cup', 500, 1.0, 'a wooden table'), ('cup', 510, 1.01, 'a blue cup')) == set()


@pytest.mark.parametrize(
    ('caption', 'noun'),
    [
        ('a red mug on a table', 'red mug'),
        ('There is a small white cup with a handle', 'small white cup'),
        ('two cups', ''),
        ('', ''),
        ('a photo of a green bottle that is lying', 'green bottle'),
        (' '.join(['very'] * 12) + ' long cup', ''),
    ],
)
def test_nouns_of_captions(caption: str, noun: str) -> None:
    """What stands before the first place."""
    assert noun_of(caption) == noun


def load_truth(models: ModelNames) -> Perception:
    """Return models for the picture of scene 1000."""
    return TrueModels(seen(1000))


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    """Two whole pictures, a broken one and a text; the same bytes again."""
    folder = tmp_path / 'pictures'
    (folder / 'below').mkdir(parents=True)
    picture = Image.fromarray(seen(1000).picture.rgb)
    picture.save(folder / 'a.png')
    picture.save(folder / 'below' / 'b.PNG')
    (folder / 'broken.jpg').write_bytes(b'\xff\xd8 no')
    (folder / 'notes.txt').write_text('x')
    (tmp_path / 'o.yaml').write_text('questions: 6\nshard_pictures: 2\nmodels: {labels: [cup]}')
    result = main(folder, tmp_path / 'out', load_truth, tmp_path / 'o.yaml')
    records = [r for p in shards_of(tmp_path / 'out') for r in read_records(p)]
    assert [r.origin for r in records] == ['a.png', 'below/b.PNG'] and result['shards'] == 2
    assert result['rejected']['broken file'] == 1
    assert records[0].extra['models']['labels'] == ['cup'] and records[0].world_from_camera is None
    again = main(folder, tmp_path / 'again', load_truth, tmp_path / 'o.yaml')
    assert again['counts'] == result['counts']
    for a, b in zip(shards_of(tmp_path / 'out'), shards_of(tmp_path / 'again'), strict=True):
        assert a.read_bytes() == b.read_bytes()
    lists = (tmp_path / 'out' / 'rejections').glob('*.jsonl')
    assert any('broken.jpg' in json.loads(x)['from'] for p in lists for x in p.read_text().splitlines())
    with pytest.raises(InvalidParameterError, match="nowhere' is no folder"):
        main(tmp_path / 'nowhere', tmp_path / 'out', load_truth)
    with pytest.raises(InvalidParameterError, match='limit 0: must be at least 1'):
        main(tmp_path, tmp_path / 'out', load_truth, limit=0)
    with pytest.raises(InvalidParameterError, match='holds no picture'):
        main(tmp_path / 'out' / 'rejections', tmp_path / 'x', load_truth)
    (tmp_path / 'bad.yaml').write_text('models: {detectr: x}')
    with pytest.raises(InvalidParameterError, match=r"'models\.detectr' is unknown"):
        main(folder, tmp_path / 'x', load_truth, tmp_path / 'bad.yaml')


def test_pictures_are_turned_as_their_cameras_were(tmp_path: Path) -> None:
    """The note beside the pixels says which side is up."""
    pixels = np.zeros((30, 50, 3), np.uint8)
    pixels[:, 40:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise: what is right in the file is the bottom
    Image.fromarray(pixels).save(tmp_path / 'a.png', exif=exif)
    read = read_picture(tmp_path / 'a.png', 100)
    assert isinstance(read, np.ndarray) and read.shape == (50, 30, 3)
    assert read[40:].min() == 255 and read[:40].max() == 0


def test_models_that_answer_on_another_grid() -> None:
    """Masks and depth must fit the picture; the error tells both sizes."""
    s = seen(1000)

    class Small(TrueModels):
        def depth(self, rgb: Rgb) -> DepthEstimate:
            return DepthEstimate(np.ones((10, 10), dtype=np.float32))

    with pytest.raises(ResolutionMismatchError, match=r'\(10, 10\): the picture is 320x240'):
        make_record(s.picture.rgb, Small(s), CONFIG, 'x')


def test_a_picture_with_too_little_in_it() -> None:
    """One thing only: nothing to tell it from."""
    s = seen(1000)
    config = replace(CONFIG, min_instances=50)
    record, rejected = make_record(s.picture.rgb, TrueModels(s), config, 'x')
    assert record is None and rejected[-1].reason == 'few things'
