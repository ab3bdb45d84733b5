# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The 3D-scan pipeline: frames of CA-1M, ScanNet and EmbodiedScan become questions, answers and traces."""
