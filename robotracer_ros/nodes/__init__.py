# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Thin rclpy nodes: parameters, topics, services and actions on one side, rooms on the other."""
