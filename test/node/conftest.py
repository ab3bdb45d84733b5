# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Keep test graphs on this machine and apart from each other; one rclpy for the session."""

import os

import pytest

# Before anything imports rclpy. Two test runs at the same time get different domains.
os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
os.environ.setdefault('ROS_DOMAIN_ID', str(1 + os.getpid() % 100))


@pytest.fixture(scope='session')
def ros():
    """rclpy with the transport profile that the nodes use."""
    import rclpy

    from robotracer_ros.nodes.runner import apply_transport_profile
    apply_transport_profile()
    rclpy.init()
    yield rclpy
    rclpy.try_shutdown()
