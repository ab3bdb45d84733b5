# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Questions about ordinary pictures: things found, cut out, lifted to 3D by estimated depth, named, asked for."""
