# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Parameters declared once: name, type, default, range, words of explanation.

From the same specs come the declaration, the check on every set, the table in the documentation
and the test that compares configuration files with the code.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from robotracer_ros.errors import InvalidParameterError, RobotracerError

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.parameter import Parameter

Value = bool | int | float | str | list[str] | list[float] | list[int] | None


class ParameterType(enum.Enum):
    """Types a parameter may have; the names are those of ROS parameter files."""

    BOOL = 'bool'
    INT = 'int'
    DOUBLE = 'double'
    STRING = 'string'
    STRINGS = 'string_array'
    DOUBLES = 'double_array'
    INTS = 'integer_array'


_SCALARS: dict[type, ParameterType] = {
    bool: ParameterType.BOOL, int: ParameterType.INT, float: ParameterType.DOUBLE,
    str: ParameterType.STRING}
_LISTS = {ParameterType.STRINGS: str, ParameterType.DOUBLES: float, ParameterType.INTS: int}


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter.

    Attributes:
        name: Dotted name with its unit, such as ``tracer.timeout_s``.
        default: Default value; None means not set (needs ``type``).
        description: One sentence or two for people.
        minimum, maximum: Inclusive range of a number, or of every number of an array.
        choices: Allowed strings.
        length: Exact length of an array, or None.
        read_only: Only settable at start (parameter file or command line).
        type: Derived from the default unless that is empty or None.
    """

    name: str
    default: Value
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    length: int | None = None
    read_only: bool = False
    type: ParameterType | None = None

    @property
    def kind(self) -> ParameterType:
        """Type of the values."""
        if self.type is not None:
            return self.type
        if isinstance(self.default, list):
            if not self.default:
                return ParameterType.STRINGS
            inner = type(self.default[0])
            return {str: ParameterType.STRINGS, float: ParameterType.DOUBLES,
                    int: ParameterType.INTS}[inner]
        if self.default is None:
            raise TypeError(f'parameter {self.name} has no default: give its type')
        return _SCALARS[type(self.default)]

    def check(self, value: Any) -> Value:
        """Return the value in its exact type.

        Whole numbers are accepted for doubles (a parameter file says ``5`` for ``5.0``).

        Raises:
            InvalidParameterError: another type, out of range, not finite, or not a choice.
        """
        kind = self.kind
        if value is None:
            if self.default is None:
                return None
            raise self._bad(value, f'must be a {kind.value}')
        if kind in _LISTS:
            if isinstance(value, (str, bytes)) or not hasattr(value, '__iter__'):
                raise self._bad(value, f'must be a {kind.value}')
            items = [self._scalar(v, _SCALARS[_LISTS[kind]]) for v in value]
            if self.length is not None and len(items) != self.length:
                raise self._bad(value, f'must have {self.length} values, not {len(items)}')
            return items
        return self._scalar(value, kind)

    def _scalar(self, value: Any, kind: ParameterType) -> Any:
        if kind is ParameterType.DOUBLE and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        wanted = {v: k for k, v in _SCALARS.items()}[kind]
        if type(value) is not wanted:
            raise self._bad(value, f'must be a {kind.value}, not {type(value).__name__}')
        if isinstance(value, float) and math.isnan(value):
            raise self._bad(value, 'must be a number')
        if isinstance(value, (int, float)) and kind is not ParameterType.BOOL:
            low = -math.inf if self.minimum is None else self.minimum
            high = math.inf if self.maximum is None else self.maximum
            if not low <= value <= high:
                raise self._bad(value, f'must be in {self.range_text}')
        if self.choices and value not in self.choices:
            raise self._bad(value, f'must be one of {", ".join(map(repr, self.choices))}')
        return value

    def _bad(self, value: Any, rule: str) -> InvalidParameterError:
        return InvalidParameterError(f'parameter {self.name} = {value!r}: {rule}',
                                     parameter=self.name)

    @property
    def range_text(self) -> str:
        """The allowed values in words; empty when anything goes."""
        if self.choices:
            return ', '.join(c or "''" for c in self.choices)
        if self.minimum is None and self.maximum is None:
            return ''
        if self.maximum is None:
            return f'>= {self.minimum:g}'
        if self.minimum is None:
            return f'<= {self.maximum:g}'
        return f'{self.minimum:g} to {self.maximum:g}'


class NodeParameters:
    """The parameters of one node: declared, typed on reading, checked on setting.

    Args:
        node: The node; parameter overrides of the command line and files are respected.
        specs: What to declare.

    Raises:
        InvalidParameterError: an override does not satisfy its spec.
    """

    def __init__(self, node: Node, specs: Iterable[ParameterSpec] = ()) -> None:
        self._node = node
        self._specs: dict[str, ParameterSpec] = {}
        self._values: dict[str, Value] = {}
        self._checks: list[Callable[[dict[str, Value]], None]] = []
        self._listeners: list[Callable[[dict[str, Value]], None]] = []
        node.add_on_set_parameters_callback(self._on_set)
        node.add_post_set_parameters_callback(self._on_changed)
        self.declare(specs)

    @property
    def specs(self) -> tuple[ParameterSpec, ...]:
        """All declared specs, in order."""
        return tuple(self._specs.values())

    def declare(self, specs: Iterable[ParameterSpec]) -> None:
        """Declare parameters; one that is declared already (same name) is left alone."""
        from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
        from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
        for spec in specs:
            if spec.name in self._specs:
                continue
            descriptor = ParameterDescriptor(
                name=spec.name, description=spec.description, read_only=spec.read_only,
                additional_constraints=spec.range_text, dynamic_typing=True)
            low, high = spec.minimum, spec.maximum
            if low is not None and high is not None and low < high:
                if spec.kind is ParameterType.INT:
                    descriptor.integer_range = [
                        IntegerRange(from_value=int(low), to_value=int(high), step=1)]
                elif spec.kind is ParameterType.DOUBLE:
                    descriptor.floating_point_range = [
                        FloatingPointRange(from_value=float(low), to_value=float(high))]
            self._specs[spec.name] = spec
            try:
                # Typing is dynamic on the ROS side only so that 5 is accepted for 5.0; the spec's
                # own check is what decides, and it is strict otherwise.
                value = self._node.declare_parameter(spec.name, spec.default, descriptor).value
                self._values[spec.name] = spec.check(value)
            except (InvalidParameterTypeException, InvalidParameterValueException) as e:
                del self._specs[spec.name]
                raise InvalidParameterError(f'parameter {spec.name}: {e}') from e
            except InvalidParameterError:
                del self._specs[spec.name]
                self._node.undeclare_parameter(spec.name)
                raise

    def add_check(self, check: Callable[[dict[str, Value]], None]) -> None:
        """Add a rule over new values; it refuses the set by raising a RobotracerError."""
        self._checks.append(check)

    def on_change(self, listener: Callable[[dict[str, Value]], None]) -> None:
        """Call ``listener`` with the values that were set, after a successful set."""
        self._listeners.append(listener)

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def string(self, name: str) -> str:
        """Return a string."""
        return str(self._values[name])

    def number(self, name: str) -> float:
        """Return a double or an int as float."""
        value = self._values[name]
        if not isinstance(value, (int, float)):
            raise TypeError(f'parameter {name} is {value!r}, not a number')
        return float(value)

    def integer(self, name: str) -> int:
        """Return an int."""
        value = self._values[name]
        if not isinstance(value, int):
            raise TypeError(f'parameter {name} is {value!r}, not an integer')
        return value

    def flag(self, name: str) -> bool:
        """Return a bool."""
        return bool(self._values[name])

    def strings(self, name: str) -> list[str]:
        """Return a string array."""
        value = self._values[name]
        return [str(v) for v in value] if isinstance(value, list) else []

    def numbers(self, name: str) -> list[float]:
        """Return a double array."""
        value = self._values[name]
        return [float(v) for v in value] if isinstance(value, list) else []

    def group(self, prefix: str) -> dict[str, Value]:
        """Return the set values under ``prefix.``, by the rest of their names."""
        dot = f'{prefix}.'
        return {n[len(dot):]: v for n, v in self._values.items()
                if n.startswith(dot) and v is not None}

    def _on_set(self, parameters: list[Parameter]) -> Any:
        from rcl_interfaces.msg import SetParametersResult
        try:
            new = {p.name: self._specs[p.name].check(p.value)
                   for p in parameters if p.name in self._specs}
            # Rules run on changes at run time; declarations are checked by their specs alone.
            if new and all(name in self._values for name in new):
                for check in self._checks:
                    check(new)
        except RobotracerError as e:
            return SetParametersResult(successful=False, reason=f'{e.name} ({e.code}): {e}')
        return SetParametersResult(successful=True)

    def _on_changed(self, parameters: list[Parameter]) -> None:
        new = {p.name: self._specs[p.name].check(p.value)
               for p in parameters if p.name in self._values}
        self._values.update(new)
        if new:
            for listener in self._listeners:
                listener(new)


def prefixed(prefix: str, specs: Iterable[ParameterSpec]) -> tuple[ParameterSpec, ...]:
    """Return the specs with ``prefix.`` before their names."""
    return tuple(replace(s, name=f'{prefix}.{s.name}') for s in specs)


def _yaml(value: Value) -> str:
    if value is None:
        return ''
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"'{value}'"
    return str(value)


def markdown_table(specs: Iterable[ParameterSpec]) -> str:
    """Write specs as a Markdown table: parameter, type, default, range, description."""
    rows = ['| parameter | type | default | range | description |', '|---|---|---|---|---|']
    for s in specs:
        note = ' Read-only: set at start.' if s.read_only else ''
        default = f'`{_yaml(s.default)}`' if s.default is not None else 'not set'
        text = f'{s.description}{note}'.replace('|', '\\|')
        rows.append(f'| `{s.name}` | {s.kind.value} | {default} | {s.range_text} | {text} |')
    return '\n'.join(rows) + '\n'


def flatten(tree: Mapping[str, Any], prefix: str = '') -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, value) of a nested mapping as in a ROS parameter file."""
    for key, value in tree.items():
        name = f'{prefix}{key}'
        if isinstance(value, Mapping):
            yield from flatten(value, f'{name}.')
        else:
            yield name, value


def check_file(tree: Mapping[str, Any], specs: Mapping[str, Iterable[ParameterSpec]],
               open_prefixes: Iterable[str] = ()) -> list[str]:
    """Compare a loaded parameter file with the declarations; return what is wrong, in words.

    Args:
        tree: The YAML document: node name -> ``ros__parameters`` -> nested values.
        specs: Declared parameters by node name.
        open_prefixes: Beginnings of names that plugins declare when they are loaded.
    """
    wrong: list[str] = []
    allowed = tuple(open_prefixes)
    for node, body in tree.items():
        name = node.strip('/').split('/')[-1]
        if name not in specs and name != '**':
            wrong.append(f"node '{node}' is unknown: must be one of {', '.join(specs)}")
            continue
        chosen = specs.values() if name == '**' else [specs[name]]
        known = {s.name: s for group in chosen for s in group}
        known['use_sim_time'] = ParameterSpec('use_sim_time', False, 'Time from /clock.')
        for parameter, value in flatten(body.get('ros__parameters', {})):
            if parameter in known:
                try:
                    known[parameter].check(value)
                except InvalidParameterError as e:
                    wrong.append(f'{node}: {e}')
            elif not parameter.startswith(allowed) or not allowed:
                wrong.append(f"{node}: parameter '{parameter}' is not declared")
    return wrong


def qos_specs(prefix: str, reliability: str = 'best_effort', durability: str = 'volatile',
              depth: int = 5) -> tuple[ParameterSpec, ...]:
    """Return the specs of ``<prefix>.qos.{reliability,durability,depth}``."""
    return (
        ParameterSpec(
            f'{prefix}.qos.reliability', reliability,
            'best_effort hears every publisher; reliable hears reliable publishers only and asks '
            'for lost samples again.', choices=('best_effort', 'reliable'), read_only=True),
        ParameterSpec(
            f'{prefix}.qos.durability', durability,
            'transient_local also delivers the last sample sent before this node came up, from '
            'publishers that keep it.', choices=('volatile', 'transient_local'), read_only=True),
        ParameterSpec(f'{prefix}.qos.depth', depth, 'Samples kept in the queue.',
                      minimum=1, maximum=1000, read_only=True),
    )


def lens_specs() -> tuple[ParameterSpec, ...]:
    """Return the specs of how a camera_info is read, for any node that computes with pixels."""
    return (
        ParameterSpec('camera_info.rectified', False, 'The image is rectified: use the projection '
                      'matrix P instead of K.'),
        ParameterSpec('camera_info.max_distortion_px', 2.0, 'Largest lens distortion at the border '
                      'of a raw image that is ignored; beyond it the image is refused.',
                      minimum=0.0, maximum=1000.0),
    )


def tf_specs(*, waits: bool = True) -> tuple[ParameterSpec, ...]:
    """Return the specs of the transform tree, for any node that has one.

    Args:
        waits: Whether the node waits for transforms at a stamp, and not only takes the latest.
    """
    timeout = ParameterSpec('tf.timeout_s', 0.5, 'Longest wait for a transform at the wanted '
                            'stamp.', minimum=0.0, maximum=10.0)
    return (
        ParameterSpec('tf.extrinsics', [], "Static transforms 'parent child x y z qx qy qz qw' in "
                      'metres, beside those of /tf_static.', read_only=True),
        ParameterSpec('tf.cache_s', 10.0, 'History kept per frame.', minimum=0.1, maximum=600.0,
                      read_only=True),
        ParameterSpec('tf.max_gap_s', 1.0, 'Longest gap between two samples that is interpolated '
                      'across.', minimum=0.0, maximum=60.0, read_only=True),
        ParameterSpec('tf.max_extrapolation_s', 0.0, 'How far beyond its newest sample a transform '
                      'may be used as it is; 0 forbids it.', minimum=0.0, maximum=1.0,
                      read_only=True),
        *((timeout,) if waits else ()),
    )
