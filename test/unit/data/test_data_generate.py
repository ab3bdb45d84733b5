# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from robotracer_ros.cli import app
from robotracer_ros.data.facts import SceneFacts
from robotracer_ros.data.generate import (
    GenerateConfig,
    held_out_lists,
    main,
    make_record,
    rendering_of,
    rendering_of_record,
    scene_batch,
    scene_of,
)
from robotracer_ros.data.shards import read_records, read_summary, shards_of
from robotracer_ros.errors import InvalidParameterError

SMALL = GenerateConfig(questions=6, shard_scenes=2, width=160, height=120)


def digest(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(folder.rglob('*')):
        if path.is_file():
            found.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return found.hexdigest()


@pytest.fixture(scope='module')
def three(tmp_path_factory):
    """Three scenes in two shards."""
    folder = tmp_path_factory.mktemp('data') / 'three'
    made = main(folder, 3, 2000, config=SMALL)
    return folder, made


def test_shards_hold_pictures_scenes_and_questions(three):
    folder, made = three
    paths = shards_of(folder)
    assert [p.name for p in paths] == ['train-sim-000000.parquet', 'train-sim-000001.parquet']
    records = [r for p in paths for r in read_records(p)]
    assert [r.seed for r in records] == [2000, 2001, 2002]
    assert made['counts']['samples'] == sum(len(r.samples) for r in records)
    pointed = 0
    for r in records:
        batch, image = scene_batch(r.seed, SMALL), rendering_of_record(r)
        assert np.array_equal(image.rgb, batch['rgb'])
        assert np.array_equal(image.depth, rendering_of(batch).depth)
        assert np.array_equal(image.segmentation, batch['segmentation'])
        scene = scene_of(r)
        assert scene.camera == r.camera == batch['scene'].camera
        assert [o.id for o in r.objects] == [o.id for o in scene.objects]
        for s in r.samples:
            for m in s.mentions:
                assert s.answer[m.start] == '('
                assert s.answer[m.end - 1] == ')'
            if s.task_type == 'refer':  # it points at the object's pixels, inside of its box
                pointed += 1
                m = s.mentions[0]
                col, row = round(m.uvd[0] * 0.16), round(m.uvd[1] * 0.12)
                i = image.segmentation[row, col]
                assert r.objects[i].id == m.object_id
                u0, v0, u1, v1 = r.objects[i].box
                assert u0 <= m.uvd[0] <= u1
                assert v0 <= m.uvd[1] <= v1
    assert pointed > 3


def test_going_on_and_growing_gives_the_same_as_one_run(three, tmp_path):
    folder, _ = three
    main(tmp_path, 2, 2000, config=SMALL)
    first = shards_of(tmp_path)[0].stat()
    main(tmp_path, 3, 2000, config=SMALL)
    assert shards_of(tmp_path)[0].stat().st_mtime_ns == first.st_mtime_ns  # not made again
    assert digest(tmp_path) == digest(folder)
    # A shard that another seed range left behind is made again.
    shards_of(tmp_path)[1].unlink()
    main(tmp_path, 4, 2000, config=SMALL)
    assert read_summary(shards_of(tmp_path)[1])['made_from'] == {'first_seed': 2002, 'scenes': 2}
    main(tmp_path, 3, 2000, config=SMALL)
    assert digest(tmp_path) == digest(folder)


def test_the_number_of_workers_changes_no_byte(three, tmp_path):
    main(tmp_path, 3, 2000, 2, SMALL)
    assert digest(tmp_path) == digest(three[0])


def test_the_command_asks_in_the_breadth_that_is_said(tmp_path):
    command = ['generate', str(tmp_path), '--first-seed', '2000', '--questions', '12']
    for scenes in ('2', '1'):  # the second time it is all there
        scene = ['--scenes', scenes, '--shard-scenes', '1', '--breadth', 'core']
        result = CliRunner().invoke(app, [*command, *scene], catch_exceptions=False)
        assert result.exit_code == 0
    assert '1 further shards of an earlier run stay' in result.output
    found = [r for p in shards_of(tmp_path) for r in read_records(p)]
    core, full = (
        [s.prompt for s in make_record(2000, GenerateConfig(12, breadth=breadth)).samples]
        for breadth in ('core', 'full')
    )
    assert [s.prompt for s in found[0].samples] == core != full
    assert '--breadth core' in (tmp_path / 'README.md').read_text()
    with pytest.raises(InvalidParameterError, match="breadth 'wide': must be one of core, full"):
        CliRunner().invoke(app, [*command, '--breadth', 'wide'], catch_exceptions=False)


@pytest.mark.parametrize('text', ['{', '[]', '{"parts": {}}'])
def test_folders_of_others_are_not_written_to(tmp_path, text):
    (tmp_path / 'dataset.json').write_text(text)
    with pytest.raises(InvalidParameterError, match=r'dataset\.json'):
        main(tmp_path, 1, 2000, config=SMALL)
    assert [p.name for p in tmp_path.iterdir()] == ['dataset.json']


@pytest.mark.slow
def test_ray_makes_the_same_bytes(three, tmp_path):
    import ray

    main(tmp_path, 3, 2000, 2, SMALL, ray=True)
    assert digest(tmp_path) == digest(three[0])
    assert not ray.is_initialized()


def test_hugging_face_datasets_reads_it(three, tmp_path):
    import datasets

    folder, made = three
    loaded = datasets.load_dataset(str(folder), split='train', cache_dir=str(tmp_path))
    assert loaded.num_rows == made['counts']['records'] == 3
    records = [r for p in shards_of(folder) for r in read_records(p)]
    for row, r in zip(loaded, records, strict=True):
        assert np.array_equal(np.asarray(row['image']), r.rgb())
        depth = np.asarray(row['depth']).astype(float) * row['depth_unit']
        assert depth == pytest.approx(r.depth_metres(), abs=1e-6)
        assert [s['prompt'] for s in row['samples']] == [s.prompt for s in r.samples]
        assert row['camera']['fx'] == r.camera.fx
        for said, s in zip(row['samples'], r.samples, strict=True):
            if s.task is None:
                assert said['task'] is None
            else:
                assert said['task']['trace'] == s.task.trace.tolist()
                keys = [i for i, step in enumerate(said['task']['reasoning']) if step['key']]
                assert tuple(keys) == s.task.key_steps
    streamed = datasets.load_dataset(str(folder), split='train', streaming=True)
    assert next(iter(streamed))['id'] == 'sim-train-2000'


def test_the_datasheet_tells_counts_and_what_is_held_out(three):
    folder, made = three
    card = (folder / 'README.md').read_text()
    assert '| train | sim | 2 | 3 | ' in card
    for name, n in made['counts'].items():
        if name.startswith(('type ', 'primitive ', 'relation ')):
            assert f'| {name.split(" ", 1)[1]} | {n} |' in card
    held_out = held_out_lists()
    assert ['behind', 'plate'] in held_out['compositions']
    assert len(held_out['templates']) > 60
    for text in (*held_out['templates'], 'behind / plate'):
        assert f'- `{text}`' in card
    assert 'robotracer generate sim FOLDER --scenes 3 --first-seed 2000' in card
    part = json.loads((folder / 'dataset.json').read_text())['parts']['train-sim']
    assert part['config']['held_out'] == json.loads(json.dumps(held_out))


def test_splits_lie_side_by_side(tmp_path):
    import datasets

    config = GenerateConfig(questions=2, split='val', width=160, height=120)
    main(tmp_path, 1, 5, config=config)
    main(tmp_path, 1, 2000, config=GenerateConfig(questions=2, width=160, height=120))
    assert set(datasets.load_dataset(str(tmp_path), cache_dir=str(tmp_path / 'hf'))) == {
        'train',
        'val',
    }


def test_reserved_seeds_and_bad_numbers_are_refused(tmp_path):
    with pytest.raises(InvalidParameterError, match=r'999.*reserved'):
        main(tmp_path, 1, 999)
    with pytest.raises(InvalidParameterError, match='scenes 0'):
        main(tmp_path, 0)
    with pytest.raises(InvalidParameterError, match='workers 0'):
        main(tmp_path, 1, workers=0)
    with pytest.raises(InvalidParameterError, match="split 'test'"):
        main(tmp_path, 1, config=GenerateConfig(split='test'))
    with pytest.raises(InvalidParameterError, match='first_seed -1'):
        main(tmp_path, 1, -1, config=GenerateConfig(split='val'))
    assert not list(tmp_path.iterdir())


def test_a_folder_holds_one_configuration(three):
    with pytest.raises(InvalidParameterError, match='another questions'):
        main(three[0], 3, 2000, config=GenerateConfig(7, 2, width=160, height=120))


def test_a_batch_is_what_the_model_gets():
    batch = scene_batch(2000, SMALL)
    image = rendering_of(batch)
    assert image.depth.dtype == np.float32
    assert image.depth.max() < 20.0
    assert batch['K'].shape == (3, 3)
    facts = SceneFacts(batch['scene'], image)
    assert facts.rendered
    assert any(o.visible for o in facts.objects)
    again = scene_batch(2000, SMALL)
    assert all(
        np.array_equal(batch[k], again[k])
        for k in ('rgb', 'depth', 'segmentation', 'K', 'world_from_camera')
    )
