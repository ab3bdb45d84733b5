# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Trace, scene and robot state in; a checked, timed trajectory or a typed error out."""
