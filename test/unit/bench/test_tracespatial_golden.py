# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The released answers give the published figures, and NumPy the surface, voxels and cloud that Open3D gives."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from robotracer_ros.bench.tracespatial.cloud import object_cloud
from robotracer_ros.bench.tracespatial.command import evaluate, main
from robotracer_ros.bench.tracespatial.occupancy import occupancy, surface_points
from robotracer_ros.bench.tracespatial.samples import load_answers, load_dataset

FOLDER = Path(__file__).parents[2] / 'data' / 'tracespatial'
#: re-computed with the official functions
GOLDEN = {
    '2D': {
        'rates': {'end in box': 0.43},
        'means': {'DFD': 0.2228, 'HD': 0.2148, 'RMSE': 0.1608, 'MAE': 0.0945},
    },
    '3D': {
        'rates': {'end <0.20 m': 0.57, 'start <0.20 m of the true start': 0.64},
        'means': {
            'DFD': 0.4736,
            'HD': 0.4595,
            'RMSE': 0.3576,
            'MAE': 0.1700,
            'end distance (m)': 0.2242,
        },
    },
}


def file_of(dimensions: str) -> Path:
    return FOLDER / f'RoboTracer_Intrinsics_Depth_{dimensions}.jsonl.gz'


@pytest.mark.parametrize('dimensions', ['2D', '3D'])
def test_released_answers_give_the_published_figures_to_four_decimals(dimensions):
    result, lines = evaluate(load_answers(file_of(dimensions)), None)
    assert (result['dimensions'], result['family']) == (dimensions, 'robotracer')
    for mode in ('official', 'mended'):  # the answers are clean, so that both agree on what needs no pictures
        found = result['figures'][mode]
        for name, value in GOLDEN[dimensions]['rates'].items():
            assert found['rates'][name]['rate'] == pytest.approx(value, abs=1e-9)
            assert found['rates'][name]['n'] == 100
        for name, value in GOLDEN[dimensions]['means'].items():
            assert round(found['means'][name]['mean'], 4) == value, name
            assert found['means'][name]['n'] == 100
    assert len(lines) == 100


def test_figures_do_not_depend_on_the_name_of_the_file_or_the_order_of_its_lines(tmp_path):
    for dimensions, golden in GOLDEN.items():
        lines = gzip.decompress(file_of(dimensions).read_bytes()).splitlines(keepends=True)
        other = tmp_path / f'answers{dimensions[0]}.jsonl'
        other.write_bytes(b''.join(reversed(lines)))
        found = evaluate(load_answers(other), None, strict=True)[0]
        assert found['dimensions'] == dimensions
        means = found['figures']['official']['means']
        assert {k: round(means[k]['mean'], 4) for k in golden['means']} == golden['means']
        assert 'mended' not in found['figures']


@pytest.mark.parametrize('dimensions', ['2D', '3D'])
def test_the_same_answers_as_json_of_a_general_model_give_the_same_figures(tmp_path, dimensions):
    lines = [json.loads(x) for x in gzip.decompress(file_of(dimensions).read_bytes()).splitlines()]
    for line in lines:
        points = line['model_prediction'].replace('(', '[').replace(')', ']')
        line['model_prediction'] = f'The path is:\n```json\n{{"trace": {points}}}\n```\nDone.'
    path = tmp_path / 'held.jsonl'  # a name that tells nothing
    path.write_text('\n'.join(json.dumps(x) for x in lines))
    result, _ = evaluate(load_answers(path), None)
    assert (result['family'], result['dimensions']) == ('general', dimensions)
    for mode in ('official', 'mended'):
        means = result['figures'][mode]['means']
        for name, value in GOLDEN[dimensions]['means'].items():
            assert round(means[name]['mean'], 4) == value, (mode, name)


def test_worse_answers_give_worse_figures(tmp_path):
    """Guard against figures that do not look at the answers: those of other samples are far off."""
    lines = [json.loads(x) for x in gzip.decompress(file_of('3D').read_bytes()).splitlines()]
    answers = [x['model_prediction'] for x in lines]
    for line, answer in zip(lines, answers[1:] + answers[:1], strict=True):
        line['model_prediction'] = answer
    other = tmp_path / 'RoboTracer_3D.jsonl'
    other.write_text('\n'.join(json.dumps(x) for x in lines))
    found = evaluate(load_answers(other), None)[0]['figures']['official']
    assert found['means']['DFD']['mean'] > 1.5 * GOLDEN['3D']['means']['DFD']
    assert found['rates']['end <0.20 m']['rate'] < 0.2


def test_the_command_prints_both_sets_of_rules_and_writes_one_line_per_answer(tmp_path, capsys):
    out = tmp_path / 'scores' / 'lines.jsonl'
    assert main(None, [file_of('2D'), file_of('3D')], out=out) == 0
    text = capsys.readouterr().out
    assert 'official code' in text and 'mended rules' in text
    assert '43.0 [33.7, 52.8]' in text and '0.4736' in text
    lines = [json.loads(x) for x in out.read_text().splitlines()]
    assert len(lines) == 200 and set(lines[0]) == {'file', 'id', 'official', 'mended'}
    assert main(None, [file_of('2D')], json_output=True, strict=True) == 0
    figures = json.loads(capsys.readouterr().out)['files'][0]['figures']
    assert list(figures) == ['official']


def test_surface_voxels_and_cloud_are_those_of_open3d():
    with np.load(FOLDER / 'open3d.npz') as golden:
        depth, mask, k = golden['depth'], golden['mask'], golden['intrinsics']
        metres = depth.astype(np.float32) * np.float32(1e-3)
        seen = np.where(mask == 255, np.float32(0), metres)
        surface = surface_points(seen, k)
        assert len(surface) == int(golden['surface_count']) == 18650
        assert cKDTree(surface).query(golden['surface'])[0].max() < 2e-6
        around = occupancy(seen, k)
        assert around is not None
        np.testing.assert_allclose(around.origin, golden['origin'], atol=1e-6)
        theirs = np.zeros_like(around.voxels)
        theirs[tuple(golden['voxels'].T)] = True
        # A surface point on the edge of two voxels may fall on either side in the last bit.
        assert (around.voxels != theirs).sum() <= 10
        cloud = object_cloud(metres, mask, k)
        np.testing.assert_allclose(cloud[np.lexsort(cloud.T)], golden['cloud'], atol=1e-9)


#: answers about the four samples of the smoke subset: one without points, one past its object, one through something
ANSWERS = {
    'noisy': {
        0: 'I cannot.',
        3: '[(766, 489, 0.885), (830, 352, 1.194), (803, 453, 0.954), (824, 511, 1.143)]',
        6: '[(566, 652, 0.854), (558, 563, 0.841), (406, 378, 0.951), (331, 333, 0.935), (232, 390, 0.977), '
        '(116, 415, 0.901), (168, 351, 1.276), (217, 431, 1.212)]',
        16: '[(838, 416, 1.037), (895, 297, 1.037), (833, 266, 1.093), (542, 267, 0.923), (182, 362, 0.933), '
        '(219, 476, 1.017)]',
    },
    'straight': {
        0: '[(203.1, 504.2, 1.026), (440.7, 527.5, 1.111)]',
        3: '[(818.8, 441.7, 1.078), (827.5, 527.6, 1.092)]',
        6: '[(546.9, 666.7, 0.948), (212.8, 436.6, 1.233)]',
        16: '[(846.9, 395.8, 1.106), (194.4, 471.2, 1.094)]',
    },
}
#: what the released program (Open3D 0.19.0) printed about them
PRINTED = {
    ('noisy', '2D'): {
        'DFD': 0.2513960947593053, 'HD': 0.25139609018800285, 'RMSE': 0.1942366206397613,
        'MAE': 0.13171012264986834, 'start in mask': 0.5, 'end in box': 0.75,
    },
    ('noisy', '3D'): {
        'DFD, of 3D': 0.046330767373243965, 'HD, of 3D': 0.045727048951638684,
        'RMSE, of 3D': 0.04248507569233576, 'MAE, of 3D': 0.02509244034687678,
        'start in mask, of 3D': 0.6667, 'end in box, of 3D': 1.0, 'DFD': 0.13887837529182434,
        'HD': 0.12496657020488038, 'RMSE': 0.08832262704769771, 'MAE': 0.03982652723789215,
        'start distance (m)': 0.1295, 'end distance (m)': 0.0193, 'no collision': 0.6667,
        'start <0.20 m': 0.6667, 'end <0.20 m': 1.0, 'overall': 0.25,
    },
    ('straight', '3D'): {
        'DFD, of 3D': 0.14224083721637726, 'RMSE, of 3D': 0.1232810216024518, 'DFD': 0.15878982283174992,
        'HD': 0.1587898174539, 'RMSE': 0.12015471048653126, 'MAE': 0.05835057655349374,
        'start distance (m)': 0.0, 'end distance (m)': 0.0, 'no collision': 0.5, 'start <0.20 m': 1.0,
        'end <0.20 m': 1.0, 'overall': 0.5,
    },
}  # fmt: skip


@pytest.mark.parametrize(('kind', 'dimensions'), list(PRINTED))
def test_with_pictures_too_the_figures_are_those_of_the_released_program(tmp_path, kind, dimensions):
    dataset = load_dataset(FOLDER.parent / 'tracespatial_sim')
    texts = dict(ANSWERS[kind])
    if dimensions == '2D':  # a repeated first point: quirk 4
        texts[3] = texts[3].replace('[', '[(766, 489, 0.885), ', 1)
    path = tmp_path / f'RoboTracer_{dimensions}.jsonl'
    lines = [{'question_id': k, 'model_prediction': v} for k, v in texts.items()]
    path.write_text('\n'.join(json.dumps(x) for x in lines))
    result, _ = evaluate(load_answers(path, dataset), dataset, strict=True)
    found = result['figures']['official']
    for name, printed in PRINTED[kind, dimensions].items():
        value = found['rates'][name]['rate'] if name in found['rates'] else found['means'][name]['mean']
        assert value == pytest.approx(printed, abs=6e-5), name
