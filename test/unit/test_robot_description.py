# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The compiled workcell description, as Pinocchio and MuJoCo read it."""

import re
from pathlib import Path

import mujoco
import numpy as np
import pinocchio as pin
import pytest

from robotracer_ros.errors import InvalidParameterError, MissingPackageError
from robotracer_ros.geometry.transforms import make_transform, rotation_about
from robotracer_ros.robot_description import (
    ARM_JOINTS,
    BASE_FRAME,
    GRIPPER_CONTACT_LINKS,
    GRIPPER_JOINT,
    GRIPPER_MIMIC_JOINT,
    MAX_OPENING,
    TCP_FRAME,
    TOOL_FRAME,
    disabled_pairs,
    load_urdf,
    mesh_dirs,
    package_folder,
    resolve_packages,
)

Q = np.array([0.3, -1.2, 1.5, -1.9, -1.4, 0.7])


@pytest.fixture(scope='module')
def model():
    return pin.buildModelFromXML(load_urdf())


def placement(model, frame, q, reference=None):
    data = model.createData()
    pin.framesForwardKinematics(model, data, q)
    world_from_frame = data.oMf[model.getFrameId(frame)]
    if reference is None:
        return world_from_frame.homogeneous
    return (data.oMf[model.getFrameId(reference)].inverse() * world_from_frame).homogeneous


def test_joints_and_limits(model):
    assert tuple(model.names)[1:] == (*ARM_JOINTS, GRIPPER_JOINT, GRIPPER_MIMIC_JOINT)
    i = model.joints[model.getJointId(GRIPPER_JOINT)].idx_q
    assert model.lowerPositionLimit[i] == 0
    assert 2 * model.upperPositionLimit[i] == pytest.approx(MAX_OPENING)


def test_base_link_is_the_world_and_base_is_turned(model):
    q = pin.neutral(model)
    assert placement(model, BASE_FRAME, q) == pytest.approx(np.eye(4), abs=1e-9)
    assert placement(model, 'base', q) == pytest.approx(np.diag([-1, -1, 1, 1]), abs=1e-9)


def published_ur5(q):
    """Return base_from_tool0 by the Denavit-Hartenberg table that UR publishes for the UR5."""
    a, d = (0, -0.425, -0.39225, 0, 0, 0), (0.089159, 0, 0, 0.10915, 0.09465, 0.0823)
    pose = np.eye(4)
    for angle, along, up, turn in zip(q, a, d, np.pi / 2 * np.array([1, 0, 0, 1, -1, 0]),
                                      strict=True):
        pose = pose @ make_transform(rotation_about([0, 0, 1], angle), (0, 0, up))
        pose = pose @ make_transform(rotation_about([1, 0, 0], turn), (along, 0, 0))
    return pose


def test_forward_kinematics_agrees_with_the_published_table(model):
    q = np.concatenate([Q, [0.02, 0.02]])
    assert placement(model, TOOL_FRAME, q, 'base') == pytest.approx(
        published_ur5(Q), abs=1e-6)


def test_tcp_lies_between_the_pads(model):
    for half in (0.0, 0.02, 0.05):
        q = np.concatenate([Q, [half, half]])
        left = placement(model, 'gripper_left_pad_link', q, TCP_FRAME)
        right = placement(model, 'gripper_right_pad_link', q, TCP_FRAME)
        assert left == pytest.approx(make_transform(translation=(0, half, 0)), abs=1e-9)
        assert right == pytest.approx(make_transform(translation=(0, -half, 0)), abs=1e-9)
    tool = placement(model, TCP_FRAME, q, TOOL_FRAME)
    assert tool[:3, :3] == pytest.approx(np.eye(3), abs=1e-9)
    assert tool[2, 3] > 0.1


def test_mujoco_reads_the_same_kinematics(model):
    spec = mujoco.MjSpec.from_string(load_urdf())
    spec.compiler.fusestatic = False
    m = spec.compile()
    d = mujoco.MjData(m)
    q = np.concatenate([Q, [0.03, 0.03]])
    for name, value in zip((*ARM_JOINTS, GRIPPER_JOINT, GRIPPER_MIMIC_JOINT), q, strict=True):
        d.joint(name).qpos = value
    mujoco.mj_kinematics(m, d)
    for frame in (TCP_FRAME, 'gripper_left_pad_link', 'forearm_link'):
        expected = placement(model, frame, q)
        assert d.body(frame).xpos == pytest.approx(expected[:3, 3], abs=1e-9)
        assert d.body(frame).xmat.reshape(3, 3) == pytest.approx(expected[:3, :3], abs=1e-9)


def test_inertias_are_physical(model):
    for inertia in model.inertias[1:]:
        assert inertia.mass > 0
        moments = np.linalg.eigvalsh(inertia.inertia)
        assert moments[0] > 0
        assert moments[0] + moments[1] >= moments[2] * (1 - 1e-6)


def test_resolved_paths_exist_and_unresolved_ones_are_found(model):
    resolved = load_urdf()
    assert 'package://' not in resolved
    files = re.findall(r'filename="(/[^"]+)"', resolved)
    assert len(files) == 14
    assert all(Path(f).is_file() for f in files)
    raw = load_urdf(resolve=False)
    assert raw.count('package://') == 14
    geometry = pin.GeometryModel()
    pin.buildGeomFromUrdfString(model, raw, pin.COLLISION, geometry, mesh_dirs())
    assert geometry.ngeoms == 14


def test_disabled_pairs_name_links_of_the_urdf():
    links = set(re.findall(r'<link name="([^"]+)"', load_urdf()))
    only_in_ur_description = {'base_link_inertia'}
    for pair in disabled_pairs():
        assert set(pair) <= links | only_in_ur_description
    assert set(GRIPPER_CONTACT_LINKS) <= links


def test_missing_packages_and_unknown_sources_are_named():
    with pytest.raises(MissingPackageError, match='no_such_robot'):
        package_folder('no_such_robot')
    with pytest.raises(MissingPackageError, match='no_such_robot'):
        resolve_packages('<mesh filename="package://no_such_robot/a.stl"/>')
    with pytest.raises(InvalidParameterError, match='ur11'):
        load_urdf('ur11')  # type: ignore[arg-type]
