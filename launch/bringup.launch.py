# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Start perception, planner and, if asked, the simulated workcell, viewer and RViz.

    ros2 launch robotracer_ros bringup.launch.py robot:=ur5 sim:=true seed:=7

The arguments and the list of nodes are those of robotracer_ros.nodes.graph, which pip mode
(`python -m robotracer_ros.nodes.compose sim:=true`) uses too. Arguments are checked before anything
starts.
"""

from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from robotracer_ros.nodes.graph import ARGUMENTS, bringup
from robotracer_ros.nodes.runner import apply_transport_profile


def start_nodes(context: LaunchContext) -> list:
    values = {a.name: LaunchConfiguration(a.name).perform(context) for a in ARGUMENTS}
    actions = []
    for spec in bringup(values):
        node = Node(
            package=spec.package,
            executable=spec.executable,
            name=spec.name,
            namespace=spec.namespace,
            parameters=[*map(str, spec.files), dict(spec.parameters)],
            remappings=[*spec.remappings],
            arguments=[*spec.arguments, '--ros-args', '--log-level', spec.log_level],
            output='screen',
        )
        actions.append(node)
        if spec.essential:
            # A robot with half of its nodes is not a robot: when one ends, all end.
            ended = EmitEvent(event=Shutdown(reason=f'{spec.name} ended'))
            actions.append(
                RegisterEventHandler(OnProcessExit(target_action=node, on_exit=[ended]))
            )
    return actions


def generate_launch_description() -> LaunchDescription:
    # Our nodes do this themselves; set here, RViz and every other process inherits it too.
    apply_transport_profile()
    arguments = [
        DeclareLaunchArgument(
            a.name,
            default_value=a.default,
            description=a.description,
            **({'choices': list(a.choices)} if a.choices else {}),
        )
        for a in ARGUMENTS
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=start_nodes)])
