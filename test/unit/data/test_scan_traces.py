# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0

import json
from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from handmade import thing
from scan_layouts import ca1m_frame, ca1m_world, write_scannet, write_tar
from scan_truth import faults
from typer.testing import CliRunner

from robotracer_ros.cli import app
from robotracer_ros.data.drafts import draft, movable
from robotracer_ros.data.facts import ELSEWHERE, ON_TABLE, SceneFacts
from robotracer_ros.data.files import DatasetFileError
from robotracer_ros.data.heights import CELL
from robotracer_ros.data.paths import carry
from robotracer_ros.data.qa import sample_questions
from robotracer_ros.data.scans.ca1m import Ca1mScan
from robotracer_ros.data.scans.facts import ScanFacts
from robotracer_ros.data.scans.generate import main
from robotracer_ros.data.scans.labels import clean_label
from robotracer_ros.data.scans.labels import movable as movable_label
from robotracer_ros.data.scans.platforms import find_platforms
from robotracer_ros.data.scans.records import ScanConfig, facts_of, make_record
from robotracer_ros.data.scans.segments import segment
from robotracer_ros.data.shards import read_records
from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.transforms import apply, invert, look_at
from robotracer_ros.sim.render import Renderer
from robotracer_ros.sim.scenes import SceneConfig, generate_scene
from robotracer_ros.sim.spec import HOME_Q, Scene

SEEDS = (1607, 1612, 1625)


@cache
def renderer():
    return Renderer()


def frame_of(scene, tmp_path, unannotated=(), categories=None, picture=None):
    """Write a scene as CA-1M and read it back; some things may lack a box or have another category."""
    picture = renderer().render(scene) if picture is None else picture
    video = str(scene.seed)
    found = {**ca1m_frame(scene, picture, video=video), **ca1m_world(scene, video)}
    for name in (f'{video}/1000.wide/instances.json', f'{video}/world.gt/instances.json'):
        items = [i for i in json.loads(found[name]) if i['id'] not in unannotated]
        for item in items:
            item['category'] = (categories or {}).get(item['id'], item['category'])
            item['caption'] = ''
        found[name] = json.dumps(items).encode()
    return Ca1mScan(write_tar(tmp_path / f'ca1m-val-{video}.tar', found)).read('1000')


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """Scenes with their exact pictures, the frames that were written of them, and the records made of these."""
    found = []
    for seed in SEEDS:
        scene = generate_scene(seed, SceneConfig(width=384, height=288))
        picture = renderer().render(scene)
        frame = frame_of(scene, tmp_path_factory.mktemp('scan'), picture=picture)
        record = make_record(frame, ScanConfig(questions=16))
        found.append((SceneFacts(scene, picture), frame, record))
    return found


@pytest.fixture(scope='module')
def bare(tmp_path_factory):
    """A tall flower pot between a mug and a box, the camera low."""
    things = (
        thing('mug', 'red', 0.50, -0.22),
        thing('flower pot', 'brown', 0.50, 0.02),
        thing('box', 'blue', 0.50, 0.26),
        thing('plate', 'white', 0.68, -0.10),
    )
    return Scene(
        77,
        things,
        CameraModel(384, 288, 405.0, 405.0, 191.5, 143.5),
        look_at((1.45, 0.0, 0.55), (0.48, 0.0, 0.05)),
        np.array(HOME_Q),
    )


def test_traces_from_boxes_and_depth_are_right_in_the_scene_behind_them(made):
    traces = Counter()
    for truth, _, record in made:
        assert record.source == 'scan'
        for sample in record.samples:
            if sample.task is not None:
                assert faults(sample.task, record, truth) == [], sample.task.instruction
                traces[sample.task.primitive] += 1
    assert sum(traces.values()) >= 12
    assert len(traces) >= 3


def test_the_judge_sees_what_is_wrong(made):
    seen = Counter()
    for truth, _, record in made:
        for task in (s.task for s in record.samples if s.task is not None):
            lower = replace(task, path=task.path - np.array([0, 0, 0.06]))
            aside = replace(task, path=task.path + np.array([0.3, 0.3, 0]))
            table = np.vstack([[500, 995, 1.0], task.trace[1:]])
            for name, wrong in (
                ('lower', lower),
                ('aside', aside),
                ('start', replace(task, trace=table)),
            ):
                told = {f.partition(':')[0] for f in faults(wrong, record, truth)}
                seen[name] += bool(told & ({'start'} if name == 'start' else {'end', 'hover', 'collision'}))
            seen['all'] += 1
    assert seen['lower'] == seen['aside'] == seen['start'] == seen['all'] > 0


def test_pixels_are_given_to_the_things_that_they_show(made):
    for truth, frame, _ in made:
        segments = segment(frame)
        by_id = {b.id: i for i, b in enumerate(frame.boxes)}
        for o in truth.objects:
            have = segments.segmentation == by_id[o.object.id]
            want = truth.view.segmentation == o.index
            if want.sum() < 300:
                continue
            # The lowest centimetre is left to the table, so flat things lose most.
            assert (have & ~want).sum() <= 0.05 * want.sum(), o.object.id
            assert (have & want).sum() >= 0.6 * want.sum(), o.object.id


def test_visibility_agrees_with_the_exact_picture(made):
    agree = []
    for truth, frame, _ in made:
        have = {o.object.id: o.visible for o in facts_of(frame)[0].objects}
        agree += [have.get(o.object.id, False) == o.visible for o in truth.objects]
    assert np.mean(agree) >= 0.85


def test_the_platform_is_where_depth_says(made):
    for truth, frame, _ in made:
        segments = segment(frame)
        platforms = find_platforms(frame, segments)
        assert frame.boxes[platforms[0].box].label == 'table'
        eye = truth.scene.world_from_camera[2, 3]
        assert platforms[0].height + eye == pytest.approx(0.0, abs=0.003)
        facts = ScanFacts(frame, segments, platforms[0])
        by_id = {o.object.id: o for o in facts.objects}
        for o in truth.objects:
            if o.object.id in by_id and o.on < 0:
                assert by_id[o.object.id].on == ON_TABLE
                assert by_id[o.object.id].bottom == pytest.approx(0.0)


def test_boxes_that_end_above_or_below_the_table_rest_on_it(bare, tmp_path):
    frame = frame_of(bare, tmp_path)
    lifted = replace(
        frame,
        boxes=tuple(
            replace(b, pose=b.pose + _up(0.03 if b.label == 'mug' else 0.0))
            for b in frame.boxes
        ),
    )
    facts = facts_of(lifted)[0]
    mug = next(o for o in facts.objects if o.kind == 'mug')
    assert mug.on_table
    assert mug.bottom == pytest.approx(0.0)
    # Its height stays the annotated one; its top stays where it was seen.
    true = next(o for o in bare.objects if o.kind == 'mug').extents[2]
    assert mug.height == pytest.approx(true, abs=1e-6)
    assert mug.top == pytest.approx(true + 0.03, abs=0.002)


def _up(metres):
    shift = np.zeros((4, 4))
    shift[2, 3] = metres
    return shift


def test_space_behind_things_is_occupied_unless_wanted_otherwise(bare, tmp_path):
    frame = frame_of(bare, tmp_path)
    grids = {}
    for unseen in ('occupied', 'free'):
        facts = facts_of(frame, unseen)[0]
        pot = next(o for o in facts.objects if o.kind == 'flower pot')
        behind = np.array([pot.x, pot.y]) - (pot.radius + 0.08) * facts.front
        cell = tuple(np.floor((behind - facts.heights.origin) / CELL).astype(int))
        grids[unseen] = facts.heights.without()[cell], facts.heights.without(pot.index)[cell]
    assert grids['occupied'][0] > 0.05
    assert grids['free'] == (0.0, 0.0)
    # What hides it takes its shadow along when it is lifted.
    assert grids['occupied'][1] == 0.0


def test_what_nobody_annotated_is_not_run_into(bare, tmp_path):
    pot = next(o.id for o in bare.objects if o.kind == 'flower pot')
    facts = facts_of(frame_of(bare, tmp_path, unannotated=(pot,)))[0]
    assert 'flower pot' not in [o.kind for o in facts.objects]
    mug, box = (next(o for o in facts.objects if o.kind == k) for k in ('mug', 'box'))
    way = carry(facts, mug, np.array([box.x, box.y, box.top]), final_lift=0.05)
    world = bare.world_from_camera @ invert(facts.scene.world_from_camera)
    true = bare.object(pot)
    if way is not None:
        over = apply(world, way.centres)[:, 2].max() - mug.height / 2
        assert over > true.extents[2]
    # Without depth's word it would have gone straight through.
    blind = facts_of(frame_of(bare, tmp_path, unannotated=(pot,)), 'free')[0]
    blind.heights._base[:] = 0.0
    straight = carry(blind, mug, np.array([box.x, box.y, box.top]), final_lift=0.05)
    assert straight.centres[:, 2].max() - mug.height / 2 < true.extents[2]


def test_things_without_a_name_or_not_for_hands_are_not_spoken_of_or_moved(bare, tmp_path):
    ids = {o.kind: o.id for o in bare.objects}
    frame = frame_of(bare, tmp_path, categories={ids['mug']: 'object', ids['flower pot']: 'cabinet'})
    facts = facts_of(frame)[0]
    assert {o.kind for o in movable(facts)} == {'box', 'plate'}
    for seed in range(4):
        for sample in sample_questions(facts, np.random.default_rng(seed), 12):
            assert 'mug' not in sample.prompt
            assert ids['mug'] not in sample.target_ids
            assert sample.task is None or sample.task.moved != ids['flower pot']


def test_lengths_are_those_of_the_annotation(made):
    asked = 0
    for _, frame, _ in made:
        facts, boxes = facts_of(frame)[0], {b.id: b for b in frame.boxes}
        for sample in sample_questions(facts, np.random.default_rng(3), 12, types={'measure': 1.0}):
            if sample.answer.startswith('<answer>The height of'):
                asked += 1
                assert sample.metres == pytest.approx(boxes[sample.target_ids[0]].extents[2])
    assert asked >= 2


def test_larger_things_go_further(bare, tmp_path):
    facts = facts_of(frame_of(bare, tmp_path))[0]
    mug = next(o for o in facts.objects if o.kind == 'mug')
    assert facts.least_travel(mug) == pytest.approx(max(0.06, 0.6 * np.cbrt(mug.volume)))
    for seed in range(12):
        plan = draft(facts, 'M1', mug, np.random.default_rng(seed), 'train')
        if plan is not None:
            travel = np.linalg.norm(plan.goal.point[:2] - (mug.x, mug.y))
            assert travel >= facts.least_travel(mug)


def test_things_are_put_where_the_surface_is_seen(bare, tmp_path):
    facts = facts_of(frame_of(bare, tmp_path))[0]
    mug = next(o for o in facts.objects if o.kind == 'mug')
    beside = np.array([mug.x, mug.y]) + 0.15 * facts.front
    assert facts.placeable(mug, beside, ON_TABLE)
    facts.heights.bare[:] = False
    assert not facts.placeable(mug, beside, ON_TABLE)
    assert not facts.placeable(mug, beside + 9.0, ON_TABLE)


def test_a_frame_without_a_platform_is_asked_about_but_nothing_moves(bare, tmp_path):
    frame = frame_of(bare, tmp_path, unannotated=('table_0',))
    (facts,) = facts_of(frame)
    assert facts.platform is None
    assert all(o.on == ELSEWHERE for o in facts.objects)
    record = make_record(frame, ScanConfig(questions=24))
    kinds = {s.task_type for s in record.samples}
    assert {'refer', 'measure'} <= kinds
    assert all(s.task is None for s in record.samples)


def test_labels_are_words_or_nothing():
    assert clean_label('Coffee_Table') == 'coffee table'
    assert clean_label(' trash  can ') == 'trash can'
    assert [clean_label(t) for t in ('object', 'OBJECT', 'otherprop', '', None, 'tv3', '<b>')] == [''] * 7
    assert movable_label('mug')
    assert movable_label('trash can')
    assert not any(movable_label(t) for t in ('floor', 'kitchen cabinet', 'glass door', '', 'desk'))


def test_the_command_writes_a_data_set_and_goes_on(bare, tmp_path):
    root, out = tmp_path / 'ca1m', tmp_path / 'out'
    root.mkdir()
    frame_of(bare, root)
    run = CliRunner().invoke
    command = ['generate', 'scans', '--layout', 'ca1m', str(root), str(out), '--questions', '8']
    result = run(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    (shard,) = (out / 'data').glob('*.parquet')
    assert shard.name.startswith('train-scan-')
    before = shard.read_bytes(), shard.stat().st_mtime_ns
    (record,) = read_records(shard)
    assert record.id == 'ca1m-train-77-1000'
    assert record.rgb().shape == (288, 384, 3)
    assert {o.name for o in record.objects} == {'table', 'mug', 'flower pot', 'box', 'plate'}
    assert len(record.samples) >= 6
    # What was made of other people's pictures is not ours to license.
    card = (out / 'README.md').read_text()
    assert 'license: other\n' in card
    assert 'annotations of scan stay under the licences' in card
    # What is there is not made again; what is made again is the same.
    run(app, command, catch_exceptions=False)
    assert shard.stat().st_mtime_ns == before[1]
    again = main('ca1m', root, tmp_path / 'again', ScanConfig(questions=8))
    assert (tmp_path / 'again' / 'data' / shard.name).read_bytes() == before[0]
    assert again['counts']['records'] == 1
    with pytest.raises(InvalidParameterError, match='unseen'):
        run(app, [*command, '--unseen', 'free'], catch_exceptions=False)


def test_broken_scans_stop_the_command_or_are_listed(bare, tmp_path):
    root = tmp_path / 'ca1m'
    root.mkdir()
    frame_of(bare, root)
    write_tar(root / 'ca1m-val-1.tar', {'1/1000.wide/image.png': b'none'})
    (root / 'ca1m-val-2.tar').write_bytes(b'none')
    with pytest.raises(DatasetFileError, match=r'ca1m-val-1\.tar'):
        main('ca1m', root, tmp_path / 'a', ScanConfig(questions=2))
    done = main('ca1m', root, tmp_path / 'b', ScanConfig(questions=2), skip_broken=True)
    assert done['counts']['records'] == 1
    assert done['rejected'] == {'broken file': 2}
    lists = sorted((tmp_path / 'b' / 'rejections').glob('train-scan-*.jsonl'))
    told = [json.loads(line)['detail'] for p in lists for line in p.read_text().splitlines()]
    assert len(told) == 2
    assert 'ca1m-val-1.tar' in told[0]
    assert 'ca1m-val-2.tar' in told[1]


@pytest.mark.parametrize(
    ('change', 'problem'),
    [
        ({'every': 0}, 'every 0'),
        ({'questions': 0}, 'questions 0'),
        ({'split': 'test'}, "split 'test'"),
        ({'unseen': 'maybe'}, "unseen 'maybe'"),
    ],
)
def test_settings_out_of_range_are_named(change, problem, tmp_path):
    with pytest.raises(InvalidParameterError, match=problem):
        main('ca1m', tmp_path, tmp_path / 'out', ScanConfig(**change))


def test_scannet_frames_are_taken_as_asked(bare, tmp_path):
    picture = renderer().render(bare)
    write_scannet(tmp_path / 'scannet', bare, [picture] * 5, lost=(2,))
    done = main('scannet', tmp_path / 'scannet', tmp_path / 'out', ScanConfig(questions=4, every=2))
    assert done['counts']['records'] == 2  # 0 and 4
    assert done['rejected'] == {'no pose': 1}  # 2
    (shard,) = (tmp_path / 'out' / 'data').glob('*.parquet')
    records = list(read_records(shard))
    assert [r.origin for r in records] == ['scannet/scene0042_00/0', 'scannet/scene0042_00/4']
    assert any(s.task for r in records for s in r.samples)
