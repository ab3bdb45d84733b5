# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The whole-body controller follows what can be followed, and never does harm trying the rest.

Every motion here, also one that ends with an error, is judged by ``MotionCheck``, which shares no
code with the controller: limits, feet, balance, zero moment point, self-collision, scene.
"""

from dataclasses import replace

import numpy as np
import pytest

from robotracer_ros.control.wbc.check import MotionCheck
from robotracer_ros.control.wbc.config import HumanoidConfig
from robotracer_ros.control.wbc.controller import WholeBodyController
from robotracer_ros.control.wbc.failures import BalanceError, JointLimitError
from robotracer_ros.control.wbc.follow import FollowOptions, TraceFollower, follow
from robotracer_ros.control.wbc.path import hand_path
from robotracer_ros.control.wbc.separation import SceneBox
from robotracer_ros.errors import (
    CancelledError,
    InvalidParameterError,
    InvalidTraceError,
    LimitsViolatedError,
    NoJointStateError,
    PathInCollisionError,
    PlanningError,
    StartInCollisionError,
    UnreachableError,
)
from robotracer_ros.g1_description import JOINTS


def box(name, centre, half):
    pose = np.eye(4)
    pose[:3, 3] = centre
    return SceneBox(name, pose, np.array(half))



def quick(*names, of):
    """All cases, those not named marked slow."""
    return [pytest.param(n, marks=[] if n in names else [pytest.mark.slow]) for n in of]


TABLE = box('table', (0.66, 0.0, 0.68), (0.3, 0.6, 0.02))


@pytest.fixture(scope='module')
def config():
    return HumanoidConfig.load()


@pytest.fixture(scope='module')
def robot(config):
    return WholeBodyController(config)


@pytest.fixture(scope='module')
def home(robot, config):
    return robot.model.standing(config.home)


@pytest.fixture
def controller(robot, home):
    """At home in an empty scene, whatever the test before did."""
    robot.reset(home, ())
    return robot


def run(controller, home, trace, boxes=(), **options):
    """Follow a trace as far as it goes: configurations, the error that ended it or None, follower."""
    controller.reset(home, boxes)
    follower = TraceFollower(controller, trace, FollowOptions(**options))
    q, problem = [controller.q], None
    while not follower.done:
        try:
            tick = follower.step()
        except PlanningError as error:
            problem = error
            break
        assert tick.relaxed == 0
        q.append(controller.q)
        assert len(q) < 8000, 'never ends'
    return np.array(q), problem, follower


def harmless(controller, q, boxes=()):
    """Return the figures of a motion that violates nothing."""
    figures = MotionCheck(controller.config, boxes).figures(q, controller.period)
    assert figures.violations(controller.config) == []
    return figures


# -- what can be done ---------------------------------------------------------------------------


def test_a_trace_is_followed_within_a_millimetre(controller, home):
    trace = np.array([[0.30, -0.20, 0.90], [0.40, 0.00, 0.85], [0.35, -0.35, 0.95]])
    controller.reset(home, [TABLE])
    motion = follow(controller, trace, FollowOptions(hand='right'))
    assert motion.hand == 'right'
    assert motion.error_rms() < 0.001
    assert motion.error_rms(trace_only=False) < 0.001
    assert motion.reached[-1] == pytest.approx(trace[-1], abs=1e-3)
    # it passes by every point, corners rounded
    for point in trace:
        assert np.linalg.norm(motion.reached - point, axis=1).min() < 0.01
    assert motion.waypoints[0] == -1
    assert motion.waypoints[-1] == 2
    assert (np.diff(motion.waypoints) >= 0).all()
    speed = np.linalg.norm(np.diff(motion.reached, axis=0), axis=1) / motion.period_s
    assert speed.max() < 0.26
    assert np.abs(motion.v[-1]).max() == 0
    figures = harmless(controller, motion.q, [TABLE])
    # what the controller says of itself is what the check sees
    assert motion.separation_m == pytest.approx(figures.self_m, abs=5e-4)
    assert motion.balance_m == pytest.approx(figures.balance_m, abs=5e-4)
    assert motion.feet_error < 1e-3
    assert motion.relaxed == 0


def test_the_nearer_hand_is_chosen(controller, home):
    controller.reset(home)
    for side, y in (('left', 0.25), ('right', -0.25)):
        assert TraceFollower(controller, [[0.3, y, 0.9], [0.3, -y, 0.9]]).side == side


def test_both_hands_carry_one_thing(controller, home):
    controller.reset(home)
    left, right = (controller.hand(s) for s in ('left', 'right'))
    before = left.translation - right.translation
    trace = right.translation + np.array([[0.05, 0, 0.1], [0.10, -0.05, 0.2], [0.02, 0.05, 0.12]])
    q, problem, _ = run(controller, home, trace, hand='both')
    assert problem is None
    controller.model.update(controller.q)
    after = controller.hand('left').translation - controller.hand('right').translation
    assert after == pytest.approx(before, abs=2e-3)
    for side, pose in (('left', left), ('right', right)):
        assert controller.hand(side).rotation == pytest.approx(pose.rotation, abs=0.03)
    harmless(controller, q)


@pytest.mark.parametrize('policy', quick('level', of=('keep', 'level', 'free')))
def test_what_hands_do_with_their_orientation(controller, home, policy):
    trace = [[0.35, -0.25, 0.85], [0.35, 0.05, 1.0]]
    controller.reset(home)
    start = controller.hand('right').rotation.copy()
    q, problem, _ = run(controller, home, trace, hand='right', policy=policy)
    assert problem is None
    controller.model.update(controller.q)
    end = controller.hand('right').rotation
    turned = np.arccos(np.clip((np.trace(end @ start.T) - 1) / 2, -1, 1))
    tilt = np.arccos(np.clip(end[2, 2], -1, 1))
    if policy == 'keep':
        assert turned < 0.05
    else:
        assert turned > 0.2
    if policy == 'level':
        # a can in the grip stands upright
        assert tilt < 0.05
    harmless(controller, q)


def test_slow_joints_are_waited_for(config, home):
    """The target waits for a hand that is slower than the trace, and gives up only when it stops."""
    slow = WholeBodyController(replace(config, velocity=0.02 * config.velocity))
    trace = [[0.30, -0.25, 0.75], [0.32, -0.20, 0.80]]
    q, problem, follower = run(slow, home, trace, hand='right')
    assert problem is None
    fast = follower.path.length / follower.options.max_speed
    assert slow.period * len(q) > 2 * fast + 1
    slow.model.update(slow.q)
    assert slow.hand('right').translation == pytest.approx(trace[-1], abs=0.005)
    harmless(slow, q)


def test_solvers_agree(controller, config, home):
    other = WholeBodyController(replace(config, wbc=config.wbc.replaced({'solver': 'proxqp'})))
    for c in (controller, other):
        c.reset(home)
        c.track('left')
        target = c.hand('left').translation + np.array([0.1, -0.2, 0.1])
        for _ in range(150):
            c.aim('left', target)
            c.step()
    assert other.q == pytest.approx(controller.q, abs=2e-3)
    assert other.hand('left').translation == pytest.approx(controller.hand('left').translation,
                                                         abs=1e-4)


# -- what cannot ---------------------------------------------------------------------------------

#: traces that no hand can follow, scene, and the reasons that may be given
IMPOSSIBLE = {
    'one metre out of reach': ([[0.4, -0.2, 0.9], [1.6, -0.2, 0.9]], (), {'reach', 'balance'}),
    'far to the side': ([[0.3, -0.2, 0.9], [0.0, -1.6, 0.9]], (), {'reach', 'balance'}),
    'far behind': ([[0.3, -0.3, 0.8], [-1.6, 0.1, 0.9]], (), {'reach', 'balance'}),
    'above its head': ([[0.3, -0.2, 0.9], [0.3, -0.2, 2.4]], (), {'reach'}),
    'through a table': ([[0.25, -0.3, 0.85], [0.5, -0.2, 0.85], [0.5, -0.2, 0.6]], (TABLE,),
                        {'collision'}),
    'into a wall': ([[0.3, -0.2, 0.9], [0.7, -0.2, 0.9]],
                    (box('wall', (0.55, 0, 1.0), (0.05, 1.0, 0.5)),), {'collision'}),
}


@pytest.mark.parametrize('name', quick('one metre out of reach', 'through a table', of=IMPOSSIBLE))
def test_what_is_impossible_ends_with_its_reason_and_without_harm(controller, home, name):
    trace, boxes, reasons = IMPOSSIBLE[name]
    q, problem, _ = run(controller, home, trace, boxes, hand='right')
    assert isinstance(problem, PlanningError)
    assert problem.details['reason'] in reasons
    kind = {'reach': UnreachableError, 'balance': BalanceError, 'limit': JointLimitError,
            'collision': PathInCollisionError}[problem.details['reason']]
    assert type(problem) is kind
    assert problem.waypoint == len(trace) - 1
    assert problem.details['distance'] > 0.005
    assert 'right hand' in str(problem)
    harmless(controller, q, boxes)


#: traces that lead where the body is, or jump: the hand goes round what it can
HOSTILE = {
    'through the torso': [[0.3, -0.2, 0.85], [-0.01, 0.0, 1.0], [0.3, 0.2, 0.9]],
    'through the head': [[0.3, -0.2, 0.95], [0.0, 0.0, 1.2], [0.3, 0.2, 0.9]],
    'behind the back': [[0.3, -0.3, 0.8], [-0.6, 0.1, 0.9]],
    'through the legs': [[0.3, -0.2, 0.9], [0.0, -0.12, 0.45]],
    'jumping': [[0.3, -0.2, 0.9], [0.3, 0.4, 1.2], [0.35, -0.3, 0.8]],
    'on the ground': [[0.3, -0.2, 0.9], [0.4, -0.2, 0.02]],
}


@pytest.mark.parametrize('name', quick('through the torso', 'behind the back', 'jumping', of=HOSTILE))
def test_hostile_traces_do_no_harm(controller, home, name):
    q, problem, follower = run(controller, home, HOSTILE[name], hand='right')
    figures = harmless(controller, q)
    assert figures.self_m > 0.0145
    if problem is None:
        controller.model.update(controller.q)
        end = controller.hand('right').translation
        assert end == pytest.approx(HOSTILE[name][-1], abs=follower.options.tolerance_m)
    else:
        assert problem.details['reason'] in ('reach', 'balance', 'limit', 'collision')


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_numbers_that_are_none_are_refused_before_anything_moves(controller, home, bad):
    controller.reset(home)
    trace = np.array([[0.3, -0.2, 0.9], [0.3, bad, 0.9], [0.3, 0, 0.9]])
    with pytest.raises(InvalidTraceError, match='trace point 1 is not finite') as caught:
        follow(controller, trace)
    assert caught.value.waypoint == 1
    assert (controller.q == home).all()
    with pytest.raises(InvalidTraceError, match='right hand is'):
        controller.aim('right', [0.3, bad, 0.9])
    with pytest.raises(InvalidTraceError, match='shape'):
        follow(controller, [[0.3, 0.2, 0.9]])
    with pytest.raises(InvalidTraceError, match='must be at most 30 m'):
        follow(controller, [[0, 0, 0], [100, 0, 0]])


@pytest.mark.parametrize('seed', [0, pytest.param(1, marks=pytest.mark.slow),
                                  pytest.param(2, marks=pytest.mark.slow),
                                  pytest.param(3, marks=pytest.mark.slow)])
def test_targets_that_jump_about_do_no_harm(controller, home, seed):
    """Both hands, a new place every 0.3 s anywhere within 1.5 m, mostly out of reach or inside."""
    rng = np.random.default_rng(seed)
    boxes = (TABLE, box('post', (0.1, -0.55, 0.9), (0.03, 0.03, 0.9)))
    controller.reset(home, boxes)
    q, abrupt = [controller.q], 0
    for side in ('left', 'right'):
        controller.track(side, ('level', 'free')[seed % 2])
    for k in range(1500):
        if k % 75 == 0:
            for side in ('left', 'right'):
                place = rng.uniform((-0.8, -1.0, 0.0), (1.2, 1.0, 1.8))
                controller.aim(side, place, rng.uniform(-1, 1, 3) if k % 150 else (0, 0, 0))
        abrupt += controller.step().relaxed == 3
        q.append(controller.q)
    figures = MotionCheck(controller.config, boxes).figures(np.array(q), controller.period)
    # Margins hold throughout. Where the nearest points of two things jump at this speed, keeping them
    # may take a sudden stop.
    sudden = ('a joint acceleration', 'zero moment point')
    found = [v for v in figures.violations(controller.config) if not v.startswith(sudden)]
    assert found == []
    assert abrupt <= 5
    # it was driven to its limits, or the test shows nothing
    assert figures.self_m < 0.016
    assert figures.balance_m < 0.045


# -- starts -------------------------------------------------------------------------------------


def test_a_start_that_is_no_start_is_refused(controller, config, home):
    with pytest.raises(NoJointStateError, match='35 finite numbers'):
        controller.reset(np.where(np.arange(36) == 9, np.nan, home))
    with pytest.raises(NoJointStateError, match='shape'):
        controller.reset(home[:-1])
    bent = home.copy()
    bent[7 + JOINTS.index('left_elbow_joint')] = 2.3
    with pytest.raises(JointLimitError, match=r'left_elbow_joint is at 2\.3000 rad'):
        controller.reset(bent)
    leaning = dict(zip(JOINTS, config.home, strict=True))
    for side in ('left', 'right'):  # both ankles: the soles stay level, everything else leans
        leaning[f'{side}_hip_pitch_joint'] -= 0.45
        leaning[f'{side}_ankle_pitch_joint'] += 0.45
    with pytest.raises(BalanceError, match='inside the edge of the feet: must be at least 20'):
        controller.reset(controller.model.standing(leaning))
    with pytest.raises(StartInCollisionError, match='right_rubber_hand and box overlap by'):
        controller.reset(home, [box('box', (0.2, -0.23, 0.66), (0.05, 0.05, 0.05))])
    folded = dict(zip(JOINTS, config.home, strict=True)) | {'right_shoulder_roll_joint': 0.3}
    with pytest.raises(StartInCollisionError, match='torso_link and right_shoulder_yaw_link overlap'):
        controller.reset(controller.model.standing(folded))


def test_what_begins_too_close_may_leave_and_not_come_nearer(controller, config, home):
    hand = controller.model.standing(config.home)
    controller.reset(hand)
    start = controller.hand('right').translation
    shelf = box('shelf', (start[0], start[1] - 0.2, start[2]), (0.1, 0.1, 0.1))
    controller.reset(hand, [shelf])
    for _ in range(40):
        shelf = replace(shelf, pose=shelf.pose @ box('', (0, 0.002, 0), (1, 1, 1)).pose)
        try:
            controller.reset(hand, [shelf])
        except StartInCollisionError:
            break
        gap = controller._apart.nearest(controller.model)[0]
        if gap < 0.008:
            break
    assert 0 < gap < 0.008
    controller.track('right', 'free')
    gaps = []
    for k in range(300):
        controller.aim('right', start + ((0, -0.3, 0) if k < 150 else (0, 0.1, 0.05)))
        gaps.append(controller.step().scene_separation)
    assert min(gaps) > gap - 5e-4
    assert gaps[-1] > 0.03


def test_wrong_options_and_cancelling(controller, home):
    controller.reset(home)
    with pytest.raises(InvalidParameterError, match='must be left, right, nearer or both'):
        TraceFollower(controller, [[0.3, 0, 0.9], [0.3, 0.1, 0.9]], FollowOptions(hand='third'))
    with pytest.raises(InvalidParameterError, match='must be keep, level or free'):
        controller.track('left', 'upside down')
    with pytest.raises(InvalidParameterError, match="'max_speed' is nan: must be in"):
        FollowOptions(max_speed=float('nan'))
    with pytest.raises(CancelledError):
        follow(controller, [[0.3, -0.2, 0.9], [0.3, 0.1, 0.9]], cancelled=lambda: True)


# -- the judge ----------------------------------------------------------------------------------


def test_the_check_notices_every_kind_of_violation(controller, config, home):
    """A judge that finds nothing wrong with anything would make the tests above worthless."""
    check = MotionCheck(config, [TABLE])
    still = np.tile(home, (40, 1))
    assert check.figures(still, 0.004).violations(config) == []

    def seen(change, text, period=0.004):
        q = still.copy()
        change(q)
        figures = check.figures(q, period)
        assert any(text in v for v in figures.violations(config)), figures
        with pytest.raises(LimitsViolatedError, match=text):
            figures.require(config)

    t = np.linspace(0, 1, 40)[:, None]
    elbow, shoulder = (7 + JOINTS.index(f'left_{n}_joint') for n in ('elbow', 'shoulder_roll'))
    hips = [7 + JOINTS.index(f'{s}_hip_pitch_joint') for s in ('left', 'right')]
    seen(lambda q: q.__setitem__((slice(None), elbow), 2.2), 'outside of its range')
    seen(lambda q: q[:, [elbow]].__iadd__(0) is None or
         q.__setitem__((slice(None), [elbow]), q[:, [elbow]] + 0.6 * t**2), 'velocity exceeds')
    seen(lambda q: q.__setitem__((slice(20, None), elbow), q[20, elbow] + 0.002), 'acceleration')
    seen(lambda q: q.__setitem__((slice(20, None), 0), q[0, 0] + 0.002), 'a sole moved 2.00 mm')
    seen(lambda q: q.__setitem__((slice(None), shoulder), -0.3), 'self-distance')
    seen(lambda q: q.__setitem__((slice(None), 0), q[:, 0] + 0.2), 'distance to the scene')
    seen(lambda q: q.__setitem__((slice(None), hips), q[:, hips] - 1.2), 'centre of mass')
    seen(lambda q: q.__setitem__((slice(None), hips), q[:, hips] - 0.05 * t**2), 'zero moment point',
         period=0.002)


# -- the way ------------------------------------------------------------------------------------


def test_a_way_rounds_corners_and_keeps_its_ends():
    trace = np.array([[0, 0, 0], [0.3, 0, 0], [0.3, 0, 0], [0.3, 0.2, 0]])
    path = hand_path(trace, 0.25, 0.8, corner_m=0.02)
    assert path.points[0] == pytest.approx(trace[0], abs=1e-9)
    assert path.points[-1] == pytest.approx(trace[-1], abs=1e-9)
    gap = np.linalg.norm(path.points - trace[1], axis=1).min()
    assert 0.001 < gap < 0.01
    steps = np.linalg.norm(np.diff(path.points, axis=0), axis=1)
    assert steps == pytest.approx(0.002, abs=2e-4)
    assert path.speed.max() == pytest.approx(0.25)
    assert path.speed[[0, -1]] == pytest.approx(0)
    # neither along nor across the way more acceleration than allowed
    assert (np.abs(np.diff(path.speed**2)) / (2 * np.diff(path.along))).max() < 0.8 + 1e-6
    assert set(path.waypoint) == {0, 1, 3} or set(path.waypoint) == {0, 1, 2, 3}
    assert (np.diff(path.waypoint) >= 0).all()


def test_a_trace_without_length_holds_still(controller, home):
    controller.reset(home)
    place = controller.hand('right').translation
    motion = follow(controller, [place, place], FollowOptions(hand='right'))
    assert motion.reached[-1] == pytest.approx(place, abs=1e-3)
    assert motion.duration_s < 1.0
