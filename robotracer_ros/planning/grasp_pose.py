# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Where the hand grasps an object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.geometry.transforms import make_transform

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class GraspPose:
    """Where to grasp: base_from_tcp (4, 4) with the jaws closed on ``width`` metres.

    ``opening`` is that of the jaws on the way in, ``width`` and a parameter's extra when None.

    The rotation is made orthonormal: the closed-form inverse kinematics drops solutions of poses
    that are off by rounding.
    """

    pose: Matrix
    width: float
    opening: float | None = None

    def __post_init__(self) -> None:
        u, s, vt = np.linalg.svd(self.pose[:3, :3])
        if np.abs(s - 1.0).max() > 0.05 or np.linalg.det(self.pose[:3, :3]) < 0:
            raise InvalidParameterError(
                f'grasp rotation has singular values {s.tolist()} and determinant '
                f'{np.linalg.det(self.pose[:3, :3]):.3f}: must be a rotation'
            )
        object.__setattr__(self, 'pose', make_transform(u @ vt, self.pose[:3, 3]))
