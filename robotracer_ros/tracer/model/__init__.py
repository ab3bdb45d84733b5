# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""RoboTracer as ``transformers`` classes. Importing this package needs torch and transformers."""
