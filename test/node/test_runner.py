# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""However a node's process ends, the node is halted and closed while it can still publish."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

#: tells by its output what happened; its close publishes, as a brake does
SCRIPT = """
import sys, threading, time
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import String
from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.nodes.runner import run_node

how, several = sys.argv[1], sys.argv[2] == 'several'


class Ending(Node):
    def __init__(self):
        super().__init__('ending')
        if how == 'parameter':
            raise InvalidParameterError('speed = 9: must be < 1')
        self.out = self.create_publisher(String, 'brake', 1)
        self.create_timer(0.05, self.tick)

    def autostart(self):
        print('started', flush=True)

    def tick(self):
        if how == 'callback':
            raise ZeroDivisionError('a bug in a callback')
        if how == 'shutdown':
            self.context.try_shutdown()

    def halt(self):
        print('halted', self.context.ok(), flush=True)

    def close(self):
        if self.context.ok():
            self.out.publish(String(data='brake'))
        print('closed', self.context.ok(), flush=True)


sys.exit(run_node(Ending, [], (lambda: MultiThreadedExecutor(3)) if several else None))
"""


def start(how, several):
    return subprocess.Popen([sys.executable, '-c', SCRIPT, how, several], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize('several', ['one', 'several'])
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signal(number, several):
    with start('signal', several) as process:
        assert process.stdout.readline() == 'started\n'
        process.send_signal(number)
        process.send_signal(number)
        out, err = process.communicate(timeout=60.0)
    assert (process.returncode, out) == (0, 'halted True\nclosed True\n'), err
    assert 'Traceback' not in err


@pytest.mark.parametrize('several', ['one', 'several'])
def test_failed_callback(several):
    with start('callback', several) as process:
        out, err = process.communicate(timeout=60.0)
    assert (process.returncode, out) == (1, 'started\nhalted True\nclosed True\n'), err
    assert 'ZeroDivisionError: a bug in a callback' in err


def test_context_that_is_shut_down():
    with start('shutdown', 'one') as process:
        out, err = process.communicate(timeout=60.0)
    assert (process.returncode, out) == (0, 'started\nhalted False\nclosed False\n'), err


def test_wrong_parameters():
    with start('parameter', 'one') as process:
        out, err = process.communicate(timeout=60.0)
    assert (process.returncode, out) == (1, '')
    assert err == 'INVALID_PARAMETER (502): speed = 9: must be < 1\n'
