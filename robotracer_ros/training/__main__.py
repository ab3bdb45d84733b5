# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""``python -m robotracer_ros.training CONFIG [KEY=VALUE ...]``: what ``torchrun`` and ``accelerate launch`` start."""

from __future__ import annotations

import sys

from robotracer_ros.errors import InvalidParameterError, RobotracerError
from robotracer_ros.training.start import parse_settings, start


def main(arguments: list[str]) -> None:
    """Start a training; settings after the file win over it, ``stage`` chooses one of its stages."""
    if not arguments or '=' in arguments[0]:
        raise InvalidParameterError('usage: python -m robotracer_ros.training CONFIG [KEY=VALUE ...]')
    start(arguments[0], **parse_settings(arguments[1:]))


if __name__ == '__main__':
    try:
        main(sys.argv[1:])
    except RobotracerError as error:
        sys.exit(f'{error.name}: {error}')
