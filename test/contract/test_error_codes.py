# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""errors.py and ErrorCode.msg list the same errors under the same numbers.

A client reads the number from an action result and looks it up in the message; a number that only
one side knows would be reported as nothing, or as something else.
"""

import inspect
import re

from packaging_facts import ROOT

from robotracer_ros import errors

LINE = re.compile(r'uint16 ([A-Z0-9_]+)=(\d+)')


def message_codes() -> dict[str, int]:
    """Read the constants of ErrorCode.msg."""
    text = (ROOT / 'robotracer_msgs' / 'msg' / 'ErrorCode.msg').read_text(encoding='utf-8')
    return {m[1]: int(m[2]) for line in text.splitlines() if (m := LINE.match(line))}


def class_codes() -> dict[str, int]:
    """Collect the numbers of the classes that carry one of their own."""
    found: dict[str, int] = {}
    for _, cls in inspect.getmembers(errors, inspect.isclass):
        if issubclass(cls, errors.RobotracerError) and 'code' in vars(cls):
            assert cls.name not in found, f'two classes are called {cls.name}'
            found[cls.name] = cls.code
    return found


def test_same_names_and_numbers() -> None:
    """Every error has one class and one constant, NONE (no error) aside."""
    codes = message_codes()
    assert codes.pop('NONE') == 0
    assert class_codes() == codes


def test_numbers_are_unique() -> None:
    """Two constants with one number could not be told apart."""
    codes = list(message_codes().values())
    assert len(codes) == len(set(codes))


def test_installed_messages_are_those_of_the_checkout() -> None:
    """A forgotten rebuild leaves the old constants in the compiled package."""
    from robotracer_msgs.msg import ErrorCode

    assert {name: getattr(ErrorCode, name) for name in message_codes()} == message_codes()
