# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Traces from recorded manipulation: readers of published layouts, gripper intervals, checks, samples."""
