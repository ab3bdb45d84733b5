# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import threading

import numpy as np
import pytest

from robotracer_ros.errors import InvalidParameterError, NoTransformError, StaleTransformError
from robotracer_ros.geometry.transforms import (
    invert,
    make_transform,
    matrix_to_quaternion,
    rotation_about,
)
from robotracer_ros.nodes.transforms import TransformTree, format_extrinsic, parse_extrinsics

S = 1_000_000_000
NO_TURN = (0.0, 0.0, 0.0, 1.0)


def tree_with_arm(**options):
    tree = TransformTree(**options)
    quarter = rotation_about((0, 0, 1), np.pi / 2)
    tree.set_static('base', 'camera', make_transform(quarter, (1, 0, 0)))
    for k in range(5):
        tree.add('base', 'tool', k * S // 10, (0.1 * k, 0, 0),
                 matrix_to_quaternion(rotation_about((0, 0, 1), 0.2 * k)))
    return tree


def test_static_chain_both_ways():
    tree = tree_with_arm()
    camera = tree.lookup('base', 'camera', 0)
    np.testing.assert_allclose(camera[:3, 3], (1, 0, 0))
    np.testing.assert_allclose(tree.lookup('camera', 'base', 123), invert(camera), atol=1e-12)
    np.testing.assert_array_equal(tree.lookup('anything', 'anything', 0), np.eye(4))


def test_a_leading_slash_names_the_same_frame():
    tree = tree_with_arm()
    np.testing.assert_array_equal(tree.lookup('/base', '/camera', 0),
                                  tree.lookup('base', 'camera', 0))


def test_interpolates_translation_and_rotation_between_samples():
    tool = tree_with_arm().lookup('base', 'tool', 250_000_000)
    np.testing.assert_allclose(tool[:3, 3], (0.25, 0, 0), atol=1e-12)
    np.testing.assert_allclose(tool[:3, :3], rotation_about((0, 0, 1), 0.5), atol=1e-9)


def test_rotation_takes_the_short_way_when_the_quaternion_sign_flips():
    tree = TransformTree()
    tree.add('a', 'b', 0, (0, 0, 0), matrix_to_quaternion(rotation_about((1, 0, 0), 0.2)))
    tree.add('a', 'b', S, (0, 0, 0), -matrix_to_quaternion(rotation_about((1, 0, 0), 0.6)))
    np.testing.assert_allclose(tree.lookup('a', 'b', S // 2)[:3, :3],
                               rotation_about((1, 0, 0), 0.4), atol=1e-9)


def test_across_two_moving_branches():
    tree = tree_with_arm()
    got = tree.lookup('camera', 'tool', 400_000_000)
    want = invert(tree.lookup('base', 'camera', 0)) @ tree.lookup('base', 'tool', 400_000_000)
    np.testing.assert_allclose(got, want, atol=1e-12)


def test_unknown_frame_is_named_with_the_known_ones_and_the_hint():
    tree = tree_with_arm()
    tree.hint = 'Install tf2_msgs'
    with pytest.raises(NoTransformError, match=r"'world' unknown; known frames: base, camera, tool"
                       r'. Install tf2_msgs'):
        tree.lookup('world', 'camera', 0)


def test_unconnected_trees_are_told_apart():
    tree = tree_with_arm()
    tree.set_static('map', 'table', np.eye(4))
    with pytest.raises(NoTransformError, match="'table' hangs under 'map', 'tool' under 'base'"):
        tree.lookup('table', 'tool', 0)


@pytest.mark.parametrize(('stamp', 'text'), [
    (2 * S, r'known up to 0.400 s only, 1.600 s earlier'),
    (-S, r'known from 0.000 s on only, 1.000 s later'),
])
def test_outside_the_history_is_stale_never_the_latest(stamp, text):
    with pytest.raises(StaleTransformError, match=text):
        tree_with_arm().lookup('base', 'tool', stamp)


def test_only_none_asks_for_the_latest():
    np.testing.assert_allclose(tree_with_arm().lookup('base', 'tool', None)[:3, 3], (0.4, 0, 0))


def test_extrapolation_needs_an_option_and_has_a_limit():
    tree = tree_with_arm(max_extrapolation_s=0.1)
    np.testing.assert_allclose(tree.lookup('base', 'tool', 450_000_000)[:3, 3], (0.4, 0, 0))
    with pytest.raises(StaleTransformError, match=r'limit 0\.100 s'):
        tree.lookup('base', 'tool', 600_000_000)


def test_a_long_gap_is_not_interpolated():
    tree = TransformTree(max_gap_s=0.5)
    tree.add('a', 'b', 0, (0, 0, 0), NO_TURN)
    tree.add('a', 'b', S, (1, 0, 0), NO_TURN)
    with pytest.raises(StaleTransformError, match=r'gap of 1\.000 s'):
        tree.lookup('a', 'b', S // 2)
    np.testing.assert_allclose(tree.lookup('a', 'b', S)[:3, 3], (1, 0, 0))


def test_samples_may_arrive_out_of_order_and_old_ones_leave():
    tree = TransformTree(cache_s=1.0, max_gap_s=10.0)
    for t in (0, 2 * S, S):
        tree.add('a', 'b', t, (t / S, 0, 0), NO_TURN)
    np.testing.assert_allclose(tree.lookup('a', 'b', 3 * S // 2)[0, 3], 1.5)
    with pytest.raises(StaleTransformError, match=r'from 1\.000 s on'):
        tree.lookup('a', 'b', S // 2)


def test_time_set_back_forgets_the_future():
    tree = TransformTree(cache_s=1.0)
    tree.add('a', 'b', 100 * S, (1, 0, 0), NO_TURN)
    tree.add('a', 'b', 0, (2, 0, 0), NO_TURN)
    np.testing.assert_allclose(tree.lookup('a', 'b', None)[0, 3], 2)


def test_waits_for_a_sample_that_is_still_to_come():
    tree = tree_with_arm()
    threading.Timer(0.05, tree.add, ('base', 'tool', S // 2, (0.5, 0, 0), NO_TURN)).start()
    tool = tree.lookup('base', 'tool', S // 2, timeout_s=10.0)
    np.testing.assert_allclose(tool[0, 3], 0.5)


def test_the_wait_ends():
    with pytest.raises(NoTransformError):
        TransformTree().lookup('a', 'b', 0, timeout_s=0.02)


@pytest.mark.parametrize('frames', [('a', 'a'), ('', 'a'), ('a', ''), ('/a', 'a')])
def test_bad_names_are_refused(frames):
    with pytest.raises(ValueError, match='two different names'):
        TransformTree().set_static(*frames, np.eye(4))


def test_a_loop_is_refused():
    tree = TransformTree()
    tree.set_static('a', 'b', np.eye(4))
    tree.set_static('b', 'c', np.eye(4))
    with pytest.raises(ValueError, match='loop'):
        tree.set_static('c', 'a', np.eye(4))


@pytest.mark.parametrize(('t', 'q'), [((np.nan, 0, 0), NO_TURN), ((0, 0, 0), (0, 0, 0, 0))])
def test_unusable_numbers_are_refused(t, q):
    with pytest.raises(ValueError, match='not usable'):
        TransformTree().add('a', 'b', 0, t, q)


def test_extrinsics_round_trip():
    pose = make_transform(rotation_about((1, 2, 3), 0.7), (0.1, -0.2, 0.3))
    (parent, child, read), = parse_extrinsics(['', format_extrinsic('world', 'cam', pose)])
    assert (parent, child) == ('world', 'cam')
    np.testing.assert_allclose(read, pose, atol=1e-8)


@pytest.mark.parametrize('line', ['a b', 'a a 0 0 0 0 0 0 1', 'a b 0 0 0 0 0 0 0',
                                  'a b 0 0 0 0 0 0', 'a b x 0 0 0 0 0 1', 'a b nan 0 0 0 0 0 1'])
def test_bad_extrinsics_quote_the_line(line):
    with pytest.raises(InvalidParameterError, match=f"extrinsic '{line}'"):
        parse_extrinsics([line])
