# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from robotracer_ros.data.facts import SceneFacts
from robotracer_ros.data.generate import GenerateConfig, main, read_shard, rendering_of, scene_batch
from robotracer_ros.errors import InvalidParameterError

SMALL = GenerateConfig(questions=6, shard_scenes=2, width=160, height=120)


def digest(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(folder.rglob('*')):
        if path.is_file():
            found.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return found.hexdigest()


def test_shards_hold_pictures_scenes_and_questions(tmp_path):
    sheet = main(tmp_path / 'a', 3, 2000, config=SMALL)
    assert sheet['complete']
    assert sheet['counts']['scenes'] == 3
    shards = sorted((tmp_path / 'a').glob('shard-*'))
    assert [p.name for p in shards] == ['shard-01000-2000', 'shard-01001-2002']
    shard = read_shard(shards[0])
    assert shard['rgb'].shape == (2, 120, 160, 3)
    assert shard['depth'].dtype == np.uint16
    assert [s.seed for s in shard['scenes']] == [2000, 2001]
    for sample in shard['samples']:
        i = sample['index']
        assert shard['scenes'][i].seed == sample['seed']
        for m in sample['mentions']:
            assert sample['answer'][m['start']] == '('
            assert sample['answer'][m['end'] - 1] == ')'
    # A sample that points at an object points at its pixels.
    pointed = [s for s in shard['samples'] if s['type'] == 'refer']
    assert pointed
    for sample in pointed:
        m, scene = sample['mentions'][0], shard['scenes'][sample['index']]
        col, row = round(m['uvd'][0] * 0.16), round(m['uvd'][1] * 0.12)
        assert scene.objects[shard['segmentation'][sample['index']][row, col]].id == m['object']
    assert sum(v for k, v in sheet['counts'].items() if k.startswith('type ')) == sum(
        len(read_shard(p)['samples']) for p in shards
    )


def test_going_on_and_growing_gives_the_same_as_one_run(tmp_path):
    main(tmp_path / 'whole', 4, 2000, config=SMALL)
    main(tmp_path / 'grown', 3, 2000, config=SMALL)
    rubbish = tmp_path / 'grown' / '.shard-01000-2000.1'
    main(tmp_path / 'grown', 4, 2000, config=SMALL)
    assert not rubbish.exists()
    assert digest(tmp_path / 'whole') == digest(tmp_path / 'grown')


def test_an_interrupted_shard_is_made_again(tmp_path):
    main(tmp_path, 2, 2000, config=SMALL)
    before = digest(tmp_path)
    shard = next(tmp_path.glob('shard-*'))
    (shard / 'summary.json').unlink()
    (shard / 'samples.jsonl').write_text('half a li')
    main(tmp_path, 2, 2000, config=SMALL)
    assert digest(tmp_path) == before


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing(tmp_path):
    main(tmp_path / 'one', 4, 2000, 1, SMALL)
    main(tmp_path / 'two', 4, 2000, 2, SMALL)
    assert digest(tmp_path / 'one') == digest(tmp_path / 'two')


def test_reserved_seeds_and_bad_numbers_are_refused(tmp_path):
    with pytest.raises(InvalidParameterError, match=r'999.*reserved'):
        main(tmp_path, 1, 999)
    with pytest.raises(InvalidParameterError, match='scenes 0'):
        main(tmp_path, 0)
    main(
        tmp_path / 'val',
        1,
        5,
        config=GenerateConfig(questions=2, split='val', width=160, height=120),
    )
    assert json.loads((tmp_path / 'val' / 'dataset.json').read_text())['config']['split'] == 'val'
    with pytest.raises(InvalidParameterError, match='another config'):
        main(
            tmp_path / 'val',
            1,
            5,
            config=GenerateConfig(questions=3, split='val', width=160, height=120),
        )


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
