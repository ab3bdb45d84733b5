# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Instruction and images to a trace: text format, model, backends."""
