# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Does RGB-D arrive? Two real processes, real DDS, every lost frame counted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from robotracer_ros.errors import MissingPackageError, RobotracerError
from robotracer_ros.resources import resource

_MODULE = 'robotracer_ros.nodes.transport_probe'
#: what the perception node asks for by default, the harder case: nothing lost is sent again
RELIABILITY, QUEUE_DEPTH = 'best_effort', 5


def measure(seconds: float = 20.0, rate: float = 30.0, width: int = 640, height: int = 480,
            reliability: str = RELIABILITY, profile: bool = True) -> dict[str, Any]:
    """Send RGB-D frames from one process to another.

    Args:
        seconds: Length of the run.
        rate: Frames per second; each is an rgb8 and a 16UC1 image.
        width: Pixels.
        height: Pixels.
        reliability: best_effort or reliable, on both sides.
        profile: Use the shipped transport profile; False shows Fast DDS's default.

    Returns:
        Sent, received and lost frames, latency percentiles in milliseconds from stamp to callback,
        processor load in percent of one core, and the profile that was in effect.

    Raises:
        MissingPackageError: rclpy is not installed.
        RobotracerError: a process failed.
    """
    frames = max(1, round(seconds * rate))
    options = {'frames': frames, 'rate': rate, 'width': width, 'height': height,
               'reliability': reliability, 'depth': QUEUE_DEPTH}
    environment = dict(os.environ)
    environment.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    if not profile:
        environment['ROBOTRACER_TRANSPORT'] = 'default'
    # The environment may name a profile of the user's: then that is measured, and said.
    named = environment.get('FASTDDS_DEFAULT_PROFILES_FILE') or environment.get(
        'FASTRTPS_DEFAULT_PROFILES_FILE')
    shown = Path(named).name if named else (
        resource('config/fastdds.xml').name if profile else 'Fast DDS default')
    listener = _start('listener', options, environment)
    try:
        camera = _start('camera', options, environment)
        try:
            sent = _finish(camera, 'camera', 60.0 + 2.0 * seconds)
        finally:
            _stop(camera)
        received = _finish(listener, 'listener', 30.0)
    finally:
        _stop(listener)
    result: dict[str, Any] = {
        'seconds': seconds, 'width': width, 'height': height, 'reliability': reliability,
        'profile': shown, 'load_average': os.getloadavg()[0], **sent,
        'cpu_percent': {'camera': sent['cpu_percent'], 'listener': received['cpu_percent']}}
    for name in ('color', 'depth'):
        result[name] = {**received[name], 'lost': sent['sent'] - received[name]['received']}
    result['lost'] = result['color']['lost'] + result['depth']['lost']
    return result


def _start(role: str, options: dict[str, Any],
           environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, '-m', _MODULE, role, json.dumps(options)], env=environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _finish(process: subprocess.Popen[str], role: str, timeout_s: float) -> dict[str, Any]:
    try:
        out, err = process.communicate('', timeout=timeout_s)
    except subprocess.TimeoutExpired as e:
        raise RobotracerError(f'the {role} process did not end within {timeout_s:g} s') from e
    if "No module named 'rclpy'" in err:
        raise MissingPackageError('rclpy is not installed: use ./run or source a ROS installation')
    try:
        result: dict[str, Any] = json.loads(out.splitlines()[-1])
    except (ValueError, IndexError) as e:
        raise RobotracerError(f'the {role} process ended with {process.returncode}: '
                              f'{err.strip()[-500:]}') from e
    if 'error' in result:
        raise RobotracerError(f"{role}: {result['error']}")
    return result


def _stop(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()


def main(seconds: float = 20.0, rate: float = 30.0, width: int = 640, height: int = 480,
         json_output: bool = False) -> int:
    """Measure and print; return 0 when nothing was lost."""
    result = measure(seconds, rate, width, height)
    if json_output:
        print(json.dumps(result))
    else:
        from rich.console import Console
        from rich.table import Table
        table = Table(title=f"{width}x{height} RGB-D at {rate:g} Hz for {seconds:g} s, "
                            f"{result['reliability']}, profile {result['profile']}")
        for heading in ('image', 'sent', 'received', 'lost', 'p50 ms', 'p95 ms', 'p99 ms',
                        'max ms'):
            table.add_column(heading, justify='right')
        for name in ('color', 'depth'):
            row = result[name]
            table.add_row(name, str(result['sent']), str(row['received']), str(row['lost']),
                          *(f"{row['latency_ms'][k]:.1f}" for k in ('p50', 'p95', 'p99', 'max')))
        console = Console()
        console.print(table)
        console.print(f"processor: camera {result['cpu_percent']['camera']:.0f} %, listener "
                      f"{result['cpu_percent']['listener']:.0f} % of one core")
    return 0 if result['lost'] == 0 else 1
