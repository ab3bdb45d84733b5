# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The two processes of ``robotracer bench transport``: a camera and a listener.

``python -m robotracer_ros.nodes.transport_probe camera|listener JSON`` prints one JSON line. The
listener ends when its standard input does. Both use the transport profile, the quality of service
and the message construction of the real nodes.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

import numpy as np

from robotracer_ros.nodes.diagnostics import percentile
from robotracer_ros.nodes.runner import apply_transport_profile

COLOR, DEPTH = 'transport_probe/color', 'transport_probe/depth'


def camera(options: dict[str, Any]) -> dict[str, Any]:
    """Publish ``frames`` RGB-D pictures at ``rate`` Hz once somebody listens."""
    import rclpy
    from rclpy.node import Node
    from sensor_msgs.msg import Image

    from robotracer_ros.nodes.conversions import depth_to_image, rgb_to_image
    from robotracer_ros.nodes.qos import make_qos

    rclpy.init()
    node = Node('transport_probe_camera')
    qos = make_qos(options['reliability'], depth=options['depth'])
    publishers = [node.create_publisher(Image, topic, qos) for topic in (COLOR, DEPTH)]
    random = np.random.default_rng(0)
    shape = (options['height'], options['width'])
    rgb = random.integers(0, 256, (*shape, 3), np.uint8)
    depth = random.uniform(0.5, 2.0, shape).astype(np.float32)
    deadline = time.monotonic() + 30.0
    while any(p.get_subscription_count() == 0 for p in publishers):
        if time.monotonic() > deadline:
            return {'error': 'the listener was not discovered within 30 s'}
        time.sleep(0.05)
    time.sleep(0.5)
    period, late = 1.0 / options['rate'], 0
    cpu, start = time.process_time(), time.monotonic()
    for k in range(options['frames']):
        wait = start + k * period - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        late += wait < -period
        stamp = time.time_ns()
        publishers[0].publish(rgb_to_image(rgb, str(k), stamp))
        publishers[1].publish(depth_to_image(depth, '16UC1', str(k), stamp))
    wall = time.monotonic() - start
    result = {'sent': options['frames'], 'rate_hz': options['frames'] / max(wall, period),
              'late_frames': late, 'cpu_percent': 100 * (time.process_time() - cpu) / wall}
    # Shared memory goes with the process: leave the last frames time to be read.
    time.sleep(1.0)
    rclpy.try_shutdown()
    return result


def listener(options: dict[str, Any]) -> dict[str, Any]:
    """Receive until standard input ends; report what came and how late."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node
    from sensor_msgs.msg import Image

    from robotracer_ros.nodes.conversions import stamp_to_ns
    from robotracer_ros.nodes.qos import make_qos

    rclpy.init()
    node = Node('transport_probe_listener')
    qos = make_qos(options['reliability'], depth=options['depth'])
    latencies: dict[str, list[float]] = {COLOR: [], DEPTH: []}
    frames: dict[str, set[int]] = {COLOR: set(), DEPTH: set()}
    clock = {'start': 0.0, 'cpu': 0.0, 'end': 0.0, 'cpu_end': 0.0}

    def receive(topic: str, msg: Image) -> None:
        if not clock['start']:
            clock['start'], clock['cpu'] = time.monotonic(), time.process_time()
        latencies[topic].append((time.time_ns() - stamp_to_ns(msg.header.stamp)) * 1e-6)
        frames[topic].add(int(msg.header.frame_id))
        clock['end'], clock['cpu_end'] = time.monotonic(), time.process_time()

    for topic in (COLOR, DEPTH):
        node.create_subscription(Image, topic, lambda msg, t=topic: receive(t, msg), qos)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    ended = threading.Event()

    def watch() -> None:
        sys.stdin.read()
        ended.set()
        executor.wake()
    threading.Thread(target=watch, daemon=True).start()
    while not ended.is_set():
        executor.spin_once(timeout_sec=0.5)
    result: dict[str, Any] = {}
    for name, topic in (('color', COLOR), ('depth', DEPTH)):
        ordered = sorted(latencies[topic])
        result[name] = {
            'received': len(frames[topic]),
            'latency_ms': {key: percentile(ordered, share) for key, share in (
                ('p50', 0.5), ('p95', 0.95), ('p99', 0.99), ('max', 1.0))}}
    wall = clock['end'] - clock['start']
    result['cpu_percent'] = 100 * (clock['cpu_end'] - clock['cpu']) / wall if wall else 0.0
    rclpy.try_shutdown()
    return result


def main() -> int:
    """Run the role named on the command line."""
    role, options = sys.argv[1], json.loads(sys.argv[2])
    apply_transport_profile()
    result = {'camera': camera, 'listener': listener}[role](options)
    print(json.dumps(result), flush=True)
    return 1 if 'error' in result else 0


if __name__ == '__main__':
    sys.exit(main())
