# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The report of `robotracer doctor`: what works on this machine, and what to install for the rest.

    from robotracer_ros import doctor
    checks = doctor.collect()
    doctor.show(checks)              # or json.dumps([dataclasses.asdict(c) for c in checks])
    raise SystemExit(doctor.status(checks))

Every probe does the thing it reports on (a message really travels, a world really steps) in a
process of its own: a library that crashes when it is loaded must not take the report down.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from robotracer_ros import __version__, modes, resources

Outcome = Literal['ok', 'absent', 'broken']


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        area: What needs it: 'machine', 'ros', 'planning', 'simulation', 'learning', 'viewing',
            'recording' or 'optional'.
        name: What was tried.
        outcome: 'ok', 'absent' (optional, and not there) or 'broken' (needed, and not working).
        detail: Versions and figures, or the error.
        remedy: What to install or do; empty when all is well.
    """

    area: str
    name: str
    outcome: Outcome
    detail: str
    remedy: str = ''


@dataclass(frozen=True)
class Probe:
    """A piece of Python that prints its finding as its last line, and what its failure means.

    Attributes:
        area: As in Check.
        name: As in Check.
        code: Run by this interpreter; an exception or a crash means failure.
        remedy: Shown on failure.
        needed: Whether failure is 'broken' rather than 'absent'.
        limit: Seconds after which the probe counts as failed.
    """

    area: str
    name: str
    code: str
    remedy: str
    needed: bool = True
    limit: float = 60.0


REINSTALL = 'remove .venv and start ./run again; in ROS mode see doc/installation.md'

MESSAGE_TRAVELS = """
import os, time
import rclpy
from rclpy.executors import SingleThreadedExecutor
from robotracer_msgs.msg import Trace, TracePoint
rclpy.init()
a, b = rclpy.create_node('doctor_a'), rclpy.create_node('doctor_b')
got = []
b.create_subscription(Trace, 'doctor/trace', got.append, 1)
publisher = a.create_publisher(Trace, 'doctor/trace', 1)
executor = SingleThreadedExecutor()
executor.add_node(b)
began = time.monotonic()
while not got and time.monotonic() - began < 15.0:
    publisher.publish(Trace(instruction='hello', points=[TracePoint(u=1.0)] * 2))
    executor.spin_once(timeout_sec=0.1)
from rclpy.utilities import get_rmw_implementation_identifier as rmw
executor.shutdown()
rclpy.try_shutdown()
assert got and got[0].instruction == 'hello', 'no message within 15 s'
print(f'a Trace arrived over {rmw()}')
"""

CODES_AGREE = """
import inspect
from robotracer_msgs.msg import ErrorCode
from robotracer_ros import errors
for _, c in inspect.getmembers(errors, inspect.isclass):
    if issubclass(c, errors.RobotracerError) and 'code' in vars(c):
        assert getattr(ErrorCode, c.name, None) == c.code, f'{c.name} differs: built from old files'
print('built, and of this version')
"""

KINEMATICS = """
import coal, pinocchio
from robotracer_ros import robot_description as arm
from robotracer_ros.planning.ur_kinematics import UrKinematics
text, dirs = arm.load_urdf(), arm.mesh_dirs()
model = pinocchio.buildModelFromXML(text)
shapes = pinocchio.buildGeomFromUrdfString(model, text, pinocchio.COLLISION, dirs)
ur = UrKinematics.from_model(model, arm.ARM_JOINTS, 'base', arm.TCP_FRAME)
q = [0.3, -1.2, 1.5, -1.9, -1.4, 0.7]
away = abs(ur.inverse(ur.forward(q)[None])[0] - q).max(axis=1).min()
assert away < 1e-9, f'the inverse kinematics is {away} rad off'
print(f'pinocchio {pinocchio.__version__}, coal {coal.__version__}; the arm has {model.nq} '
      f'joints and {shapes.ngeoms} collision shapes')
"""

SAMPLING = """
from importlib.metadata import version
from ompl import base, geometric
import toppra
toppra.setup_logging('ERROR')
print(f'ompl {version("ompl")}, toppra {version("toppra")}')
"""

SIMULATION = """
import mujoco
model = mujoco.MjModel.from_xml_string(
    '<mujoco><worldbody><geom type="plane" size="1 1 .1"/><body pos="0 0 1"><freejoint/>'
    '<geom size=".1"/></body></worldbody></mujoco>')
data = mujoco.MjData(model)
for _ in range(2000):
    mujoco.mj_step(model, data)
assert abs(data.qpos[2] - 0.1) < 0.01, f'a ball came to rest at {data.qpos[2]:.3f} m, not 0.1 m'
print(f'mujoco {mujoco.__version__} lets a ball fall and rest')
"""

RAYS = """
from importlib.metadata import version
import embreex, trimesh
scene = trimesh.creation.box()
hit = scene.ray.intersects_location([[0, 0, 5]], [[0, 0, -1]])[0]
assert len(hit), 'a ray misses a box'
print(f'embreex {version("embreex")} through trimesh {trimesh.__version__}')
"""

LEARNING = """
import torch, transformers
device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else 'no GPU'
x = torch.ones(64, 64)
assert float((x @ x)[0, 0]) == 64.0
print(f'torch {torch.__version__} ({device}, {torch.get_num_threads()} threads), '
      f'transformers {transformers.__version__}')
"""

VIEWER = """
from importlib.metadata import version
import viser
print(f'viser {version("viser")}')
"""

RECORDING = """
from importlib.metadata import version
from rosbags.rosbag2 import Writer
from mcap.reader import make_reader
print(f'rosbags {version("rosbags")}, mcap {version("mcap")}')
"""

FIND_RVIZ = """
import shutil
found = shutil.which('rviz2')
assert found, 'no rviz2 in PATH'
print(found)
"""


def importable(module: str, note: str = '') -> str:
    """Return a probe's code that imports one module."""
    return f'import {module}\nprint({note or module + " is here"!r})'


def apt_line(package: str) -> str:
    """Return how to install a ROS package in the mode at hand."""
    distro = os.environ.get('ROS_DISTRO')
    if distro:
        return f'apt-get install ros-{distro}-{package}'
    return f'not among the wheels; in ROS mode: apt-get install ros-$ROS_DISTRO-{package}'


def probes() -> list[Probe]:
    """List all probes, the needed ones first."""
    rebuild = 'run ./run again (it rebuilds changed messages), or colcon build in ROS mode'
    return [
        Probe('ros', 'topics', MESSAGE_TRAVELS,
              'look for a firewall on the loopback interface and at ROS_AUTOMATIC_DISCOVERY_RANGE, '
              'RMW_IMPLEMENTATION and the profile variable below'),
        Probe('ros', 'robotracer_msgs', CODES_AGREE, rebuild),
        Probe('planning', 'kinematics and collision', KINEMATICS, REINSTALL),
        Probe('planning', 'sampling and timing', SAMPLING, REINSTALL),
        Probe('simulation', 'physics', SIMULATION, REINSTALL),
        Probe('simulation', 'ray casting', RAYS, REINSTALL),
        Probe('learning', 'model runtime', LEARNING, REINSTALL),
        Probe('viewing', 'browser viewer', VIEWER, REINSTALL),
        Probe('recording', 'bags', RECORDING, REINSTALL),
        Probe('optional', 'launch files', importable('launch_ros'),
              apt_line('launch-ros') + '; pip mode starts its nodes with robotracer itself', False),
        Probe('optional', 'tf2 listener', importable('tf2_ros'),
              apt_line('tf2-ros-py') + '; our own transform tree is used without it', False),
        Probe('optional', 'RViz', FIND_RVIZ, apt_line('rviz2') + '; needed by rviz:=true only', False),
    ]


def run_probe(probe: Probe) -> Check:
    """Run one probe in a process of its own."""
    try:
        got = subprocess.run([sys.executable, '-P', '-c', probe.code], capture_output=True,
                             text=True, timeout=probe.limit, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        detail, good = f'gave no answer within {probe.limit:.0f} s', False
    else:
        good = got.returncode == 0 and bool(got.stdout.strip())
        lines = (got.stdout if good else got.stderr or got.stdout).strip().splitlines()
        detail = lines[-1] if lines else f'ended with status {got.returncode} without a word'
        if got.returncode < 0:
            detail = f'crashed with signal {-got.returncode}: {detail}'
    failed: Outcome = 'broken' if probe.needed else 'absent'
    return Check(probe.area, probe.name, 'ok' if good else failed, detail,
                 '' if good else probe.remedy)


def check_python() -> Check:
    """Judge the interpreter."""
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Check('machine', 'Python', 'ok' if good else 'broken',
                 f'{platform.python_version()} in {sys.prefix}',
                 '' if good else 'use Python 3.11, 3.12 or 3.13')


def check_size() -> Check:
    """Report cores, memory and disk, for the reader to judge."""
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30
    free = shutil.disk_usage(os.getcwd()).free / 2**30
    return Check('machine', 'size', 'ok', f'{os.cpu_count()} cores, {memory:.0f} GiB memory, '
                 f'{free:.0f} GiB free in {os.getcwd()}')


def check_mode() -> Check:
    """Say where ROS 2 comes from."""
    finding = modes.detect()
    good = finding.mode in (modes.Mode.WHEELS, modes.Mode.ROS)
    remedy = 'source one ROS 2, or use ./run from a shell in which none is sourced'
    return Check('ros', 'source', 'ok' if good else 'broken', finding.reason,
                 '' if good else remedy)


def check_middleware() -> Check:
    """Show what shapes the transport, and whether the profile file is there."""
    names = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
    profile = next((os.environ[n] for n in names if os.environ.get(n)), '')
    reach = os.environ.get('ROS_AUTOMATIC_DISCOVERY_RANGE', 'SUBNET (default)')
    domain = os.environ.get('ROS_DOMAIN_ID', '0')
    text = f'discovery {reach}, domain {domain}, profile {profile or "none"}'
    if profile and not Path(profile).is_file():
        return Check('ros', 'transport', 'broken', text, f'{profile} does not exist')
    if not profile:
        return Check('ros', 'transport', 'absent', text,
                     'images of 640x480 lose frames without the large-image profile: start with '
                     './run, or export FASTDDS_DEFAULT_PROFILES_FILE=<share>/config/fastdds.xml')
    return Check('ros', 'transport', 'ok', text)


def check_shared_memory() -> Check:
    """Judge the room for image transport; containers often get 64 MB.

    The shipped profile takes 32 MiB for each process, and the demo has up to six.
    """
    folder = Path('/dev/shm')
    if not folder.is_dir():
        return Check('ros', 'shared memory', 'broken', f'{folder} does not exist',
                     'mount a tmpfs there; in Docker: --shm-size=256m')
    free = shutil.disk_usage(folder).free / 2**20
    left = len(list(folder.glob('fastdds_*'))) + len(list(folder.glob('fastrtps_*')))
    good = free >= 200
    return Check('ros', 'shared memory', 'ok' if good else 'broken',
                 f'{free:.0f} MiB free, {left} segments of running or killed processes',
                 '' if good else 'give it 256 MB (Docker: --shm-size=256m), or remove segments '
                 'of killed processes while no ROS 2 is running')


def check_files() -> Check:
    """Find the shared files."""
    try:
        folder = resources.share_folder()
    except FileNotFoundError as error:
        return Check('machine', 'shared files', 'broken', str(error), REINSTALL)
    missing = [n for n in ('config', 'launch', 'urdf') if not (folder / n).is_dir()]
    if missing:
        return Check('machine', 'shared files', 'broken', f'{folder} lacks {", ".join(missing)}',
                     REINSTALL)
    return Check('machine', 'shared files', 'ok', str(folder))


def check_build_tools() -> Check:
    """Say whether changed messages can be compiled here."""
    compiler = next((p for p in map(shutil.which, ('c++', 'g++', 'clang++')) if p), None)
    if compiler is None:
        return Check('machine', 'compiler', 'absent', 'no C++ compiler in PATH',
                     'apt-get install g++ (only to rebuild the messages)')
    return Check('machine', 'compiler', 'ok', compiler)


def collect(jobs: int = 2) -> list[Check]:
    """Make all checks.

    Args:
        jobs: Probes that run at the same time.

    Returns:
        The checks in the order of the report.
    """
    quick: list[Callable[[], Check]] = [
        check_python, check_size, check_files, check_build_tools, check_mode, check_middleware,
        check_shared_memory,
    ]
    checks = [check() for check in quick]
    with ThreadPoolExecutor(jobs) as pool:
        checks += pool.map(run_probe, probes())
    return checks


def status(checks: list[Check]) -> int:
    """Return the exit status: 1 when something needed does not work."""
    return int(any(c.outcome == 'broken' for c in checks))


def as_dict(checks: list[Check]) -> dict[str, Any]:
    """Return the report for programs."""
    return {
        'version': __version__,
        'works': status(checks) == 0,
        'checks': [dict(vars(c)) for c in checks],
    }


def show(checks: list[Check]) -> None:
    """Print the report as a table on standard output."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style='bold')
    for title in ('', 'area', 'check', 'finding'):
        table.add_column(title, overflow='fold', no_wrap=title in ('', 'area'))
    marks = {'ok': Text('ok', 'green'), 'absent': Text('--', 'yellow'),
             'broken': Text('NO', 'bold red')}
    for check in checks:
        finding = Text(check.detail)
        if check.remedy:
            finding.append(f'\n-> {check.remedy}', 'yellow')
        table.add_row(marks[check.outcome], check.area, check.name, finding)
    console = Console(highlight=False)
    console.print(f'robotracer {__version__}')
    console.print(table)
    broken = [c.name for c in checks if c.outcome == 'broken']
    console.print(f'not working: {", ".join(broken)}' if broken else 'everything needed works')


def main(as_json: bool = False) -> int:
    """Make and print the report.

    Args:
        as_json: Print JSON instead of a table.

    Returns:
        The exit status.
    """
    checks = collect()
    if as_json:
        print(json.dumps(as_dict(checks), indent=2))
    else:
        show(checks)
    return status(checks)
