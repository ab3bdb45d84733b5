# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""YAML files of options over dataclasses whose defaults are documented there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import yaml

from robotracer_ros.errors import InvalidParameterError

T = TypeVar('T')


def at_least_one(**values: int | None) -> None:
    """Refuse counts below 1; None is no count. Raises InvalidParameterError naming the first."""
    for name, value in values.items():
        if value is not None and value < 1:
            raise InvalidParameterError(f'{name} {value}: must be at least 1')


def one_of(kind: Any, **values: str) -> None:
    """Refuse words that a Literal does not list. Raises InvalidParameterError naming the first."""
    for name, value in values.items():
        if value not in get_args(kind):
            raise InvalidParameterError(
                f"{name} '{value}': must be one of {', '.join(get_args(kind))}"
            )


def read_options(path: Path | None) -> dict[str, Any]:
    """Read a YAML file of options; an empty dictionary without one.

    Raises:
        InvalidParameterError: the file cannot be read or holds no mapping.
    """
    if path is None:
        return {}
    try:
        data = yaml.safe_load(path.read_text(encoding='utf-8')) or {}
    except (OSError, yaml.YAMLError) as error:
        raise InvalidParameterError(f"configuration '{path}' cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise InvalidParameterError(
            f"configuration '{path}' holds a {type(data).__name__}: must be a mapping of names"
        )
    return data


def with_options(base: T, options: Mapping[str, Any], where: str = '') -> T:
    """Return a dataclass with some fields replaced by plain values, nested dataclasses included.

    Raises:
        InvalidParameterError: a name is unknown or a value of another type.
    """
    known = get_type_hints(type(base))
    names = {f.name for f in fields(base)}  # type: ignore[arg-type]
    changed: dict[str, Any] = {}
    for name, value in options.items():
        if name not in names:
            raise InvalidParameterError(
                f"option '{where}{name}' is unknown: must be one of {', '.join(sorted(names))}"
            )
        before = getattr(base, name)
        if hasattr(before, '__dataclass_fields__'):
            if not isinstance(value, Mapping):
                raise InvalidParameterError(f"option '{where}{name}' is {value!r}: must be a mapping")
            changed[name] = with_options(before, value, f'{where}{name}.')
            continue
        if isinstance(before, float) and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if isinstance(before, tuple) and isinstance(value, list):
            value = _items(before, value, get_args(known[name])[0], f'{where}{name}')
        if before is not None and type(value) is not type(before):
            raise InvalidParameterError(
                f"option '{where}{name}' is {value!r}: must be a {known[name]}"
            )
        if get_origin(known[name]) is Literal and value not in get_args(known[name]):
            raise InvalidParameterError(
                f"option '{where}{name}' is {value!r}: must be one of {', '.join(get_args(known[name]))}"
            )
        changed[name] = value
    return replace(base, **changed)  # type: ignore[type-var]


def _items(
    before: tuple[Any, ...], values: list[Any], kind: Any, where: str
) -> tuple[Any, ...]:
    """Return a tuple; items of a tuple of dataclasses are mappings over the first one's defaults."""
    if not before or not hasattr(before[0], '__dataclass_fields__'):
        accepted = (int, float) if kind is float else kind
        for i, value in enumerate(values):
            if not isinstance(value, accepted) or isinstance(value, bool):
                raise InvalidParameterError(
                    f"option '{where}[{i}]' is {value!r}: must be a {kind.__name__}"
                )
        return tuple(kind(v) for v in values)
    for i, value in enumerate(values):
        if not isinstance(value, Mapping):
            raise InvalidParameterError(f"option '{where}[{i}]' is {value!r}: must be a mapping")
    default = type(before[0])()
    return tuple(with_options(default, v, f'{where}[{i}].') for i, v in enumerate(values))
