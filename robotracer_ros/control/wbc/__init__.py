# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Whole-body control of a humanoid: tasks, hard constraints, one quadratic program per tick."""
