# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The simulated workcell: scenes, physics, controllers, camera. No ROS."""
