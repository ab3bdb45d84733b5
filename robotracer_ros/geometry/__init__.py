# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Cameras, depth, transforms and the trace type; numpy only."""
