# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Closed-form kinematics of the UR family, against Pinocchio and against itself."""

import numpy as np
import pinocchio as pin
import pytest

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.geometry.transforms import make_transform
from robotracer_ros.planning.ur_kinematics import BRANCHES, UrKinematics
from robotracer_ros.robot_description import ARM_JOINTS, TOOL_FRAME, load_urdf

TURN = 2 * np.pi
GENERIC = np.array([0.4, -1.3, 1.1, -0.9, 1.2, 0.7])


@pytest.fixture(scope='module')
def model():
    return pin.buildModelFromXML(load_urdf())


@pytest.fixture(scope='module')
def ur(model):
    return UrKinematics.from_model(model, ARM_JOINTS, 'base', TOOL_FRAME)


@pytest.fixture(scope='module')
def some():
    """Random configurations (500, 6)."""
    return np.random.default_rng(3).uniform(-np.pi, np.pi, (500, 6))


def pinocchio_pose(model, q):
    """Return base_from_tool0 (4, 4) as Pinocchio has it."""
    data, full = model.createData(), pin.neutral(model)
    full[:6] = q
    pin.framesForwardKinematics(model, data, full)
    base, tool = (data.oMf[model.getFrameId(f)] for f in ('base', TOOL_FRAME))
    return (base.inverse() * tool).homogeneous


def away(a, b):
    """Return the largest joint difference (...) in the nearest turn."""
    d = np.asarray(a) - b
    return np.abs(d - TURN * np.round(d / TURN)).max(axis=-1)


def existing(solutions):
    """Drop the rows (.., 6) of branches that do not exist."""
    return solutions[np.isfinite(solutions).all(axis=-1)]


def test_lengths_are_those_of_the_ur5(ur):
    lengths = (ur.d1, ur.a2, ur.a3, ur.d4, ur.d5)
    np.testing.assert_allclose(lengths, (0.089159, -0.425, -0.39225, 0.10915, 0.09465), atol=1e-9)
    assert ur.dh6_from_tool[2, 3] == pytest.approx(0.0823)
    np.testing.assert_allclose(ur.offset, 0, atol=1e-9)


def test_forward_is_pinocchios(model, ur, some):
    poses = ur.forward(some)
    for q, pose in zip(some[:100], poses, strict=False):
        np.testing.assert_allclose(pose, pinocchio_pose(model, q), atol=1e-9)


def test_every_branch_reaches_the_pose(model, ur, some):
    poses = np.array([pinocchio_pose(model, q) for q in some])
    found = ur.inverse(poses)
    assert found.shape == (500, 8, 6)
    exists = np.isfinite(found).all(axis=-1)
    assert (exists == np.isfinite(found).any(axis=-1)).all()
    assert np.abs(found[exists]).max() <= np.pi + 1e-12
    for i, row in zip(*np.nonzero(exists), strict=True):
        np.testing.assert_allclose(pinocchio_pose(model, found[i, row]), poses[i], atol=1e-9)


def test_the_original_is_among_the_branches_under_its_name(ur, some):
    found = ur.inverse(ur.forward(some))
    for q, solutions in zip(some, found, strict=True):
        assert away(solutions[BRANCHES.index(ur.branch(q))], q) < 1e-8
        for name, solution in zip(BRANCHES, solutions, strict=True):
            assert np.isnan(solution).all() or ur.branch(solution) == name


def test_elbows_come_in_pairs_and_are_different(ur, some):
    found = ur.inverse(ur.forward(some))
    exists = np.isfinite(found[..., 0]).reshape(-1, 2, 2, 2)
    assert (exists[:, :, 0] == exists[:, :, 1]).all()
    assert set(exists.sum(axis=(1, 2, 3)).tolist()) == {2, 4, 6, 8}
    for solutions in map(existing, found):
        apart = away(solutions[:, None], solutions[None]) + 9 * np.eye(len(solutions))
        assert apart.min() > 1e-6


def test_eight_in_the_middle_of_the_workspace(ur):
    pose = make_transform(np.diag([1.0, -1.0, -1.0]), (-0.4, 0.1, 0.3))
    assert len(existing(ur.inverse(pose[None])[0])) == 8


@pytest.mark.parametrize('where', [(3.0, 0, 0), (0, 0, 2.0), (0.02, 0.0, 0.3), (0.0, 0.0, 0.0)])
def test_out_of_reach_has_no_branch(ur, where):
    """Too far, too high, and within the cylinder about the first axis that the wrist cannot enter."""
    pose = make_transform(np.diag([1.0, -1.0, -1.0]), where)
    assert np.isnan(ur.inverse(pose[None])).all()


def test_nan_in_nan_out(ur):
    assert np.isnan(ur.inverse(np.full((2, 4, 4), np.nan))).all()
    assert ur.inverse(np.empty((0, 4, 4))).shape == (0, 8, 6)


@pytest.mark.parametrize('fifth', [0.0, np.pi, 1e-16, 1e-12, 1e-9, 1e-6])
def test_aligned_wrist_is_finite_and_keeps_the_last_joint(ur, fifth):
    q = GENERIC.copy()
    q[4] = fifth
    pose = ur.forward(q)
    solutions = existing(ur.inverse(pose[None], q[5])[0])
    assert len(solutions) and away(solutions, q).min() < 1e-5
    np.testing.assert_allclose(ur.forward(solutions), np.tile(pose, (len(solutions), 1, 1)), atol=1e-9)
    assert ur.aligned(q) == (abs(np.sin(fifth)) < 1e-10)
    if ur.aligned(q):
        other = existing(ur.inverse(pose[None], 0.3)[0])
        assert (np.abs(other[:, 5] - 0.3) < 1e-12).any()
        np.testing.assert_allclose(ur.forward(other), np.tile(pose, (len(other), 1, 1)), atol=1e-9)


@pytest.mark.parametrize('bend', [0.0, 1e-15, 1e-9, 1e-7, np.pi])
def test_stretched_and_folded_elbow_is_finite(ur, bend):
    rng = np.random.default_rng(5)
    for q in rng.uniform(-2, 2, (50, 6)):
        q[2] = bend
        pose = ur.forward(q)
        solutions = existing(ur.inverse(pose[None])[0])
        assert len(solutions) and away(solutions, q).min() < 1e-5
        np.testing.assert_allclose(
            ur.forward(solutions), np.tile(pose, (len(solutions), 1, 1)), atol=1e-9)


def test_wrist_at_the_shoulders_cylinder_is_finite(ur):
    """With the wrist at the distance d4 of the first axis both shoulders coincide."""
    for q in np.random.default_rng(6).uniform(-2, 2, (50, 6)):
        # Solve a2 c2 + a3 c23 + d5 s234 = 0 for the sum s234 where it can be.
        s = -(ur.a2 * np.cos(q[1]) + ur.a3 * np.cos(q[1] + q[2])) / ur.d5
        if abs(s) > 1:
            q[1] = np.pi / 2
            q[2], s = 0.0, 0.0
        q[3] = np.arcsin(s) - q[1] - q[2]
        pose = ur.forward(q)
        solutions = existing(ur.inverse(pose[None], q[5])[0])
        assert len(solutions) and away(solutions, q).min() < 1e-4
        np.testing.assert_allclose(
            ur.forward(solutions), np.tile(pose, (len(solutions), 1, 1)), atol=1e-9)


def test_all_at_once_is_one_by_one(ur, some):
    poses = ur.forward(some)
    last = some[:, 5]
    together = ur.inverse(poses, last)
    for i in range(0, 500, 7):
        np.testing.assert_allclose(ur.inverse(poses[i : i + 1], last[i])[0], together[i], atol=1e-12)


def test_joint_zeros_and_base_may_be_anywhere(model, some):
    """The offsets are derived: another base frame and turned joint zeros change no pose."""
    turned = pin.buildModelFromXML(load_urdf())
    for i, angle in enumerate((0.3, -0.2, 0.5, 1.0, -0.7, 0.4), start=1):
        turned.jointPlacements[i] = turned.jointPlacements[i] * pin.SE3(
            pin.AngleAxis(angle, np.array([0.0, 0, 1]) if i in (1, 5) else np.array([0.0, 1, 0])
                          ).matrix(), np.zeros(3))
    ur = UrKinematics.from_model(turned, ARM_JOINTS, 'base_link', TOOL_FRAME)
    assert np.abs(ur.offset[1:5]).min() > 0.1
    poses = ur.forward(some[:50])
    for q, solutions in zip(some, ur.inverse(poses), strict=False):
        assert away(existing(solutions), q).min() < 1e-8


def test_what_is_no_ur_is_refused(model):
    bent = pin.buildModelFromXML(load_urdf())
    bent.jointPlacements[3] = bent.jointPlacements[3] * pin.SE3(
        pin.AngleAxis(0.01, np.array([1.0, 0, 0])).matrix(), np.zeros(3))
    with pytest.raises(InvalidParameterError, match='axes 2 and 3 are not parallel'):
        UrKinematics.from_model(bent, ARM_JOINTS, 'base', TOOL_FRAME)
    shifted = pin.buildModelFromXML(load_urdf())
    shifted.jointPlacements[6] = shifted.jointPlacements[6] * pin.SE3(
        np.eye(3), np.array([0.01, 0, 0]))
    with pytest.raises(InvalidParameterError, match=r'axes 5 and 6 pass each other at 0\.01'):
        UrKinematics.from_model(shifted, ARM_JOINTS, 'base', TOOL_FRAME)
    with pytest.raises(InvalidParameterError, match='5 joints'):
        UrKinematics.from_model(model, ARM_JOINTS[:5], 'base', TOOL_FRAME)
    with pytest.raises(InvalidParameterError, match='no_frame'):
        UrKinematics.from_model(model, ARM_JOINTS, 'no_frame', TOOL_FRAME)
    with pytest.raises(InvalidParameterError, match='forearm_link'):
        UrKinematics.from_model(model, ARM_JOINTS, 'base', 'forearm_link')


def test_models_are_told_apart(ur):
    ur.demand_model('ur5')
    with pytest.raises(InvalidParameterError, match='ur10e'):
        ur.demand_model('ur10e')
    with pytest.raises(InvalidParameterError, match='ur99'):
        ur.demand_model('ur99')
