# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Overlays, pictures, markers and the browser viewer."""
