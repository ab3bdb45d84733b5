# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Limits and parameters of the whole-body controller, read from a file such as ``config/g1.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from robotracer_ros.control.wbc.model import HumanoidModel
from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.g1_description import JOINTS
from robotracer_ros.planning.ranges import check_ranges, replaced
from robotracer_ros.resources import resource

Vector = NDArray[np.float64]

#: a joint must be able to slow down this much faster than the barriers ask for; the rest is for the
#: curvature of what the feet allow
HEADROOM = 1.5
SOLVERS = ('daqp', 'proxqp')
#: joints whose sign changes from left to right
_MIRRORED = ('roll', 'yaw')

#: what a parameter is called in errors
_WHAT = 'whole-body parameter'


@dataclass(frozen=True)
class WbcParameters:
    """Gains, weights and margins; ``config/g1.yaml`` tells what each is for."""

    period_s: float = 0.004
    solver: str = 'daqp'
    hand_gain: float = 12.0
    hand_weight: float = 10.0
    orientation_gain: float = 6.0
    orientation_weight: float = 0.7
    torso_gain: float = 3.0
    torso_weight: float = 0.5
    com_gain: float = 2.0
    com_weight: float = 0.7
    posture_gain: float = 1.5
    posture_weight: float = 0.06
    damping: float = 0.02
    max_hand_speed: float = 0.5
    max_hand_turn: float = 2.0
    barrier_gain: float = 8.0
    balance_gain: float = 3.0
    contact_gain: float = 20.0
    self_margin_m: float = 0.015
    scene_margin_m: float = 0.015
    balance_margin_m: float = 0.020
    zmp_margin_m: float = 0.005
    self_rows: int = 24
    scene_rows: int = 16

    #: lower and upper limit of each number
    RANGES = {  # noqa: RUF012  (a constant, not a field: it has no annotation)
        'period_s': (0.001, 0.02),
        'hand_gain': (0.5, 50.0),
        'hand_weight': (0.1, 100.0),
        'orientation_gain': (0.5, 50.0),
        'orientation_weight': (0.01, 100.0),
        'torso_gain': (0.1, 50.0),
        'torso_weight': (0.0, 100.0),
        'com_gain': (0.1, 20.0),
        'com_weight': (0.0, 100.0),
        'posture_gain': (0.1, 20.0),
        'posture_weight': (0.001, 10.0),
        'damping': (0.001, 1.0),
        'max_hand_speed': (0.05, 1.0),
        'max_hand_turn': (0.1, 6.0),
        'barrier_gain': (1.0, 30.0),
        'balance_gain': (0.5, 3.7),
        'contact_gain': (0.5, 50.0),
        'self_margin_m': (0.002, 0.1),
        'scene_margin_m': (0.0, 0.1),
        'balance_margin_m': (0.005, 0.06),
        'zmp_margin_m': (0.0, 0.05),
        'self_rows': (8, 200),
        'scene_rows': (1, 200),
    }

    def __post_init__(self) -> None:
        check_ranges(self, self.RANGES, _WHAT)
        if self.solver not in SOLVERS:
            raise InvalidParameterError(f"whole-body parameter 'solver' is {self.solver!r}: must be "
                                        f'one of {", ".join(SOLVERS)}', parameter='solver')
        if self.zmp_margin_m >= self.balance_margin_m:
            raise InvalidParameterError(
                f"whole-body parameter 'zmp_margin_m' is {self.zmp_margin_m:g} m: must be below "
                f"'balance_margin_m' = {self.balance_margin_m:g} m, or resting at the edge is not "
                'allowed', parameter='zmp_margin_m')

    def replaced(self, values: Mapping[str, Any]) -> WbcParameters:
        """Return a copy with other values. Raises InvalidParameterError naming an unknown name or a
        value out of range.
        """
        return replaced(self, _WHAT, values)


@dataclass(frozen=True)
class HumanoidConfig:
    """What a humanoid's YAML file says; arrays are (29,) in the order of ``JOINTS``.

    Attributes:
        name: Model name, ``g1``.
        home: Standing posture, rad.
        velocity, acceleration: Largest, rad/s and rad/s^2.
        position_margin: Distance kept from the ends of the joints' ranges, rad.
        wbc: Parameters of the controller.
    """

    name: str
    home: Vector
    velocity: Vector
    acceleration: Vector
    position_margin: float
    wbc: WbcParameters

    @classmethod
    def load(cls, path: str | Path = 'config/g1.yaml',
             overrides: Mapping[str, Any] | None = None) -> HumanoidConfig:
        """Read a file; a relative path is looked up in the package's shared files.

        Args:
            path: Of the file.
            overrides: Parameters of the controller that win over the file's.

        Raises:
            InvalidParameterError: the file is missing or malformed, or a value is out of range.
        """
        try:
            file = Path(path) if Path(path).is_absolute() else resource(path)
            data = yaml.safe_load(file.read_text(encoding='utf-8'))
        except (OSError, yaml.YAMLError) as e:
            raise InvalidParameterError(f"robot configuration '{path}' cannot be read: {e}",
                                        parameter='config') from e
        return cls.from_dict(data, overrides, source=str(path))

    @classmethod
    def from_dict(cls, data: Any, overrides: Mapping[str, Any] | None = None,
                  source: str = 'dict') -> HumanoidConfig:
        """Make a configuration from the parsed YAML. Raises InvalidParameterError naming key, value
        and limit.
        """
        try:
            name = str(data['robot']['name'])
            home = _by_joint(data['robot']['home'], source, 'home', 0.0)
            limits = dict(data['limits'])
            margin = float(limits.pop('position_margin'))
            velocity = _by_joint({k: v[0] for k, v in limits.items()}, source, 'velocity')
            acceleration = _by_joint({k: v[1] for k, v in limits.items()}, source, 'acceleration')
            wbc = WbcParameters().replaced({**data.get('wbc', {}), **(overrides or {})})
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as e:
            raise InvalidParameterError(f"robot configuration '{source}' is malformed: {e!r}",
                                        parameter='config') from e
        if not 0 <= margin <= 0.2:
            raise InvalidParameterError(f"robot configuration '{source}': position_margin is "
                                        f'{margin:g} rad: must be in 0..0.2',
                                        parameter='position_margin')
        for j, joint in enumerate(JOINTS):
            least = HEADROOM * wbc.barrier_gain * velocity[j]
            if velocity[j] <= 0 or acceleration[j] < least - 1e-9:
                raise InvalidParameterError(
                    f"robot configuration '{source}': acceleration of {joint} is "
                    f'{acceleration[j]:g} rad/s^2 at {velocity[j]:g} rad/s: must be at least '
                    f'{HEADROOM:g} * barrier_gain * velocity = {least:g} rad/s^2, and both > 0',
                    parameter='acceleration')
        return cls(name, home, velocity, acceleration, margin, wbc)

    def position_limits(self, model: HumanoidModel) -> tuple[Vector, Vector]:
        """Return lower and upper limit (29,) of the joints, margin included.

        Raises:
            InvalidParameterError: the home posture is outside of them.
        """
        lower = np.array(model.model.lowerPositionLimit[7:]) + self.position_margin
        upper = np.array(model.model.upperPositionLimit[7:]) - self.position_margin
        for j, joint in enumerate(JOINTS):
            if not lower[j] <= self.home[j] <= upper[j]:
                raise InvalidParameterError(
                    f'home of {joint} is {self.home[j]:g} rad: must be in {lower[j]:.4f}..'
                    f'{upper[j]:.4f}', parameter='home')
        return lower, upper


def _by_joint(values: Mapping[str, Any], source: str, key: str,
              default: float | None = None) -> Vector:
    """Spread values by short name (``hip_roll``) or joint name over (29,) joints."""
    out = np.full(len(JOINTS), np.nan if default is None else default)
    for name, value in values.items():
        number = float(value)
        if not np.isfinite(number):
            raise InvalidParameterError(f"robot configuration '{source}': {key} of '{name}' is "
                                        f'{value!r}: must be finite', parameter=key)
        named = [j for j, joint in enumerate(JOINTS)
                 if joint in (name, f'{name}_joint', f'left_{name}_joint', f'right_{name}_joint')]
        if not named:
            raise InvalidParameterError(f"robot configuration '{source}': {key} names '{name}', "
                                        'which is no joint of the robot', parameter=key)
        for j in named:
            mirrored = (key == 'home' and JOINTS[j] == f'right_{name}_joint'
                        and name.endswith(_MIRRORED))
            out[j] = -number if mirrored else number
    if np.isnan(out).any():
        missing = JOINTS[int(np.flatnonzero(np.isnan(out))[0])]
        raise InvalidParameterError(f"robot configuration '{source}': {key} of {missing} is missing",
                                    parameter=key)
    return out
