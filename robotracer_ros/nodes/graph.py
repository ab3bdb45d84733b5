# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Which nodes run, with which files and parameters: one list for launch files and pip mode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.nodes.plugins import Role, check_plugin
from robotracer_ros.resources import PACKAGE, resource

LOG_LEVELS = ('debug', 'info', 'warn', 'error', 'fatal')
ROBOTS = ('ur5',)


@dataclass(frozen=True)
class Argument:
    """An argument of the bringup, the same in ``ros2 launch`` and in pip mode."""

    name: str
    default: str
    description: str
    choices: tuple[str, ...] = ()


#: beside the depth image that config/robotracer.rviz shows
_DEPTH_INFO = 'camera/aligned_depth_to_color/camera_info'
_BOOL = ('true', 'false')
ARGUMENTS = (
    Argument('robot', 'ur5', 'Which robot.', ROBOTS),
    Argument('sim', 'false', 'Start the simulated workcell instead of expecting a robot driver.',
             _BOOL),
    Argument('seed', '', 'Scene of the simulated workcell.'),
    Argument('tracer', '', 'Tracer plugin; empty: what the parameter files say.'),
    Argument('checkpoint', '', 'Checkpoint of the tracer; empty: what the parameter files say.'),
    Argument('planner', '', 'Planner plugin; empty: what the parameter files say.'),
    Argument('controller', '', 'Controller plugin; empty: what the parameter files say.'),
    Argument('params_file', '', 'Parameter file read after ours, for all nodes.'),
    Argument('namespace', '', 'Namespace of all nodes.'),
    Argument('use_sim_time', '', 'Time from /clock; empty: true with sim, else false.',
             ('', *_BOOL)),
    Argument('viewer', 'false', 'Start the browser viewer.', _BOOL),
    Argument('rviz', 'false', 'Start RViz (needs rviz2).', _BOOL),
    Argument('autostart', 'true', 'Configure and activate the lifecycle nodes at start.', _BOOL),
    Argument('log_level', 'info', 'Log level of all nodes.', LOG_LEVELS),
)


@dataclass(frozen=True)
class NodeSpec:
    """One node process.

    Attributes:
        name: Node name.
        executable: As in ``ros2 run robotracer_ros <executable>``.
        module: Python module that runs the same.
        files: Parameter files, later ones win.
        parameters: Parameters by dotted name, over the files.
        namespace: Without leading slash; empty for none.
        log_level: One of ``LOG_LEVELS``.
        package: Package of the executable.
        arguments: Further command line.
        remappings: Pairs of names: what it asks for, what it gets.
        essential: The robot cannot do without: when it ends, all end. A window may be closed.
    """

    name: str
    executable: str
    module: str
    files: tuple[Path, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    namespace: str = ''
    log_level: str = 'info'
    package: str = PACKAGE
    arguments: tuple[str, ...] = ()
    remappings: tuple[tuple[str, str], ...] = ()
    essential: bool = True


def parse_arguments(words: list[str]) -> dict[str, str]:
    """Read ``name:=value`` words. Raises InvalidParameterError, listing the known names."""
    values: dict[str, str] = {}
    for word in words:
        name, sign, value = word.partition(':=')
        if not sign:
            raise InvalidParameterError(f"argument '{word}': must be name:=value")
        values[name] = value
    return values


def bringup(values: Mapping[str, str] | None = None,
            parameters: Mapping[str, Mapping[str, Any]] | None = None) -> list[NodeSpec]:
    """Return the nodes of a robot, checked: nothing starts when an argument is wrong.

    Args:
        values: Arguments by name; those left out have their defaults.
        parameters: Further parameters by node name, over files and arguments.

    Raises:
        InvalidParameterError: an unknown argument, a value outside its choices, or a combination
            that makes no sense.
        UnknownPluginError: no such tracer, planner or controller; the text lists the known ones.
    """
    a = _checked(dict(values or {}))
    for role in Role:
        if a[role.value]:
            check_plugin(role, a[role.value])
    sim = a['sim'] == 'true'
    if sim and a['use_sim_time'] == 'false':
        raise InvalidParameterError('sim:=true with use_sim_time:=false: the simulated camera '
                                    'stamps in simulated time; leave use_sim_time out')
    if not sim and a['seed']:
        raise InvalidParameterError(f"seed:={a['seed']} without sim:=true: only the simulated "
                                    'workcell has a seed')
    sim_time = a['use_sim_time'] == 'true' or sim
    autostart = a['autostart'] == 'true'
    extra = [Path(a['params_file'])] if a['params_file'] else []
    for path in extra:
        if not path.is_file():
            raise InvalidParameterError(f"params_file '{path}' does not exist")
    common: dict[str, Any] = {'use_sim_time': sim_time}
    nodes: list[tuple[str, dict[str, Any]]] = [
        ('perception', {'autostart': autostart, **common, **_given({
            'tracer.plugin': a['tracer'], 'tracer.checkpoint': a['checkpoint']})}),
        ('planner', {'autostart': autostart, **common, **_given({
            'planner.plugin': a['planner'], 'controller.plugin': a['controller']})}),
    ]
    if sim:
        nodes.insert(0, ('sim', {'seed': int(a['seed'])} if a['seed'] else {}))
    if a['viewer'] == 'true':
        nodes.append(('viewer', common))
    known = {name for name, _ in nodes}
    for name in parameters or {}:
        if name not in known:
            raise InvalidParameterError(f"parameters for node '{name}', which does not run: "
                                        f'running are {", ".join(sorted(known))}')
    specs = [NodeSpec(
        name, f'{name}_node', f'{PACKAGE}.nodes.{name}_node',
        (resource(f'config/{name}.yaml'), *extra),
        {**own, **(parameters or {}).get(name, {})}, a['namespace'].strip('/'), a['log_level'],
        essential=name != 'viewer')
        for name, own in nodes]
    if a['rviz'] == 'true':
        namespace = a['namespace'].strip('/')
        # RViz resolves relative topics in its namespace. The camera_info beside a depth image is
        # the exception: image_transport makes its name, and always from the root.
        specs.append(NodeSpec('rviz', 'rviz2', '', (), common, namespace, a['log_level'], 'rviz2',
                              ('-d', str(resource('config/robotracer.rviz'))),
                              ((f'/{_DEPTH_INFO}', f'/{namespace}/{_DEPTH_INFO}'),)
                              if namespace else (), essential=False))
    return specs


def _checked(values: dict[str, str]) -> dict[str, str]:
    known = {a.name: a for a in ARGUMENTS}
    for name, value in values.items():
        if name not in known:
            raise InvalidParameterError(f"argument '{name}' is unknown: known are "
                                        f'{", ".join(known)}')
        choices = known[name].choices
        if choices and value not in choices:
            raise InvalidParameterError(f'argument {name}:={value}: must be one of '
                                        f'{", ".join(c for c in choices if c)}')
    checked = {a.name: values.get(a.name, a.default) for a in ARGUMENTS}
    if checked['seed'] and not checked['seed'].isdecimal():
        raise InvalidParameterError(f"argument seed:={checked['seed']}: must be a whole number")
    return checked


def _given(values: dict[str, str]) -> dict[str, str]:
    """Keep what was given: an argument left out must not override a parameter file."""
    return {name: value for name, value in values.items() if value}
