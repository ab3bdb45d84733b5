# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Bring up the UR5: bringup.launch.py with robot:=ur5; all of its other arguments can be given.

    ros2 launch robotracer_ros ur5.launch.py sim:=true
"""

import os

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, ThisLaunchFileDir

from launch import LaunchDescription
from robotracer_ros.nodes.graph import ARGUMENTS


def generate_launch_description() -> LaunchDescription:
    forwarded = [a for a in ARGUMENTS if a.name != 'robot']
    arguments = [
        DeclareLaunchArgument(a.name, default_value=a.default, description=a.description)
        for a in forwarded
    ]
    bringup = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(
            [ThisLaunchFileDir(), os.sep, 'bringup.launch.py']),
        launch_arguments=[('robot', 'ur5')]
        + [(a.name, LaunchConfiguration(a.name)) for a in forwarded],
    )
    return LaunchDescription([*arguments, bringup])
