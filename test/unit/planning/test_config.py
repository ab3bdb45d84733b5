# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import yaml

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.planning.config import PlannerParameters, RobotConfig
from robotracer_ros.resources import resource


def text() -> dict:
    return yaml.safe_load(resource('config/ur5.yaml').read_text())


def test_file_names_every_parameter_and_agrees_with_the_defaults():
    """Prevents a default in code that differs from what the file documents."""
    config = RobotConfig.load()
    assert set(text()['planner']) == set(PlannerParameters.__dataclass_fields__)
    assert config.planner == PlannerParameters()
    assert config.limits.names[0] == 'shoulder_pan_joint' and len(config.home) == 6


@pytest.mark.parametrize(
    ('name', 'value', 'words'),
    [
        ('margin_m', 0.2, ['margin_m', '0.2', '0.05']),
        ('max_tcp_speed', 0.0, ['max_tcp_speed', '0.01']),
        ('max_tcp_speed', float('nan'), ['max_tcp_speed', 'nan']),
        ('lift_m', 'high', ['lift_m', 'high']),
        ('check_margin_m', 0.02, ['check_margin_m', 'margin_m']),
        ('speed', 1.0, ['unknown', 'speed', 'max_tcp_speed']),
    ],
)
def test_bad_parameter_is_refused_with_name_value_and_limit(name, value, words):
    with pytest.raises(InvalidParameterError) as e:
        RobotConfig.load(overrides={name: value})
    assert all(w in str(e.value) for w in words)


@pytest.mark.parametrize(
    ('change', 'word'),
    [
        (lambda d: d['limits'].update(jerk=[1, 2]), 'jerk'),
        (lambda d: d['limits'].update(velocity=[0, 1, 1, 1, 1, 1]), 'velocity'),
        (lambda d: d['robot'].update(home=[0, 3, 0, 0, 0, 0]), 'shoulder_lift_joint'),
        (lambda d: d['workspace'].update(lower=[1, 1, 1]), 'workspace'),
        (lambda d: d.pop('limits'), 'limits'),
    ],
)
def test_malformed_robot_file_is_refused(change, word):
    data = text()
    change(data)
    with pytest.raises(InvalidParameterError, match=word):
        RobotConfig.from_dict(data)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(InvalidParameterError, match=r'nothing\.yaml'):
        RobotConfig.load(tmp_path / 'nothing.yaml')


def test_limits_in_lists_become_arrays():
    assert RobotConfig.load().limits.jerk.dtype == np.float64
