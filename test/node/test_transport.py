# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from robotracer_ros.bench.transport import measure
from robotracer_ros.errors import RobotracerError
from robotracer_ros.nodes import runner
from robotracer_ros.resources import resource


def test_a_short_run_between_two_processes_loses_nothing():
    result = measure(seconds=1.0, rate=15.0, width=640, height=480)
    assert result['sent'] == 15
    assert (result['color']['lost'], result['depth']['lost'], result['lost']) == (0, 0, 0)
    assert 0 < result['color']['latency_ms']['p50'] <= result['color']['latency_ms']['max']
    assert result['profile'] == 'fastdds.xml'


def test_a_process_that_fails_is_reported():
    with pytest.raises(RobotracerError, match='reliability'):
        measure(seconds=0.1, reliability='hopeful')


def test_the_profile_holds_a_whole_frame():
    tree = ElementTree.parse(resource('config/fastdds.xml'))
    tag = '{http://www.eprosima.com}'
    (segment,) = [int(e.text) for e in tree.iter(f'{tag}segment_size')]
    (message,) = [int(e.text) for e in tree.iter(f'{tag}maxMessageSize')]
    frame = 1920 * 1080 * 3
    assert message > frame
    assert segment > 4 * message - 1
    defined = {e.text for e in tree.iter(f'{tag}transport_id')}
    assert defined == {'robotracer_shm', 'robotracer_udp'}


@pytest.mark.parametrize(('environment', 'profile', 'variable'), [
    ({}, 'fastdds.xml', 'FASTDDS_DEFAULT_PROFILES_FILE'),
    ({'ROS_DISTRO': 'jazzy'}, 'fastdds.xml', 'FASTRTPS_DEFAULT_PROFILES_FILE'),
    ({'FASTDDS_DEFAULT_PROFILES_FILE': 'mine.xml'}, 'mine.xml', 'FASTDDS_DEFAULT_PROFILES_FILE'),
    ({'FASTRTPS_DEFAULT_PROFILES_FILE': 'old.xml'}, 'old.xml', 'FASTRTPS_DEFAULT_PROFILES_FILE'),
    ({'ROBOTRACER_TRANSPORT': 'default'}, '', None),
])
def test_the_profile_is_applied_unless_the_user_has_one(
        monkeypatch, environment, profile, variable):
    for name in (*runner.PROFILE_VARIABLES, 'ROS_DISTRO', 'ROBOTRACER_TRANSPORT'):
        monkeypatch.setenv(name, '')  # remembers the state before, so that nothing leaks
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    got = runner.apply_transport_profile()
    assert os.path.basename(got) == profile
    set_now = [v for v in runner.PROFILE_VARIABLES if os.environ.get(v)]
    assert set_now == ([variable] if variable else [])


def test_fast_dds_accepts_the_profile():
    # A profile with a mistake is ignored with a line on stderr, and images are lost again.
    result = subprocess.run(
        [sys.executable, '-c', 'from robotracer_ros.nodes.runner import apply_transport_profile\n'
         'apply_transport_profile()\nimport rclpy\nrclpy.init()\nrclpy.create_node("n")\n'
         'rclpy.try_shutdown()'], capture_output=True, text=True, timeout=60, check=True)
    assert result.stderr == ''
