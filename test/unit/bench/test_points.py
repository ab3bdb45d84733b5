# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Point-in-mask and 2D-trace benchmarks, on folders in their public layouts that the tests write."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from robotracer_ros.bench.points.command import in_mask, main, read_answers, score
from robotracer_ros.bench.points.layouts import load
from robotracer_ros.bench.points.units import UNITS, pixels_of
from robotracer_ros.data.files import DatasetFileError
from robotracer_ros.errors import InvalidParameterError, TraceParseError

SIZE = (200, 100)


def mask_image(path, left=50, right=100):
    """Write a mask of 200x100 pixels that is set in columns left..right."""
    values = np.zeros((100, 200), dtype=np.uint8)
    values[:, left:right] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, quality=95)


def refspatial(folder, parts=('Location', 'Placement')):
    for part in parts:
        entries = []
        for k in range(2):
            mask_image(folder / part / 'mask' / f'{k}.png', 100 * k, 100 * k + 100)
            entries.append(
                {
                    'id': k,
                    'object': 'cup',
                    'prompt': f'Please point out cup {k}.',
                    'suffix': 'Your answer should be a list of tuples.',
                    'rgb_path': f'image/{k}.png',
                    'mask_path': f'mask/{k}.png',
                    'category': part,
                    'step': 2,
                }
            )
        (folder / part / 'question.json').write_text(json.dumps(entries))
    return folder


def where2place(folder):
    mask_image(folder / 'masks' / '00.jpg')
    mask_image(folder / 'masks' / '01.jpg')
    lines = [
        {'question_id': k, 'image': f'{k:02d}.jpg', 'text': f'Point at free space {k}.', 'category': 'seen'}
        for k in range(2)
    ]
    (folder / 'point_questions.jsonl').write_text('\n'.join(json.dumps(x) for x in lines))
    return folder


def sharerobot(path):
    meta = {'original_dataset': 'bridge', 'original_width': 200, 'original_height': 100}
    entries = [
        {'id': 456, 'meta_data': meta, 'instruction': 'reach', 'points': [[0, 0], [100, 0], [100, 50]]},
        {'id': 457, 'meta_data': meta, 'instruction': 'push', 'points': [[0, 0], [200, 100]]},
    ]
    path.write_text(json.dumps(entries))
    return path


def vabench(path):
    parquet = pytest.importorskip('pyarrow.parquet')
    import pyarrow

    picture = io.BytesIO()
    Image.fromarray(np.zeros((100, 200, 3), dtype=np.uint8)).save(picture, 'PNG')
    rows = [
        {
            'id': 'a',
            'problem': ' move the cup ',
            'answer': '<type>visual_trace</type>' + json.dumps({'trajectory': [[0, 0], [100, 50]]}),
            'images': [picture.getvalue()],
        }
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def answers(path, texts):
    lines = [{'question_id': k, 'text': t} for k, t in texts.items()]
    path.write_text('\n'.join(json.dumps(x) for x in lines) + '\n')
    return path


def figures(capsys, *arguments, **options):
    assert main(*arguments, json_output=True, **options) == 0
    return json.loads(capsys.readouterr().out)['figures']


def test_refspatial_in_parts_or_one_part(tmp_path, capsys):
    folder = refspatial(tmp_path / 'bench')
    texts = {
        'Location/0': '[(250, 500)]',  # in
        'Location/1': '[(250, 500), (750, 500), (760, 500), (2000, 500)]',  # 2 of 4, the first one not
        'Placement/0': 'no idea',
        'Placement/1': '<answer>[(750, 500, 0.9)]</answer>',
    }
    found = figures(capsys, 'refspatial', folder, answers(tmp_path / 'a.jsonl', texts))
    assert found['all']['rates']['in mask']['rate'] == pytest.approx((1 + 0.5 + 0 + 1) / 4)
    assert found['all']['rates']['first in mask']['rate'] == 0.5
    assert found['all']['rates']['parsed']['rate'] == 0.75
    assert found['Location']['rates']['in mask']['rate'] == 0.75
    assert found['Placement']['rates']['in mask']['rate'] == 0.5
    one = load('refspatial', folder / 'Location')
    assert [q.id for q in one] == ['0', '1'] and one[0].part == 'Location'
    assert one[0].prompt == 'Please point out cup 0. Your answer should be a list of tuples.'
    assert one[0].size == SIZE


def test_where2place(tmp_path, capsys):
    folder = where2place(tmp_path)
    path = answers(tmp_path / 'a.jsonl', {0: '[(0.3, 0.5), (0.9, 0.5)]', 1: '[(60, 10)]'})
    found = figures(capsys, 'where2place', folder, path, unit='fraction')
    assert found['all']['rates']['in mask']['rate'] == 0.75  # 1 of 2, and whole numbers are pixels
    assert load('where2place', folder)[1].prompt == 'Point at free space 1.'


def test_sharerobot_and_vabench_measure_ways_in_shares_of_the_picture(tmp_path, capsys):
    path = sharerobot(tmp_path / 'trajectory.json')
    exact = {456: '[(0, 0), (500, 0), (500, 500)]', 457: '[(0, 0), (1000, 1000)]'}
    found = figures(capsys, 'sharerobot', path, answers(tmp_path / 'a.jsonl', exact))
    assert found['all']['means']['DFD']['mean'] == pytest.approx(0, abs=1e-9)
    assert set(found) == {'all', 'bridge'}
    moved = {456: '[(100, 0), (600, 0), (600, 500)]', 457: 'nothing'}
    found = figures(capsys, 'sharerobot', path, answers(tmp_path / 'b.jsonl', moved))
    for name in ('DFD', 'HD', 'RMSE'):
        assert found['all']['means'][name]['mean'] == pytest.approx(0.1, abs=0.01)
    assert found['all']['means']['DFD']['n'] == 1 and found['all']['rates']['parsed']['rate'] == 0.5
    path = vabench(tmp_path / 'test.parquet')
    question = load('vabench', path)[0]
    assert question.prompt == 'move the cup' and question.size == SIZE
    texts = answers(tmp_path / 'c.jsonl', {'a': '<point>[[0, 0], [100, 50]]</point>'})
    found = figures(capsys, 'vabench', path, texts, unit='pixels')
    assert found['all']['means']['RMSE']['mean'] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ('unit', 'text'),
    [
        ('thousand', '[(250, 500), (500, 100, 1.5)]'.replace(', 1.5', '')),
        ('thousand', '```json\n[{"point_2d": [250, 500]}, {"point_2d": [500, 100]}]\n```'),
        ('fraction', 'I say [(0.25, 0.5), (0.5, 0.1)].'),
        ('fraction', '(50, 50) (100, 10)'),
        ('pixels', '[[50, 50], [100, 10]]'),
        ('yx_thousand', '[{"point": [500, 250], "label": "a"}, {"point": [100, 500]}]'),
        ('percent', '<points x1="25.0" y1="50.0" x2="50.0" y2="10.0" alt="cup">cup</points>'),
    ],
)
def test_the_same_points_in_every_unit(unit, text):
    np.testing.assert_allclose(pixels_of(text, unit, SIZE), [[50, 50], [100, 10]])


def test_a_box_stands_for_its_pixels():
    found = pixels_of('[(0.1, 0.1, 0.12, 0.13)]', 'fraction', SIZE)
    assert {tuple(p) for p in found.tolist()} == {(x, y) for x in range(20, 24) for y in range(10, 13)}
    assert len(pixels_of('(0.0, 0.0, 9.0, 9.0)', 'fraction', SIZE)) == 200 * 100  # not more than the picture


@pytest.mark.parametrize('unit', UNITS)
@pytest.mark.parametrize('text', ['', 'no idea', '(1)', '(nan, inf)', 'x1="a" y1="b"'])
def test_no_points_are_an_error(unit, text):
    with pytest.raises(TraceParseError):
        pixels_of(text, unit, SIZE)


@pytest.mark.parametrize('text', ['(' * 100_000, '(1,' * 50_000, '9' * 100_000, '(1, 2)' * 2000])
def test_absurd_answers_take_no_time(text):
    for unit in UNITS:
        with pytest.raises(TraceParseError):
            pixels_of(text, unit, SIZE)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_points_in_a_mask_are_counted_one_by_one(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((7, 9)) < 0.5
    points = rng.uniform(-3, 12, (40, 2))
    wanted = [0 <= x < 9 and 0 <= y < 7 and bool(mask[int(y), int(x)]) for x, y in points]
    assert in_mask(points, mask).tolist() == wanted


def test_jpeg_masks_and_masks_of_ones_mean_the_same(tmp_path):
    folder = where2place(tmp_path / 'a')
    question = load('where2place', folder)[0]
    mask = question.mask_pixels()
    assert mask[:, 51:99].all() and not mask[:, :49].any() and not mask[:, 101:].any()
    Image.fromarray((mask * 1).astype(np.uint8)).save(tmp_path / 'ones.png')
    from robotracer_ros.bench.points.layouts import read_mask

    np.testing.assert_array_equal(read_mask(tmp_path / 'ones.png'), mask)


def test_numbers_that_several_parts_have_need_the_part(tmp_path):
    questions = load('refspatial', refspatial(tmp_path / 'b'))
    with pytest.raises(DatasetFileError, match='names no question, or several'):
        read_answers(answers(tmp_path / 'a.jsonl', {0: '(1, 2)'}), questions)


@pytest.mark.parametrize(
    ('lines', 'words'),
    [
        (['{"question_id": 0, "text": "(1, 2)"}'], 'no answer to 1 of 2 questions, the first is 1'),
        (['{"question_id": 0, "text": "a"}'] * 2, 'question 0: is answered twice'),
        (['{"question_id": 7, "text": "a"}'], "line 1: names no question, or several: '7'"),
        (['{"question_id": 0}'], 'line 1: needs question_id'),
        (['[1]'], 'line 1: is .*must be an object'),
        (['{"question_id": 0, "te'], 'line 1: is no JSON'),
    ],
)
def test_wrong_answers_are_named(tmp_path, lines, words):
    questions = load('where2place', where2place(tmp_path))
    path = tmp_path / 'a.jsonl'
    path.write_text('\n'.join(lines))
    with pytest.raises(DatasetFileError, match=words):
        read_answers(path, questions)


def test_wrong_benchmarks_are_named(tmp_path):
    with pytest.raises(InvalidParameterError, match="layout 'coco': must be one of refspatial"):
        load('coco', tmp_path)
    with pytest.raises(DatasetFileError, match=r'question\.json'):
        load('refspatial', tmp_path)
    folder = refspatial(tmp_path / 'a', ('Unseen',))
    path = folder / 'Unseen' / 'question.json'
    entries = json.loads(path.read_text())
    for change, words in (
        ({'id': 'x'}, "question 1.id: is 'x'"),
        ({'id': 0}, 'Unseen/0: is there twice'),
        ({'mask_path': '../../x.png'}, 'lies outside of'),
        ({'mask_path': 'mask/9.png'}, r'9\.png.*cannot be read'),
        ({'prompt': None}, 'question 1.prompt: is None'),
    ):
        path.write_text(json.dumps([entries[0], {**entries[1], **change}]))
        with pytest.raises(DatasetFileError, match=words):
            load('refspatial', folder)
    robot = sharerobot(tmp_path / 't.json')
    good = json.loads(robot.read_text())[0]
    for change, words in (
        ({'points': [[1, 2]]}, 'way of 1 point'),
        ({'points': [[1, 2], [1, float('nan')]]}, r'entry 0.points: holds nan'),
        ({'points': [[1, 2, 3]] * 2}, r'must be \(N, 2\)'),
        ({'meta_data': {'original_width': 0, 'original_height': 5}}, 'size 0x5'),
        ({'meta_data': {}}, 'original_width: is missing'),
    ):
        robot.write_text(json.dumps([{**good, **change}]))
        with pytest.raises(DatasetFileError, match=words):
            load('sharerobot', robot)
    robot.write_text('[]')
    with pytest.raises(DatasetFileError, match='holds no questions'):
        load('sharerobot', robot)
    (tmp_path / 'x.parquet').write_bytes(b'PAR1')
    with pytest.raises(DatasetFileError, match='cannot be read as Parquet'):
        load('vabench', tmp_path / 'x.parquet')


def test_units_are_checked_first_and_the_table_is_printed(tmp_path, capsys):
    folder = where2place(tmp_path)
    path = answers(tmp_path / 'a.jsonl', {0: '[(300, 500)]', 1: '[(900, 500)]'})
    with pytest.raises(InvalidParameterError, match="unit 'miles'"):
        main('where2place', folder, path, unit='miles')
    out = tmp_path / 'o' / 'scores.jsonl'
    assert main('where2place', folder, path, out=out) == 0
    assert '50.0' in capsys.readouterr().out
    assert [json.loads(x)['hits']['in mask'] for x in out.read_text().splitlines()] == [1, 0]


def test_a_point_is_no_way(tmp_path):
    questions = load('sharerobot', sharerobot(tmp_path / 't.json'))
    outcome = score(questions[:1], ['[(1, 2)]'], 'thousand')[0]
    assert outcome.hits == {'parsed': 0} and outcome.note == 'one point is no way'
