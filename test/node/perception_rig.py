# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A perception node, a camera and clients on one executor, talking through real DDS."""

import json
import threading
import time

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

from robotracer_msgs.msg import Trace
from robotracer_msgs.srv import ListCheckpoints, Measure, PredictTrace, Refer
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.nodes.conversions import camera_to_info, depth_to_image, encode_rgb
from robotracer_ros.nodes.perception_node import PerceptionNode
from robotracer_ros.nodes.qos import make_qos

PATIENCE_S = 60.0
FRAME = 'camera_color_optical_frame'
CAMERA = CameraModel(64, 48, 60.0, 60.0, 31.5, 23.5)
RGB = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
DEPTH = np.full((48, 64), 1.0, np.float32)
GOOD = 'put the red mug on the tray'
BROKEN = 'say something odd'
ANSWERS = {
    GOOD: '<think>\n[Scale] [Scene]: 1.500\n[Referring] [the red mug]: [(200, 600, 0.900)]\n'
          '</think>\n<answer>[(200, 600, 0.900), (400, 300, 0.800), (700, 600, 1.000)]</answer>',
    BROKEN: '<answer>I would rather not.</answer>',
    'the red mug': '<answer>[(200, 600, 0.900)]</answer>',
    'the height of the red mug': '<answer>9.500 centimeters</answer>',
}


def write_answers(folder, answers=ANSWERS):
    path = folder / 'answers.jsonl'
    path.write_text('\n'.join(json.dumps({'instruction': k, 'answer': v})
                              for k, v in answers.items()), encoding='utf-8')
    return path


def wait_for(condition, what='condition', timeout_s=PATIENCE_S):
    """Wait until a callable returns something true; return that."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f'gave up waiting for {what}'
        time.sleep(0.005)
    return value


class Rig:
    """Everything a test needs; close it."""

    def __init__(self, answers, *, start=True, **parameters):
        self.answers = answers
        defaults = {
            'tracer.plugin': 'replay', 'tracer.replay.path': str(answers), 'max_age_s': 30.0,
            'input_wait_s': 20.0, 'diagnostics.period_s': 0.1, 'tf.timeout_s': 0.1,
            **{f'{n}.qos.reliability': 'reliable' for n in ('color', 'depth', 'camera_info')}}
        overrides = [Parameter(k, value=v) for k, v in {**defaults, **parameters}.items()]
        self.node = PerceptionNode(parameter_overrides=overrides)
        self.client = Node('client')
        self.statuses, self.traces, self.overlays = {}, [], []
        make = self.client.create_client
        self.clients = {
            'predict': make(PredictTrace, '/perception/predict_trace'),
            'refer': make(Refer, '/perception/refer'),
            'measure': make(Measure, '/perception/measure'),
            'list': make(ListCheckpoints, '/perception/list_checkpoints'),
            'cancel': make(Trigger, '/perception/cancel')}
        self.parameters = AsyncParameterClient(self.client, '/perception')
        self.client.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        self.client.create_subscription(Trace, '/perception/trace', self.traces.append, 10)
        qos = make_qos('reliable', depth=5)
        publish = self.client.create_publisher
        self.color = publish(Image, '/camera/color/image_raw', qos)
        self.depth = publish(Image, '/camera/aligned_depth_to_color/image_raw', qos)
        self.info = publish(CameraInfo, '/camera/color/camera_info', qos)
        self.instruction = publish(String, '/perception/instruction', qos)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.executor.add_node(self.client)
        self._stop = False
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()
        for client in self.clients.values():
            assert client.wait_for_service(PATIENCE_S)
        if start:
            self.start()

    def _spin(self):
        while not self._stop:
            self.executor.spin_once(timeout_sec=0.05)

    def _on_diagnostics(self, msg):
        for status in msg.status:
            self.statuses[status.name.split(': ')[1]] = (
                int.from_bytes(status.level), status.message,
                {v.key: v.value for v in status.values})

    def run(self, function, *args):
        """Call something in the executor's thread, as a service callback would be."""
        task = self.executor.create_task(function, *args)
        wait_for(task.done, 'a call in the executor')
        return task.result()

    def start(self):
        assert self.run(self.node.trigger_configure).name == 'SUCCESS'
        self.activate()

    def activate(self):
        assert self.run(self.node.trigger_activate).name == 'SUCCESS'
        for publisher in (self.color, self.info):
            wait_for(publisher.get_subscription_count, 'subscriptions')
        wait_for(lambda: self.depth.get_subscription_count()
                 or self.depth.topic_name not in [s.topic_name for s in self.node.subscriptions])

    def now_ns(self):
        return self.client.get_clock().now().nanoseconds

    def shoot(self, *, only=('color', 'depth', 'info'), stamp_ns=None, rgb_encoding='rgb8',
              rgb=RGB, depth=DEPTH, depth_encoding='32FC1', camera=CAMERA, shift_ns=None,
              change=None):
        """Publish one RGB-D picture; ``change`` may spoil the three messages first."""
        stamp_ns = self.now_ns() if stamp_ns is None else stamp_ns
        shift = {'color': 0, 'depth': 0, 'info': 0, **(shift_ns or {})}
        messages = {
            'info': camera_to_info(camera, FRAME, stamp_ns + shift['info']),
            'depth': depth_to_image(depth, depth_encoding, FRAME, stamp_ns + shift['depth']),
            'color': encode_rgb(rgb, rgb_encoding, FRAME, stamp_ns + shift['color'])}
        if change is not None:
            change(messages)
        for name in only:
            getattr(self, name).publish(messages[name])
        return stamp_ns

    def send(self, service, **fields):
        """Send a request; return its future."""
        client = self.clients[service]
        return client.call_async(client.srv_type.Request(**fields))

    def ask(self, service, **fields):
        """Send a request and wait for the response."""
        return self.answer(self.send(service, **fields))

    def answer(self, future):
        wait_for(future.done, 'a response')
        return future.result()

    def set(self, **values):
        """Set parameters together through the parameter service; return (successful, reason)."""
        names = {k.replace('__', '.'): v for k, v in values.items()}
        result = self.answer(self.parameters.set_parameters_atomically(
            [Parameter(k, value=v) for k, v in names.items()])).result
        return result.successful, result.reason

    def status(self, name, key=None, value=None):
        """Wait for a report in which ``key`` has ``value``; return it."""
        def found():
            status = self.statuses.get(name)
            if status is None or (key is not None and status[2].get(key) != str(value)):
                return None
            return status
        try:
            return wait_for(found, f'{name} {key}={value}', 20.0)
        except AssertionError as e:
            raise AssertionError(f'{e}; last report: {self.statuses.get(name)}') from None

    def close(self):
        self._stop = True
        self._thread.join()
        self.node.close()
        self.executor.shutdown()
        self.node.destroy_node()
        self.client.destroy_node()
