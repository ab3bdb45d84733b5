# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import threading

from hypothesis import given
from hypothesis import strategies as st

from robotracer_ros.nodes.sync import NewestMatch

MS = 1_000_000


def matcher(**options):
    return NewestMatch('color', ('depth', 'info'), slop_s=0.01, **options)


def stamps(found):
    return None if found is None else {k: v.stamp_ns // MS for k, v in found.items()}


def test_a_set_needs_every_input():
    m = matcher()
    m.add('color', 100 * MS, 'c')
    m.add('depth', 100 * MS, 'd')
    assert m.newest() is None
    m.add('info', 105 * MS, 'i')
    assert stamps(m.newest()) == {'color': 100, 'depth': 100, 'info': 105}
    assert m.matched == 1


def test_only_the_newest_set_is_kept_and_losses_are_counted():
    m = matcher()
    for t in (0, 33, 66):
        m.add('color', t * MS, t)
    m.add('info', 66 * MS, 66)
    m.add('depth', 66 * MS, 66)
    assert stamps(m.newest()) == {'color': 66, 'depth': 66, 'info': 66}
    assert m.unmatched['color'] == 2


def test_beyond_the_slop_nothing_matches():
    m = matcher()
    m.add('color', 0, 'c')
    m.add('info', 0, 'i')
    m.add('depth', 11 * MS, 'd')
    assert m.newest() is None
    assert round(m.nearest_gap_s('depth', 0), 6) == 0.011


def test_the_nearest_follower_is_taken():
    m = matcher()
    for t in (92, 99, 108):
        m.add('depth', t * MS, t)
    m.add('info', 100 * MS, 'i')
    m.add('color', 100 * MS, 'c')
    assert m.newest()['depth'].message == 99


def test_an_older_pair_matches_while_the_newer_waits():
    m = matcher()
    for name, t in (('color', 0), ('color', 33), ('info', 0), ('depth', 1)):
        m.add(name, t * MS, t)
    assert stamps(m.newest())['color'] == 0
    m.add('info', 33 * MS, 33)
    m.add('depth', 33 * MS, 33)
    assert stamps(m.newest())['color'] == 33


def test_a_latched_input_matches_at_any_distance():
    m = matcher(latched=('info',))
    m.add('info', 0, 'once')
    for t in (1000, 2000):
        m.add('color', t * MS, t)
        m.add('depth', t * MS, t)
    assert stamps(m.newest()) == {'color': 2000, 'depth': 2000, 'info': 0}


def test_the_queue_is_bounded():
    m = matcher(depth=4)
    for t in range(100):
        m.add('color', t * MS, t)
    assert m.unmatched['color'] == 96


def test_time_set_back_forgets_the_old_world():
    m = matcher()
    for name in ('color', 'depth', 'info'):
        m.add(name, 100_000 * MS, 'old')
    m.add('color', 0, 'new')
    assert m.newest() is None


def test_a_late_set_does_not_replace_a_newer_one():
    m = matcher()
    for t in (100, 50):
        for name in ('color', 'depth', 'info'):
            m.add(name, t * MS, t)
    assert stamps(m.newest())['color'] == 100
    assert m.unmatched['color'] == 1


def test_wait_from_returns_a_fresh_set_or_none():
    m = matcher()
    for name in ('color', 'depth', 'info'):
        m.add(name, 0, 'old')
    assert m.wait_from(50 * MS, 0.01) is None
    assert stamps(m.wait_from(0, 0.0))['color'] == 0

    def feed():
        for name in ('color', 'depth', 'info'):
            m.add(name, 60 * MS, 'new')
    threading.Timer(0.05, feed).start()
    assert m.wait_from(50 * MS, 10.0)['color'].message == 'new'


@given(st.lists(st.tuples(st.sampled_from(['color', 'depth', 'info']), st.integers(0, 300)),
                max_size=60))
def test_every_set_keeps_the_slop_and_never_goes_back(events):
    m, last = matcher(), -1
    for name, t in events:
        before = m.matched
        m.add(name, t * MS, t)
        if m.matched > before:
            found = stamps(m.newest())
            assert max(abs(found[k] - found['color']) for k in found) <= 10
            assert found['color'] >= last
            last = found['color']
