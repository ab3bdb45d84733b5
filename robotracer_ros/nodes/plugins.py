# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Tracers, planners and controllers by name: Python entry points, options from parameters.

A plugin's options are the keyword arguments of its class. They become parameters of the node
under ``<role>.<plugin>.<option>``, with types from the defaults and text from the docstring, so
a third-party plugin is configured like one of ours without a line of ROS in it.
"""

from __future__ import annotations

import enum
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from robotracer_ros.errors import InvalidParameterError, MissingPackageError, UnknownPluginError
from robotracer_ros.nodes.parameters import ParameterSpec, ParameterType


class Role(enum.Enum):
    """What a plugin is; the value names it in parameters (``tracer.plugin``)."""

    TRACER = 'tracer'
    PLANNER = 'planner'
    CONTROLLER = 'controller'

    @property
    def entry_points(self) -> str:
        """Group of entry points that lists these plugins."""
        return f'robotracer_ros.{self.value}s'


def _found(role: Role) -> dict[str, metadata.EntryPoint]:
    # A package may be listed twice (wheel and egg metadata); the name counts once.
    return {e.name: e for e in metadata.entry_points(group=role.entry_points)}


def known_plugins(role: Role) -> tuple[str, ...]:
    """Return the names of the installed plugins, sorted."""
    return tuple(sorted(_found(role)))


def check_plugin(role: Role, name: str) -> None:
    """Raise UnknownPluginError, listing the known names, when there is no such plugin."""
    found = _found(role)
    if name not in found:
        known = ', '.join(sorted(found)) or 'none installed'
        raise UnknownPluginError(f"{role.value} plugin '{name}' is unknown: known are {known}",
                                 plugin=name, known=sorted(found))


def plugin_class(role: Role, name: str) -> type[Any]:
    """Import the class of a plugin.

    Raises:
        UnknownPluginError: no such entry point, or it points at nothing.
        MissingPackageError: importing it needs a package that is not installed.
    """
    check_plugin(role, name)
    entry = _found(role)[name]
    try:
        loaded: type[Any] = entry.load()
    except ModuleNotFoundError as e:
        raise MissingPackageError(
            f"{role.value} plugin '{name}' ({entry.value}) needs the Python package '{e.name}', "
            'which is not installed', plugin=name, package=e.name) from e
    except (ImportError, AttributeError) as e:
        raise UnknownPluginError(
            f"{role.value} plugin '{name}' ({entry.value}) cannot be imported: {e}",
            plugin=name) from e
    return loaded


def make_plugin(role: Role, name: str, options: Mapping[str, Any]) -> Any:
    """Make a plugin with keyword options.

    Raises:
        UnknownPluginError, MissingPackageError: as :func:`plugin_class`.
        InvalidParameterError: it does not take one of the options, or lacks a required one.
        RobotracerError: whatever its constructor refuses.
    """
    cls = plugin_class(role, name)
    signature = inspect.signature(cls)
    try:
        signature.bind(**options)
    except TypeError as e:
        takes = ', '.join(signature.parameters) or 'none'
        raise InvalidParameterError(
            f"{role.value} plugin '{name}': {e}; its options are {takes}", plugin=name) from e
    return cls(**options)


def _argument_docs(cls: type[Any]) -> dict[str, str]:
    """Return the sentences of the Google-style ``Args:`` sections of a class."""
    docs: dict[str, str] = {}
    for text in (inspect.getdoc(cls), inspect.getdoc(cls.__init__)):
        section = re.search(r'^Args:\n((?:[ ]+.*\n?|\n)+)', text or '', re.MULTILINE)
        if section is None:
            continue
        for match in re.finditer(r'^ {4}(\w[\w, ]*?)(?: \(.*?\))?: (.*(?:\n {5,}.*)*)',
                                 section[1], re.MULTILINE):
            for name in match[1].split(','):
                docs.setdefault(name.strip(), ' '.join(match[2].split()))
    return docs


_ANNOTATED = {bool: ParameterType.BOOL, int: ParameterType.INT, float: ParameterType.DOUBLE,
              str: ParameterType.STRING, Path: ParameterType.STRING}
_SEQUENCES = (tuple, list, Sequence, Iterable)


def _annotated_type(annotation: Any) -> ParameterType | None:
    members = [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        members = [a for a in typing.get_args(annotation) if a is not type(None)]
    if len(members) == 2 and set(members) == {str, Path}:
        members = [str]
    if len(members) == 1 and members[0] in _ANNOTATED:
        return _ANNOTATED[members[0]]
    item = typing.get_args(members[0])[:1] if len(members) == 1 else ()
    if item and typing.get_origin(members[0]) in _SEQUENCES:
        return {str: ParameterType.STRINGS, float: ParameterType.DOUBLES,
                int: ParameterType.INTS}.get(item[0])
    return None


def option_specs(role: Role, name: str) -> tuple[ParameterSpec, ...]:
    """Return the options of a plugin as parameters ``<role>.<plugin>.<option>``.

    Options of other types than numbers, strings, booleans and lists of them are for programs
    only and left out.
    """
    cls = plugin_class(role, name)
    docs = _argument_docs(cls)
    hints = typing.get_type_hints(cls.__init__)
    specs = []
    for option in inspect.signature(cls).parameters.values():
        if option.kind in (option.VAR_POSITIONAL, option.VAR_KEYWORD):
            continue
        kind = _annotated_type(hints.get(option.name))
        if kind is None:
            continue
        default = None if option.default is option.empty else option.default
        if isinstance(default, (tuple, list)):
            default = list(default)
        elif isinstance(default, Path):
            default = str(default)
        if kind is ParameterType.DOUBLE and isinstance(default, int):
            default = float(default)
        specs.append(ParameterSpec(f'{role.value}.{name}.{option.name}', default,
                                   docs.get(option.name, f'Option of {cls.__name__}.'), type=kind))
    return tuple(specs)


def plugin_options(role: Role, name: str, group: Callable[[str], dict[str, Any]],
                   common: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Gather the options of a plugin from a node's parameters.

    Args:
        role: What it is.
        name: Which plugin.
        group: :meth:`NodeParameters.group` of the node, where :func:`option_specs` are declared.
        common: Options of the role itself (``tracer.checkpoint``); each is passed when the plugin
            takes it and the value is not empty.
    """
    options = dict(group(f'{role.value}.{name}'))
    takes = inspect.signature(plugin_class(role, name)).parameters
    for option, value in (common or {}).items():
        if option in takes and value not in ('', None):
            options[option] = value
    return options
