# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From what you say to where it moves: spatial traces for ROS 2 robots."""

import os
import sys

__version__ = '0.1.0'


def _point_ament_at_wheels() -> None:
    """Make the virtual environment the ament prefix when ROS 2 comes from pip wheels.

    The wheels install themselves as one merged prefix but leave AMENT_PREFIX_PATH unset. A value
    that is already there belongs to a sourced ROS environment and is never touched.
    """
    index = os.path.join(sys.prefix, 'share', 'ament_index', 'resource_index', 'packages')
    if not os.environ.get('AMENT_PREFIX_PATH') and os.path.isdir(index):
        os.environ['AMENT_PREFIX_PATH'] = sys.prefix


_point_ament_at_wheels()
