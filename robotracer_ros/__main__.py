# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Let `python -m robotracer_ros` be the same as the console script `robotracer`."""

from robotracer_ros.cli import main

if __name__ == '__main__':
    main()
