# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""TraceSpatial-Bench: loading and scoring by the official rules and by mended ones; doc/evaluation.md."""
