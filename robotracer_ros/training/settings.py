# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Dataclasses of settings filled from YAML, with errors that name the setting, its value and what is allowed."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from robotracer_ros.errors import InvalidParameterError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Made = TypeVar('_Made', bound='DataclassInstance')


def fill(kind: type[_Made], where: str, values: Any) -> _Made:
    """Fill a dataclass with values as YAML gives them.

    Args:
        kind: The dataclass.
        where: What the values belong to, for errors.
        values: By field.

    Raises:
        InvalidParameterError: a value is unknown, missing or of another type.
    """
    if not isinstance(values, dict):
        raise InvalidParameterError(f'{where} is a {type(values).__name__}: must be a mapping')
    known = {f.name: str(f.type) for f in fields(kind)}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise InvalidParameterError(
            f'{where}: unknown setting(s) {", ".join(map(str, unknown))}; known: {", ".join(sorted(known))}'
        )
    checked = {}
    for key, value in values.items():
        kinds = known[key].split(' | ')
        if 'float' in kinds and isinstance(value, int | str) and not isinstance(value, bool):
            with suppress(ValueError):  # YAML reads 1e-4 as a word
                value = float(value)
        if not any(_fits(value, name) for name in kinds):
            raise InvalidParameterError(f'{where}: {key} is {value!r}: must be {known[key]}')
        checked[key] = value
    try:
        return kind(**checked)
    except TypeError as error:
        raise InvalidParameterError(f'{where}: {error}') from error


def _fits(value: Any, name: str) -> bool:
    match name.partition('[')[0]:
        case 'None':
            return value is None
        case 'bool':
            return isinstance(value, bool)
        case 'int':
            return isinstance(value, int) and not isinstance(value, bool)
        case 'float':
            return isinstance(value, float)
        case 'str':
            return isinstance(value, str)
        case 'list':
            return isinstance(value, list)
        case 'dict':
            return isinstance(value, dict)
    return value is not None and type(value).__name__ == name
