# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Robot limits, workspace and planner parameters, read from a YAML file such as
``config/ur5.yaml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.planning.base import JointLimits
from robotracer_ros.planning.ranges import check_ranges, replaced
from robotracer_ros.resources import resource

#: what a parameter is called in errors
_WHAT = 'planner parameter'


@dataclass(frozen=True)
class PlannerParameters:
    """Parameters of the embedded planner; ``config/ur5.yaml`` tells what each is for. Metres,
    seconds, newtons.
    """

    max_tcp_speed: float = 0.25
    voxel_m: float = 0.008
    margin_m: float = 0.010
    check_margin_m: float = 0.005
    contact_margin_m: float = 0.0
    self_margin_m: float = 0.003
    path_step_m: float = 0.010
    check_step_rad: float = 0.03
    corner_radius_m: float = 0.04
    pregrasp_m: float = 0.08
    lift_m: float = 0.06
    preplace_m: float = 0.06
    retreat_m: float = 0.10
    drop_m: float = 0.004
    hold_height_m: float = 0.05
    max_sensor_m: float = 0.20
    max_push_m: float = 0.10
    max_place_shift_m: float = 0.04
    snap_support_m: float = 0.012
    open_extra_m: float = 0.030
    release_extra_m: float = 0.024
    grip_force_n: float = 40.0
    grip_squeeze_m: float = 0.040
    yaw_options_deg: tuple[float, ...] = (0, 45, -45, 90, -90, 135, -135, 180)
    max_grasps: int = 60
    max_snap_m: float = 0.03
    max_object_m: float = 0.22
    max_object_height_m: float = 0.30
    panel_thickness_m: float = 0.030
    detour_s: float = 2.0
    simplify_s: float = 0.08
    timeout_s: float = 15.0
    sample_s: float = 0.008
    jerk_filter_s: float = 0.12
    seed: int = 1

    #: lower and upper limit of each parameter
    RANGES = {  # noqa: RUF012  (a constant, not a field: it has no annotation)
        'max_tcp_speed': (0.01, 1.0),
        'voxel_m': (0.004, 0.05),
        'margin_m': (0.0, 0.05),
        'check_margin_m': (0.0, 0.05),
        'contact_margin_m': (0.0, 0.02),
        'self_margin_m': (0.0, 0.05),
        'path_step_m': (0.002, 0.05),
        'check_step_rad': (0.005, 0.1),
        'corner_radius_m': (0.0, 0.15),
        'pregrasp_m': (0.02, 0.2),
        'lift_m': (0.01, 0.3),
        'preplace_m': (0.01, 0.3),
        'retreat_m': (0.02, 0.3),
        'drop_m': (0.0, 0.008),
        'hold_height_m': (0.01, 0.5),
        'max_sensor_m': (0.01, 2.0),
        'max_push_m': (0.0, 0.5),
        'max_place_shift_m': (0.0, 0.2),
        'snap_support_m': (0.0, 0.05),
        'open_extra_m': (0.002, 0.1),
        'release_extra_m': (0.002, 0.1),
        'grip_force_n': (1.0, 200.0),
        'grip_squeeze_m': (0.0, 0.05),
        'max_grasps': (1, 500),
        'max_snap_m': (0.0, 0.2),
        'max_object_m': (0.02, 1.0),
        'max_object_height_m': (0.01, 1.0),
        'panel_thickness_m': (0.0, 0.1),
        'detour_s': (0.05, 30.0),
        'simplify_s': (0.0, 5.0),
        'timeout_s': (0.1, 120.0),
        'sample_s': (0.002, 0.05),
        'jerk_filter_s': (0.02, 0.5),
        'seed': (1, 2**31 - 1),
    }

    def __post_init__(self) -> None:
        check_ranges(self, self.RANGES, _WHAT)
        if self.check_margin_m > self.margin_m:
            raise InvalidParameterError(
                f"planner parameter 'check_margin_m' is {self.check_margin_m:g} m: must not exceed "
                f"'margin_m' = {self.margin_m:g} m, or the check refuses what the search found",
                parameter='check_margin_m',
                value=self.check_margin_m,
                upper=self.margin_m,
            )

    def replaced(self, values: Mapping[str, Any]) -> PlannerParameters:
        """Return a copy with other values. Raises InvalidParameterError naming an unknown name or a
        value out of range.
        """
        return replaced(self, _WHAT, values)


@dataclass(frozen=True)
class RobotConfig:
    """What a robot's YAML file says.

    Attributes:
        name: Model name, e.g. ``ur5``.
        home: (J,) rad.
        limits: Of the arm's joints.
        workspace: (2, 3) lower and upper corner for the tool centre point, planning frame.
        max_clamp_m: Largest shift of a trace point into the workspace.
        planner: Planner parameters.
    """

    name: str
    home: NDArray[np.float64]
    limits: JointLimits
    workspace: NDArray[np.float64]
    max_clamp_m: float
    planner: PlannerParameters

    @classmethod
    def load(
        cls, path: str | Path = 'config/ur5.yaml', overrides: Mapping[str, Any] | None = None
    ) -> RobotConfig:
        """Read a file; a relative path is looked up in the package's shared files first.

        Raises:
            InvalidParameterError: the file is missing or malformed, or a value is out of range.
        """
        try:
            file = Path(path) if Path(path).is_absolute() else resource(path)
            data = yaml.safe_load(file.read_text(encoding='utf-8'))
        except (OSError, yaml.YAMLError) as e:
            raise InvalidParameterError(
                f"robot configuration '{path}' cannot be read: {e}", parameter='config'
            ) from e
        return cls.from_dict(data, overrides, source=str(path))

    @classmethod
    def from_dict(
        cls, data: Any, overrides: Mapping[str, Any] | None = None, source: str = 'dict'
    ) -> RobotConfig:
        """Make a configuration from the parsed YAML. Raises InvalidParameterError naming key, value
        and limit.
        """
        try:
            joints = tuple(data['robot']['joints'])
            arrays = {
                k: np.array(data['limits'][k], dtype=float)
                for k in ('lower', 'upper', 'velocity', 'acceleration', 'jerk')
            }
            home = np.array(data['robot']['home'], dtype=float)
            box = np.array([data['workspace']['lower'], data['workspace']['upper']], dtype=float)
            name, clamp = str(data['robot']['name']), float(data['workspace']['max_clamp_m'])
            planner = PlannerParameters().replaced({**data.get('planner', {}), **(overrides or {})})
        except (KeyError, TypeError, ValueError) as e:
            raise InvalidParameterError(
                f"robot configuration '{source}' is malformed: {e!r}", parameter='config'
            ) from e
        for key, value in {'home': home, **arrays}.items():
            if value.shape != (len(joints),) or not np.isfinite(value).all():
                raise InvalidParameterError(
                    f"robot configuration '{source}': '{key}' has shape {value.shape}: must be "
                    f'{len(joints)} finite numbers, one per joint',
                    parameter=key,
                )
        for key in ('velocity', 'acceleration', 'jerk'):
            if (arrays[key] <= 0).any():
                raise InvalidParameterError(
                    f"robot configuration '{source}': '{key}' is {arrays[key].tolist()}: "
                    'must be > 0',
                    parameter=key,
                )
        for j, joint in enumerate(joints):
            if not arrays['lower'][j] <= home[j] <= arrays['upper'][j]:
                raise InvalidParameterError(
                    f"robot configuration '{source}': home of {joint} is {home[j]:g} rad: must be in "
                    f'{arrays["lower"][j]:g}..{arrays["upper"][j]:g}',
                    parameter='home',
                )
        if box.shape != (2, 3) or (box[0] >= box[1]).any():
            raise InvalidParameterError(
                f"robot configuration '{source}': workspace {box.tolist()}: needs lower < upper, "
                'three numbers each',
                parameter='workspace',
            )
        return cls(name, home, JointLimits(joints, **arrays), box, clamp, planner)
