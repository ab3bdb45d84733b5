# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The G1's model: joints, frames, proxies that hold the meshes, limits, and errors that say what is wrong."""

import copy
import xml.etree.ElementTree as ET

import numpy as np
import pinocchio as pin
import pytest
import trimesh
import yaml

from robotracer_ros import g1_description as g1
from robotracer_ros.control.wbc.config import HumanoidConfig
from robotracer_ros.control.wbc.model import HumanoidModel
from robotracer_ros.errors import InvalidParameterError, MissingPackageError
from robotracer_ros.resources import resource

#: how far a mesh may stick out of its proxies, metres
TOLERANCE = 0.0005


@pytest.fixture(scope='module')
def model():
    return HumanoidModel()


@pytest.fixture(scope='module')
def config():
    return HumanoidConfig.load()


def parts_file():
    return yaml.safe_load(resource('urdf/g1_parts.yaml').read_text(encoding='utf-8'))


def config_file():
    return yaml.safe_load(resource('config/g1.yaml').read_text(encoding='utf-8'))


def test_twenty_nine_joints_and_a_floating_base(model):
    assert (model.nq, model.nv) == (36, 35)
    assert model.joints == g1.JOINTS
    assert len(set(g1.JOINTS)) == 29
    assert model.mass == pytest.approx(33.34, abs=0.01)


def test_the_urdf_collides_with_its_feet_alone():
    """Everything else collides as capsules, which URDF cannot say."""
    shapes = [(link.attrib['name'], c.find('geometry')[0].tag)
              for link in ET.fromstring(g1.load_urdf()).iter('link') for c in link.iter('collision')]
    assert shapes == [(f'{side}_ankle_roll_link', 'sphere') for side in g1.SIDES for _ in range(4)]


def test_contacts_are_the_spheres_under_the_feet(model, config):
    """The balance constraint and physics must mean the same points."""
    geometry = pin.buildGeomFromUrdfString(model.model, g1.load_urdf(), pin.GeometryType.COLLISION)
    q = model.standing(config.home)
    data = geometry.createData()
    pin.updateGeometryPlacements(model.model, model.model.createData(), geometry, data, q)
    spheres = np.array([m.translation - (0, 0, o.geometry.radius)
                        for m, o in zip(data.oMg, geometry.geometryObjects, strict=True)])
    points = model.contact_points()
    assert np.abs(points[:, 2]).max() < 1e-6
    for sphere in spheres:
        assert np.linalg.norm(points - sphere, axis=1).min() < 1e-6


@pytest.mark.parametrize('side', g1.SIDES)
def test_sides_mirror_each_other(model, config, side):
    model.standing(config.home)
    sign = 1 if side == 'left' else -1
    hand = model.placement(model.frame(g1.HAND_FRAMES[side]))
    other = model.placement(model.frame(g1.HAND_FRAMES['left' if side == 'right' else 'right']))
    assert sign * hand.translation[1] > 0.1
    assert hand.translation == pytest.approx(other.translation * (1, -1, 1), abs=1e-3)
    # x away from the wrist, z towards the thumb: forwards and up with the forearms in front
    assert hand.rotation[0, 0] > 0.5
    assert hand.rotation[2, 2] > 0.5


def test_frames_follow_the_ros_conventions(model, config):
    model.standing(config.home)
    base = model.placement(model.frame(g1.BASE_FRAME))
    assert base.rotation == pytest.approx(np.eye(3), abs=1e-9)
    assert 0.7 < base.translation[2] < 0.8
    camera = model.placement(model.frame(g1.CAMERA_FRAME))
    optical = model.placement(model.frame(g1.OPTICAL_FRAME))
    assert optical.translation == pytest.approx(camera.translation)
    # REP-103: an optical frame looks along z with x to the right; the camera looks along x
    assert optical.rotation[:, 2] == pytest.approx(camera.rotation[:, 0], abs=1e-6)
    assert optical.rotation[:, 0] == pytest.approx(-camera.rotation[:, 1], abs=1e-6)
    # the head looks down onto a table before the robot
    assert optical.rotation[2, 2] == pytest.approx(-np.sin(0.8307767), abs=1e-6)
    assert 1.1 < camera.translation[2] < 1.3
    for frame in g1.SOLE_FRAMES.values():
        sole = model.placement(model.frame(frame))
        assert sole.rotation == pytest.approx(np.eye(3), abs=2e-3)
        assert abs(sole.translation[2]) < 1e-9


@pytest.fixture(scope='module')
def surfaces(model):
    """Points on the visual meshes by link, in its frame: vertices and samples between them.

    Meshes of links on fixed joints count to the link that carries them when it alone has capsules.
    """
    geometry = pin.buildGeomFromUrdfString(model.model, g1.load_urdf(), pin.GeometryType.VISUAL)
    frames = model.model.frames
    covered = set(model.capsule_link)
    found = {}
    for o in geometry.geometryObjects:
        frame = frames[o.parentFrame]
        link = frame.name
        if link not in covered:
            link = next(name for name in ('pelvis', 'torso_link') if
                        frames[model.frame(name)].parentJoint == frame.parentJoint)
        pose = frames[model.frame(link)].placement.inverse() * o.placement
        mesh = trimesh.load(o.meshPath)
        points = np.concatenate([mesh.vertices, trimesh.sample.sample_surface(mesh, 4000, seed=1)[0]])
        found.setdefault(link, []).append(points @ pose.rotation.T + pose.translation)
    assert sum(map(len, found.values())) == 35
    return {link: np.concatenate(points) for link, points in found.items()}


def outside(points, capsules):
    """Largest distance of a point to the union of capsules, negative inside."""
    gaps = []
    for c in capsules:
        axis = c.end - c.start
        t = np.clip((points - c.start) @ axis / max(axis @ axis, 1e-12), 0, 1)
        gaps.append(np.linalg.norm(points - c.start - t[:, None] * axis, axis=1) - c.radius)
    return float(np.min(gaps, axis=0).max())


def test_proxies_contain_the_meshes_of_all_links(model, surfaces):
    assert set(surfaces) == set(model.capsule_link)
    for link, points in surfaces.items():
        gap = outside(points, [c for c in model.parts.capsules if c.link == link])
        assert gap < TOLERANCE, link
        # and no proxy is much larger than it has to be
        assert gap > -0.002, link


def test_a_proxy_that_is_too_small_is_noticed(model, surfaces):
    capsule = next(c for c in model.parts.capsules if c.link == 'left_elbow_link')
    small = g1.Capsule('small', capsule.link, capsule.start, capsule.end, capsule.radius - 0.002)
    assert outside(surfaces['left_elbow_link'], [small]) > TOLERANCE


def test_neighbours_are_no_pairs_and_hands_meet_everything(model):
    pairs = {frozenset((model.capsule_link[i], model.capsule_link[j]))
             for i, j in model.parts.capsule_pairs()}
    assert frozenset(('left_rubber_hand', 'right_rubber_hand')) in pairs
    for link in ('torso_link', 'head_link', 'pelvis', 'right_elbow_link', 'left_hip_yaw_link'):
        assert frozenset(('left_rubber_hand', link)) in pairs
    assert frozenset(('left_elbow_link', 'left_wrist_roll_link')) not in pairs
    assert len(model.parts.capsule_pairs()) >= 16


def test_limits_are_sane(model, config):
    lower, upper = config.position_limits(model)
    assert (upper - lower > 0.4).all()
    # far below what the vendor's URDF allows, which no standing robot wants
    assert (config.velocity <= 0.2 * model.model.velocityLimit[6:]).all()
    assert (config.acceleration >= 1.5 * config.wbc.barrier_gain * config.velocity).all()
    home = dict(zip(g1.JOINTS, config.home, strict=True))
    assert home['left_shoulder_roll_joint'] == -home['right_shoulder_roll_joint'] > 0
    assert home['left_elbow_joint'] == home['right_elbow_joint']


def test_home_stands_in_balance(model, config):
    model.standing(config.home)
    points = model.contact_points()
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    assert (model.com[:2] - low > 0.05).all()
    assert (high - model.com[:2] > 0.05).all()


def test_a_posture_on_tiptoe_is_refused(model, config):
    tilted = {'left_ankle_pitch_joint': 0.3}
    with pytest.raises(InvalidParameterError, match=r'soles are 0\.29'):
        model.standing(tilted)


@pytest.mark.parametrize(('change', 'text'), [
    (lambda d: d['capsules']['pelvis'][0].__setitem__(6, -0.1), 'pelvis/0 .* radius > 0'),
    (lambda d: d['capsules']['pelvis'][0].__setitem__(0, float('nan')), 'pelvis/0 .* finite'),
    (lambda d: d['groups'].__setitem__('torso', ['chest']), "link 'chest' of group 'torso'"),
    (lambda d: d['pairs'].append(['torso', 'wings']), "names group 'wings'; known: "),
    (lambda d: d['contacts'].pop(), 'contacts have shape'),
    (lambda d: d.pop('frames'), "malformed: KeyError\\('frames'\\)"),
    (lambda d: d['frames']['base_link'].__setitem__('xyz', [0, 0]), 'malformed: ValueError'),
])
def test_wrong_parts_are_named(change, text):
    data = parts_file()
    change(data)
    with pytest.raises(InvalidParameterError, match=text):
        g1.parse_parts(data)


@pytest.mark.parametrize(('change', 'text'), [
    (lambda d: d['limits'].pop('knee'), 'velocity of left_knee_joint is missing'),
    (lambda d: d['limits'].__setitem__('tail', [1, 1]), "'tail', which is no joint"),
    (lambda d: d['limits'].__setitem__('elbow', [3.0, 20.0]), 'left_elbow_joint is 20 .* 36'),
    (lambda d: d['limits'].__setitem__('elbow', [float('inf'), 20.0]), 'must be finite'),
    (lambda d: d['limits'].__setitem__('position_margin', 1.0), 'position_margin is 1 rad'),
    (lambda d: d['wbc'].__setitem__('solver', 'magic'), 'must be one of daqp, proxqp'),
    (lambda d: d['wbc'].__setitem__('hand_gain', 1e6), "'hand_gain' is 1000000.0: must be in"),
    (lambda d: d['wbc'].__setitem__('hand_gian', 1.0), "unknown whole-body parameter 'hand_gian'"),
    (lambda d: d['wbc'].__setitem__('zmp_margin_m', 0.03), "must be below 'balance_margin_m'"),
    (lambda d: d.pop('robot'), 'malformed'),
])
def test_a_wrong_configuration_is_named(change, text):
    data = copy.deepcopy(config_file())
    change(data)
    with pytest.raises(InvalidParameterError, match=text):
        HumanoidConfig.from_dict(data)


def test_home_outside_of_a_limit_is_named(model):
    data = config_file()
    data['robot']['home']['elbow'] = 2.09
    with pytest.raises(InvalidParameterError, match=r'home of left_elbow_joint is 2\.09'):
        HumanoidConfig.from_dict(data).position_limits(model)


def test_a_missing_file_and_a_missing_robot_are_named(monkeypatch, tmp_path):
    with pytest.raises(InvalidParameterError, match=r'nowhere\.yaml'):
        HumanoidConfig.load(tmp_path / 'nowhere.yaml')
    monkeypatch.setattr(g1, 'package_folder', lambda name: tmp_path)
    g1.load_urdf.cache_clear()
    with pytest.raises(MissingPackageError, match='pip install "example-robot-data'):
        g1.load_urdf()
    monkeypatch.undo()
    g1.load_urdf.cache_clear()
    assert '<robot' in g1.load_urdf()


def test_another_robot_is_refused():
    urdf = ET.fromstring(g1.load_urdf())
    for joint in urdf.iter('joint'):
        if joint.attrib['name'] == 'left_knee_joint':
            joint.attrib['name'] = 'left_shin_joint'
    with pytest.raises(InvalidParameterError, match='left_shin_joint where left_knee_joint'):
        HumanoidModel(ET.tostring(urdf, encoding='unicode'))
