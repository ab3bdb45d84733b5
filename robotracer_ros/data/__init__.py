# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Data engine: instructions, ground-truth traces and questions about simulated scenes."""
