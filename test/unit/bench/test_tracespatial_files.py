# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a data set or a file of answers is said with the file, the sample and the field."""

from __future__ import annotations

import gzip
import json
import math

import numpy as np
import pytest
import tracespatial_folder as made

from robotracer_ros.bench.tracespatial.command import main
from robotracer_ros.bench.tracespatial.samples import load_answers, load_dataset
from robotracer_ros.bench.tracespatial.scoring import Rules
from robotracer_ros.data.files import DatasetFileError
from robotracer_ros.errors import InvalidParameterError


@pytest.fixture
def folder(tmp_path):
    return made.write(tmp_path / 'bench', [made.sample(0), made.sample(7)])


def _first_frame(folder):
    data = load_dataset(folder)
    return data.frame(data.samples[0])


def line(number=0, **changes):
    return {'question_id': number, 'model_prediction': '[(500, 500, 1.2), (800, 500, 1.2)]', **changes}


def test_a_folder_is_read_and_4x4_intrinsics_and_the_name_of_the_card_are_understood(tmp_path):
    entry = made.sample(0, gt_depth_intrinsics=[[*row, 0.0] for row in made.K] + [[0, 0, 0, 1.0]])
    entry['destination_direction'] = entry.pop('destination|direction')
    data = load_dataset(made.write(tmp_path, [entry]))
    assert data.samples[0].destination == 'to the right'
    np.testing.assert_array_equal(data.samples[0].intrinsics, made.K)
    frame = data.frame(data.samples[0])
    assert frame.size == (160, 120) and frame.depth.max() == pytest.approx(2.0)
    assert data.rgb(data.samples[0]).shape == (120, 160, 3)


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'trajectory': [[0, 0, 1]]}, 'sample 0.trajectory: has 1 point'),
        ({'trajectory': [[0, 0], [1, 1]]}, r'sample 0.trajectory: has shape \(2, 2\): must be \(N, 3\)'),
        ({'trajectory': [[0, 0, 1], [0, 0, math.nan]]}, r'sample 0.trajectory: holds nan at \(1, 2\)'),
        ({'trajectory': 'none'}, "sample 0.trajectory: 'none' are not numbers"),
        ({'gt_depth_intrinsics': [[1, 0], [0, 1]]}, r'gt_depth_intrinsics: has shape \(2, 2\)'),
        ({'gt_depth_intrinsics': np.zeros((3, 3)).tolist()}, 'focal lengths 0.0, 0.0 px: must be > 0'),
        ({'gt_depth_intrinsics': None}, 'gt_depth_intrinsics'),
        ({'bbox_extent': [1, -1, 1]}, r'bbox_extent: \[1.0, -1.0, 1.0\]: must be >= 0'),
        ({'bbox_rotation': np.ones((3, 3)).tolist()}, 'bbox_rotation: is no rotation matrix'),
        ({'bbox_center': [0, 0]}, r'bbox_center: has shape \(2,\): must be \(3\)'),
        ({'prompt': 3}, 'sample 0.prompt: is 3: must be of type str'),
        ({'id': 'first'}, "is 'first': must be of type int"),
        ({'mask_path': '../../elsewhere.png'}, 'lies outside of'),
    ],
)
def test_a_wrong_field_is_named(tmp_path, changes, words):
    folder = made.write(tmp_path, [made.sample(0)])
    (folder / 'trajectory_dataset.json').write_text(json.dumps([made.sample(0, **changes)]))
    with pytest.raises(DatasetFileError, match=words):
        _first_frame(folder)


@pytest.mark.parametrize(
    ('text', 'words'),
    [('[{"id": 0}', 'cannot be read as JSON'), ('{}', 'must be a list'), ('[]', 'must be a list')],
)
def test_a_broken_data_set_is_named(folder, text, words):
    (folder / 'trajectory_dataset.json').write_text(text)
    with pytest.raises(DatasetFileError, match=f'trajectory_dataset.json.*{words}'):
        load_dataset(folder)


def test_a_missing_folder_file_or_picture_is_named(folder, tmp_path):
    with pytest.raises(DatasetFileError, match=r'nowhere.*trajectory_dataset\.json'):
        load_dataset(tmp_path / 'nowhere')
    data = load_dataset(folder)
    (folder / 'raw_data/7/mask.png').unlink()
    with pytest.raises(DatasetFileError, match=r'7/mask\.png.*cannot be read'):
        data.frame(data.samples[1])
    (folder / 'raw_data/0/gt_depth.png').write_bytes(b'version https://git-lfs.github.com/spec/v1\n')
    with pytest.raises(DatasetFileError, match='git lfs pull'):
        data.frame(data.samples[0])
    (folder / 'raw_data/0/gt_depth.png').write_bytes(b'\x89PNG\r\n')
    with pytest.raises(DatasetFileError, match=r'gt_depth\.png.*cannot be read as an image'):
        data.frame(data.samples[0])
    (folder / 'trajectory_dataset.json').write_text(json.dumps([made.sample(0), made.sample(0)]))
    with pytest.raises(DatasetFileError, match='sample 0: is there twice'):
        load_dataset(folder)


def test_answers_need_only_a_number_and_a_text_where_the_data_set_is(folder, tmp_path):
    data = load_dataset(folder)
    lines = [line(7), line(0, model_prediction=None)]
    path = tmp_path / 'a_3D.jsonl.gz'
    path.write_bytes(gzip.compress('\n'.join(json.dumps(x) for x in lines).encode()))
    found = load_answers(path, data)
    assert [a.sample.id for a in found.answers] == [7, 0] and found.answers[1].text == ''
    assert found.name == 'a_3D'
    with pytest.raises(DatasetFileError, match=r'sample 7.*is missing'):
        load_answers(path)  # alone it lacks the truth


@pytest.mark.parametrize(
    ('lines', 'words'),
    [
        ([line(0)], 'no answer to 1 of 2 samples, the first is 7'),
        ([line(0), line(7), line(0)], 'sample 0: is there twice'),
        ([line(0), line(3)], 'line 2: sample 3 is not in'),
        ([{'question_id': 0}], 'line 1.model_prediction: is missing'),
        ([line(0, model_prediction=[1])], r'line 1.model_prediction: is \[1\]: must be text'),
        ([line(0, **{**made.sample(0), 'trajectory': [[0, 0, 1], [0, 0, 2]]})], 'sample 0.trajectory: is another'),
        ([[1]], 'line 1: is .*must be an object'),
        ([], 'holds no answers'),
    ],
)
def test_wrong_answers_are_named(folder, tmp_path, lines, words):
    path = made.answers(tmp_path / 'x.jsonl', lines)
    with pytest.raises(DatasetFileError, match=words):
        load_answers(path, load_dataset(folder))


def test_answers_that_were_cut_off_are_named(folder, tmp_path):
    path = made.answers(tmp_path / 'x.jsonl', [line(0), line(7)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(DatasetFileError, match=r'x\.jsonl.*line 2.*cut off'):
        load_answers(path, load_dataset(folder))
    packed = tmp_path / 'x.jsonl.gz'
    packed.write_bytes(gzip.compress(whole)[:-12])
    with pytest.raises(DatasetFileError, match='cannot be unpacked'):
        load_answers(packed)
    path.write_bytes(b'\xff\xfe')
    with pytest.raises(DatasetFileError, match='is not UTF-8'):
        load_answers(path)


def test_other_ends_of_lines_inside_of_an_answer_do_not_end_it(folder, tmp_path):
    path = tmp_path / 'x.jsonl'
    words = '[(1, 2)]\u2028\x85'
    path.write_text('\n'.join(json.dumps(line(i, model_prediction=words), ensure_ascii=False) for i in (0, 7)))
    assert load_answers(path, load_dataset(folder)).answers[1].text == words


def test_an_image_size_that_cannot_be_inferred_is_asked_for(tmp_path):
    path = made.answers(tmp_path / 'RoboTracer_2D.jsonl', [{**made.sample(0), **line(0)}])
    with pytest.raises(DatasetFileError, match=r'principal point \(80.0, 60.0\).*name the folder'):
        main(None, [path])


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ({'family': 'poets'}, "family 'poets': must be one of robotracer, general"),
        ({'dimensions': '4D'}, "task '4D': must be 2D or 3D"),
        ({'rules': Rules(threshold_m=0)}, 'threshold 0 m: must be > 0'),
        ({'rules': Rules(threshold_m=math.nan)}, 'threshold nan m: must be > 0'),
        ({'rules': Rules(collision_ratio=2)}, 'collision ratio 2: must be in 0..1'),
        ({'rules': Rules(unseen='maybe')}, "unseen 'maybe': must be free or occupied"),
    ],
)
def test_options_out_of_range_are_named(folder, tmp_path, options, words):
    path = made.answers(tmp_path / 'x.jsonl', [line(0), line(7)])
    with pytest.raises(InvalidParameterError, match=words):
        main(folder, [path], **options)
    with pytest.raises(InvalidParameterError, match='no answers to score'):
        main(folder, [])


def test_answers_that_tell_nothing_need_to_be_told_about(folder, tmp_path):
    path = made.answers(tmp_path / 'x.jsonl', [line(i, model_prediction='no idea') for i in (0, 7)])
    with pytest.raises(InvalidParameterError, match='neither its name nor its answers'):
        main(folder, [path])
    with pytest.raises(InvalidParameterError, match='give --task'):
        main(folder, [path], family='general')
    assert main(folder, [path], family='general', dimensions='3D') == 0
