# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""``python -m robotracer_ros.training CONFIG [KEY=VALUE ...]``: what ``torchrun`` and ``accelerate launch`` start."""

from __future__ import annotations

import sys

import yaml

from robotracer_ros.errors import InvalidParameterError, RobotracerError
from robotracer_ros.training.start import start


def main(arguments: list[str]) -> None:
    """Start a training; settings after the file win over it, ``stage`` chooses one of its stages."""
    if not arguments or '=' in arguments[0]:
        raise InvalidParameterError('usage: python -m robotracer_ros.training CONFIG [KEY=VALUE ...]')
    pairs = [a.partition('=') for a in arguments[1:]]
    wrong = [key for key, sign, _ in pairs if not sign]
    if wrong:
        raise InvalidParameterError(f"'{wrong[0]}' is no KEY=VALUE")
    start(arguments[0], **{key: yaml.safe_load(value) for key, _, value in pairs})


if __name__ == '__main__':
    try:
        main(sys.argv[1:])
    except RobotracerError as error:
        sys.exit(f'{error.name}: {error}')
