# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Checked motions to moving robots: streaming, watching, stopping."""
