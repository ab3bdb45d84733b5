# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Depth to obstacles, the object at a pixel and grasps. No ROS."""
