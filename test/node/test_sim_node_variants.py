# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Simulation nodes with other parameters, and one whose renderer dies."""

import os
import threading
import time

import numpy as np
from rclpy.parameter import Parameter
from sim_rig import PATIENCE_S, SEED, Rig, wait_for

from robotracer_ros.nodes.conversions import (
    image_to_depth,
    stamp_to_ns,
)
from robotracer_ros.nodes.sim_node import SimNode


def test_metres_depth_other_sizes_and_names_at_full_speed(ros):
    other = Rig(**{'depth.encoding': '32FC1', 'color.encoding': 'bgr8', 'camera.width': 160,
                   'camera.height': 120, 'real_time_factor': 0.0, 'camera.frame': 'eye',
                   'depth.qos.reliability': 'reliable'})
    try:
        depth, color = other.get('depth'), other.get('color')
        assert (depth.encoding, color.encoding) == ('32FC1', 'bgr8')
        assert (color.width, color.height, color.header.frame_id) == (160, 120, 'eye')
        metres = image_to_depth(depth)
        assert 0.5 < np.median(metres[metres > 0]) < 2.5
        first = stamp_to_ns(other.get('clock').clock)
        wait_for(lambda: stamp_to_ns(other.get('clock').clock) > first + 3_000_000_000, 'time')
    finally:
        other.close()


def test_nobody_looking_means_nothing_rendered(ros):
    node = SimNode(parameter_overrides=[Parameter('seed', value=SEED)])
    try:
        time.sleep(1.0)
        assert node._frames.count == 0
        assert node._states.count > 10
    finally:
        node.close()
        node.destroy_node()


def test_a_dead_renderer_ends_the_node_instead_of_freezing_the_picture(ros):
    node = SimNode(parameter_overrides=[Parameter('camera.lazy', value=False)])
    failed = threading.Event()
    node._fail = lambda error: failed.set()
    node._camera._on_failure = node._fail
    try:
        wait_for(lambda: node._frames.count, 'a picture')
        os.kill(node._camera.pid, 9)
        assert failed.wait(PATIENCE_S)
    finally:
        node.close()
        node.destroy_node()
