# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of planners and controllers: limits of their numbers, and copies with other values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from robotracer_ros.errors import InvalidParameterError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Parameters = TypeVar('_Parameters', bound='DataclassInstance')


def check_ranges(
    parameters: object, ranges: Mapping[str, tuple[float, float]], what: str
) -> None:
    """Refuse numbers outside their limits.

    Args:
        parameters: What has the numbers.
        ranges: Name of a number to its lower and upper limit.
        what: What a parameter is called in errors, e.g. ``planner parameter``.

    Raises:
        InvalidParameterError: names the parameter, its value and the limits.
    """
    for name, (low, high) in ranges.items():
        value = getattr(parameters, name)
        if not low <= value <= high:
            raise InvalidParameterError(
                f"{what} '{name}' is {value!r}: must be in {low:g}..{high:g}",
                parameter=name,
                value=value,
                lower=low,
                upper=high,
            )


def replaced(parameters: _Parameters, what: str, values: Mapping[str, Any]) -> _Parameters:
    """Return a copy with other values, each converted to the type of the one it replaces, tuples to numbers.

    Raises:
        InvalidParameterError: a name is unknown, a value no number or out of range.
    """
    known = {f.name for f in dataclasses.fields(parameters)}
    clean: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise InvalidParameterError(
                f"unknown {what} '{name}'; known: {', '.join(sorted(known))}", parameter=name
            )
        kind = type(getattr(parameters, name))
        try:
            clean[name] = tuple(float(v) for v in value) if kind is tuple else kind(value)
        except (TypeError, ValueError) as e:
            raise InvalidParameterError(
                f"{what} '{name}' is {value!r}: must be a number", parameter=name
            ) from e
    return dataclasses.replace(parameters, **clean)
