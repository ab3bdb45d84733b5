# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The official rules with every quirk that doc/evaluation.md names, and the mended ones beside them."""

from __future__ import annotations

import numpy as np
import pytest
import tracespatial_folder as made

from robotracer_ros.bench.tracespatial.parsing import (
    OfficialError,
    family_of,
    official_points,
    points_of,
)
from robotracer_ros.bench.tracespatial.samples import Answer, Answers, load_answers, load_dataset
from robotracer_ros.bench.tracespatial.scoring import Rules, score
from robotracer_ros.errors import InvalidParameterError, TraceParseError

GOOD = made.text_of(made.sample()['trajectory'])
NEAR = '<0.20 m'


@pytest.fixture
def judge(tmp_path):
    """Return a function that scores one answer: official outcome, mended outcome."""

    def run(text, dimensions='3D', family='robotracer', rules=None, entry=None, **pictures):
        data = load_dataset(made.write(tmp_path / 'bench', [entry or made.sample()], **pictures))
        given = Answers(tmp_path / 'a.jsonl', (Answer(data.samples[0], text),))
        scored = score(given, dimensions, family, data, rules)
        return scored.official[0], scored.mended[0]

    return run


def fenced(text):
    return f'Here you are:\n```json\n{text}\n```'


# --- reading ---


@pytest.mark.parametrize(
    ('text', 'wanted'),
    [
        ('[(100, 200), (300, 400)]', [[0.1, 0.2], [0.3, 0.4]]),
        ('(-1,+2.5,  3.)', [[-0.001, 0.0025, 3.0]]),
        ('(1, 2, 3, 4)', [[0.001, 0.002, 3.0]]),
        ('(1 , 2) ( 3, 4) (5, 6 ) (7) (1e2, 3) (.5, 1)', None),  # none of these is a point officially
        ('(0, 0) (1000, 1000, 2)', [[0, 0, np.nan], [1, 1, 2]]),
        ('', None),
        ('(' + '9' * 100_000, None),
    ],
)
def test_tuples_are_read_as_officially(text, wanted):
    found = official_points(text, 'robotracer')
    np.testing.assert_array_equal(found, np.zeros((0, 2)) if wanted is None else wanted)


def test_json_is_read_as_officially():
    nested = fenced('{"a": [[100, 200, 1.5], {"b": [300, 400, 1]}], "c": [1, 2, 3, 4]}')
    np.testing.assert_array_equal(official_points(nested, 'general'), [[0.1, 0.2, 1.5], [0.3, 0.4, 1]])
    np.testing.assert_array_equal(official_points(fenced('[10, true]'), 'general'), [[0.01, 0.001]])
    # what it goes on with when there are none
    assert official_points('[[1, 2, 3]]', 'general').shape == (0, 3)
    assert official_points(fenced('[[1, 2,'), 'general').shape == (0, 3)
    assert official_points(fenced('[]'), 'general').shape == (0,)
    with pytest.raises(OfficialError, match='two and of three'):
        official_points(fenced('[[1, 2], [1, 2, 3]]'), 'general')
    with pytest.raises(OfficialError):
        official_points(fenced('[' * 100_000), 'general')


def test_the_family_follows_from_name_or_answers():
    assert family_of('RoboTracer_RGB_2D', [fenced('[[1, 2]]')]) == 'robotracer'
    assert family_of('Gemini3Pro_2D', ['(1, 2)']) == family_of('qwen3vl', []) == 'general'
    assert family_of('mine', ['(1, 2)', 'no']) == 'robotracer'
    assert family_of('mine', [fenced('[[1, 2]]'), 'no']) == 'general'
    with pytest.raises(InvalidParameterError, match='neither its name nor its answers'):
        family_of('mine', ['no'])


def test_mended_reading_takes_the_answer_and_not_the_reasoning():
    text = f'<think>\n[Referring] [the cube]: [(900, 900, 3.0)]\n</think>\n<answer>{GOOD}</answer>'
    assert len(official_points(text, 'robotracer')) == 4
    assert len(points_of(text, 'robotracer')) == 3
    np.testing.assert_array_equal(points_of('[[1, 2], [1000, 4]]', 'general'), [[0.001, 0.002], [1, 0.004]])
    for wrong in ('nothing', '(1, 2) (1, 2, 3)', '(1, 2, -1) (1, 2, 3)'):
        with pytest.raises(TraceParseError):
            points_of(wrong, 'robotracer')


# --- the whole score ---


def test_a_good_trace_is_right_in_everything(judge):
    for outcome in judge(GOOD):
        assert all(outcome.hits.values()), outcome
        assert outcome.errors['DFD'] < 1e-3
        assert outcome.errors['end distance (m)'] == 0
        assert outcome.errors['start distance (m)'] < 0.02
    for outcome in judge(GOOD, '2D'):
        assert all(outcome.hits.values()) and 'start in mask' in outcome.hits
        assert outcome.errors['RMSE'] < 1e-4


def test_rectangle_and_mask_in_the_picture(judge):
    official, mended = judge('[(100, 100), (812, 500), (100, 100), (100, 101)]', '2D')
    assert official.hits == {'start in mask': 0, 'end in box': 1}  # one of the last three
    assert mended.hits['end in box'] == 1 and mended.hits['end in box, last point'] == 0
    # two points: officially only the last one counts
    official, _ = judge('[(812, 500), (100, 100)]', '2D')
    assert official.hits['end in box'] == 0


def test_quirks_1_and_2_no_points_become_a_trace_in_the_corner(judge):
    official, mended = judge('sorry', '2D')
    assert official.hits == {'start in mask': 0, 'end in box': 0} and official.errors['DFD'] > 0.5
    assert mended.hits == dict.fromkeys(mended.hits, 0) and not mended.errors
    official, mended = judge('[(500, 500)]', '2D')
    assert official.hits['start in mask'] == 1 and mended.hits['parsed'] == 0
    official, _ = judge(fenced('[[1, 2], [1, 2, 3]]'), '2D', 'general')
    assert 'the official code stops' in official.note


def test_quirk_4_a_repeated_first_point_leaves_the_way_out_of_the_means(judge):
    first = GOOD[1 : GOOD.index(')') + 1]
    official, mended = judge(GOOD.replace('[', f'[{first}, ', 1))
    assert 'DFD' not in official.errors and official.hits['overall'] == 1
    assert mended.errors['DFD'] < 1e-3


def test_quirk_6_answers_without_depth_are_left_out_of_some_rates(judge):
    official, mended = judge('[(500, 500), (880, 500)]')
    assert official.hits == {'overall': 0} and 'no depth' in official.note
    assert mended.hits[f'start {NEAR}'] == mended.hits['overall'] == mended.hits['parsed'] == 0
    assert judge(fenced('[]'), family='general')[0].hits == {'overall': 0}
    counted = judge('[[500, 500, 1.2]]', family='general')[0]  # no code block
    assert counted.hits[f'start {NEAR}'] == 0 and counted.hits['no collision'] == 1
    mixed = judge('[(500, 500, 1.2), (880, 500)]')[0]
    assert mixed.hits[f'start {NEAR}'] == 1 and mixed.hits[f'end {NEAR}'] == 0
    assert not any(k.startswith('DFD') for k in mixed.errors)


def test_quirk_7_the_true_start_counts_as_the_object(judge):
    entry = made.sample(trajectory=[[-0.4, 0, 1.2], [0, 0, 1.2], [0.4, 0, 1.2]])
    official, mended = judge(made.text_of(entry['trajectory']), entry=entry)
    assert official.hits[f'start {NEAR}'] == 1 and mended.hits[f'start {NEAR}'] == 0
    assert mended.errors['start distance (m)'] == pytest.approx(0.3, abs=0.02)


def test_quirk_8_only_written_points_meet_the_wall(judge):
    through = made.text_of([[0, 0, 1.2], [0.5, 0, 2.6], [0.4, 0, 1.2]])
    official, mended = judge(through)
    assert official.hits['no collision'] == official.hits['overall'] == 1
    assert mended.hits['no collision'] == mended.hits['overall'] == 0
    assert mended.errors['largest share that meets something'] > 0.9


def test_quirk_9_contact_in_the_destination_is_a_collision_officially(judge):
    entry = made.sample(bbox_center=[0.3, 0, 2.0])
    official, mended = judge(made.text_of([[0, 0, 1.2], [0.3, 0, 1.2], [0.3, 0, 2.0]]), entry=entry)
    assert official.hits['no collision'] == 0
    assert mended.hits['no collision'] == mended.hits['overall'] == 1


def test_quirk_10_another_size_of_the_mask_is_no_collision_officially(judge):
    small = made.pictures()['mask'][::2, ::2]
    stops = made.text_of([[0, 0, 1.2], [0.4, 0, 2.0], [0.4, 0, 1.2]])
    assert judge(stops)[0].hits['no collision'] == 0
    official, mended = judge(stops, mask=small)
    assert official.hits['no collision'] == 1 and mended.hits['no collision'] == 0


def test_quirk_11_a_mask_of_other_values_leaves_the_object_in_the_way(judge):
    ones = made.pictures()['mask'] // 255
    aside = made.text_of([[0.0, 0.0, 1.2], [0.01, 0, 1.2], [0.4, 0, 1.2]])
    official, mended = judge(aside, mask=ones)
    assert official.hits['no collision'] == 0 and mended.hits['no collision'] == 1


def test_a_mask_without_depth_scores_nothing_but_the_end(judge):
    depth = made.pictures()['gt_depth'].copy()
    depth[made.pictures()['mask'] > 0] = 0
    for outcome in judge(GOOD, gt_depth=depth):
        assert outcome.hits[f'start {NEAR}'] == outcome.hits['overall'] == 0
        assert outcome.hits[f'end {NEAR}'] == 1
    official, mended = judge(GOOD, gt_depth=depth)
    assert official.hits['no collision'] == 1 and mended.hits['no collision'] == 0


def test_unseen_space_is_free_or_occupied_as_asked(judge):
    depth = made.pictures()['gt_depth'].copy()
    depth[:, 100:] = 900  # something near on the right hides the destination
    entry = made.sample(bbox_center=[0.4, 0, 1.4])
    text = made.text_of([[0, 0, 1.2], [0, 0, 1.4], [0.35, 0, 1.4]])
    assert judge(text, entry=entry, gt_depth=depth)[1].hits['no collision'] == 1
    occupied = judge(text, entry=entry, gt_depth=depth, rules=Rules(unseen='occupied'))
    assert occupied[1].hits['no collision'] == 0 and occupied[0].hits['no collision'] == 1


def test_thresholds_are_strict_and_configurable(judge):
    entry = made.sample(bbox_center=[0.6, 0, 1.2])
    for limit, hit in ((0.149, 0), (0.151, 1)):
        name = f'end <{limit:.2f} m'
        official, mended = judge(GOOD, entry=entry, rules=Rules(threshold_m=limit))
        assert official.errors['end distance (m)'] == pytest.approx(0.15, abs=1e-6)
        assert official.hits[name] == mended.hits[name] == hit


def test_a_sample_without_destination_has_no_right_end(judge):
    for outcome in judge(GOOD, entry=made.sample(bbox_extent=None)):
        assert outcome.hits[f'end {NEAR}'] == outcome.hits['overall'] == 0


def test_without_pictures_nothing_is_said_that_needs_them(tmp_path):
    entry = made.sample(gt_depth_intrinsics=[[150.0, 0, 160], [0, 150.0, 120], [0, 0, 1]])
    data = load_dataset(made.write(tmp_path, [entry]))
    block = fenced('[[500, 500, 1.2], [800, 500, 1.2]]')
    texts = {'[[1, 2, 3]]': 3, fenced('[]'): 0, fenced('[[1, 2]]'): 0, block: 3}
    for text, official in texts.items():
        given = Answers(tmp_path / 'a.jsonl', (Answer(data.samples[0], text),))
        scored = score(given, '3D', 'general')
        names = {f'end {NEAR}', 'end in box, of 3D', f'start {NEAR} of the true start'}
        assert set(scored.official[0].hits) == (names if official else set()), text
        assert set(scored.mended[0].hits) == {*names, 'parsed', f'end {NEAR}, last point'}
        flat = score(given, '2D', 'general')
        assert set(flat.official[0].hits) == {'end in box'}


def test_quirk_1_null_is_no_empty_text(tmp_path):
    data = load_dataset(made.write(tmp_path, [made.sample()]))
    for null, hits in ((True, {'overall'}), (False, {'overall', f'start {NEAR}'})):
        given = Answers(tmp_path / 'a.jsonl', (Answer(data.samples[0], '', null),))
        found = score(given, '3D', 'general', data).official[0].hits
        assert hits <= set(found) and (f'start {NEAR}' in found) != null
    line = {'question_id': 0, 'model_prediction': None}
    assert load_answers(made.answers(tmp_path / 'n.jsonl', [line]), data).answers[0].null
