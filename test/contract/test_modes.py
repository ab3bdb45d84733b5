# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Which ROS 2 is in use, and that two of them are never loaded together."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from packaging_facts import ROOT

from robotracer_ros import modes
from robotracer_ros.modes import Mode, detect


def core(prefix: Path) -> Path:
    """Lay out the parts of a ROS 2 prefix that detection looks at."""
    index = prefix / 'share/ament_index/resource_index/packages'
    index.mkdir(parents=True)
    (index / 'rclpy').touch()
    (prefix / 'python/rclpy').mkdir(parents=True)
    (prefix / 'python/rclpy/__init__.py').touch()
    return prefix


def test_this_environment_is_one_ros() -> None:
    """The tests themselves run on wheels or on a ROS installation, never on both."""
    assert detect().mode in (Mode.WHEELS, Mode.ROS), detect().reason


def test_nothing(tmp_path: Path) -> None:
    """No wheels and nothing sourced: ROS_DISTRO alone (a container's default) is not a ROS."""
    assert detect({'ROS_DISTRO': 'jazzy'}, tmp_path / 'venv').mode is Mode.NONE


def test_wheels(tmp_path: Path) -> None:
    """The environment itself on AMENT_PREFIX_PATH, and workspaces on top, are no second ROS."""
    venv = core(tmp_path / 'venv')
    assert detect({}, venv).mode is Mode.WHEELS
    overlay = tmp_path / 'install'
    overlay.mkdir()
    found = detect({'AMENT_PREFIX_PATH': f'{overlay}:{venv}'}, venv)
    assert found.mode is Mode.WHEELS
    assert found.overlays == (overlay,)


def test_sourced(tmp_path: Path) -> None:
    """A sourced ROS 2 is used when no wheels are installed."""
    ros = core(tmp_path / 'jazzy')
    found = detect({'AMENT_PREFIX_PATH': str(ros), 'PYTHONPATH': str(ros / 'python'),
                    'ROS_DISTRO': 'jazzy'}, tmp_path / 'venv')
    assert found.mode is Mode.ROS
    assert 'jazzy' in found.reason
    assert str(ros) in found.reason


@pytest.mark.parametrize('variable', ['AMENT_PREFIX_PATH', 'PYTHONPATH'])
def test_mixed(tmp_path: Path, variable: str) -> None:
    """Wheels and another ROS 2, seen through either variable, are refused with both paths."""
    venv, ros = core(tmp_path / 'venv'), core(tmp_path / 'jazzy')
    value = ros if variable == 'AMENT_PREFIX_PATH' else ros / 'python'
    found = detect({variable: str(value)}, venv)
    assert found.mode is Mode.MIXED
    assert str(venv) in found.reason
    assert str(value) in found.reason


def test_rclpy_without_prefix(tmp_path: Path) -> None:
    """Half a ROS 2 (rclpy importable, ament index unknown) fails later with worse words."""
    ros = core(tmp_path / 'jazzy')
    assert detect({'PYTHONPATH': str(ros / 'python')}, tmp_path / 'venv').mode is Mode.MIXED


def test_overlay_without_underlay(tmp_path: Path) -> None:
    """A workspace whose ROS 2 is gone is named, not ignored."""
    found = detect({'AMENT_PREFIX_PATH': str(tmp_path / 'install')}, tmp_path / 'venv')
    assert found.mode is Mode.INCOMPLETE
    assert str(tmp_path / 'install') in found.reason


def start(environ: dict[str, str], root: Path) -> subprocess.CompletedProcess[str]:
    """Start ./run of a copy of the checkout that has no environment of its own."""
    (root / 'robotracer_ros').mkdir(parents=True)
    for name in ('run', 'robotracer_ros/modes.py', 'robotracer_ros/bootstrap.py'):
        (root / name).write_bytes((ROOT / name).read_bytes())
    clean = {k: v for k, v in os.environ.items()
             if k not in ('AMENT_PREFIX_PATH', 'PYTHONPATH', 'ROS_DISTRO', 'LD_LIBRARY_PATH')}
    return subprocess.run([sys.executable, root / 'run', 'demo'], env={**clean, **environ},
                          capture_output=True, text=True, timeout=60)


def test_run_refuses_a_mix(tmp_path: Path) -> None:
    """./run stops before it starts anything, and says what to unset."""
    root = tmp_path / 'a clone'
    core(root / '.venv')
    ros = core(tmp_path / 'jazzy')
    got = start({'AMENT_PREFIX_PATH': str(ros)}, root)
    assert got.returncode == 1
    assert 'refusing to mix two ROS 2' in got.stderr
    assert str(ros) in got.stderr


def test_run_names_what_a_workspace_lacks(tmp_path: Path) -> None:
    """Only one ROS 2 is there, and not even whole: no talk of two, nor of removing anything."""
    root, overlay = tmp_path / 'clone', tmp_path / 'install'
    overlay.mkdir()
    got = start({'AMENT_PREFIX_PATH': str(overlay)}, root)
    assert got.returncode == 1
    assert f'AMENT_PREFIX_PATH names {overlay}' in got.stderr
    assert 'setup.bash' in got.stderr
    assert 'mix' not in got.stderr and 'remove' not in got.stderr
    assert not (root / '.venv').exists()


def test_run_asks_for_colcon_in_ros_mode(tmp_path: Path) -> None:
    """With a sourced ROS 2 nothing is downloaded; the missing build is named instead."""
    root = tmp_path / 'clone'
    ros = core(tmp_path / 'jazzy')
    got = start({'AMENT_PREFIX_PATH': str(ros), 'ROS_DISTRO': 'jazzy'}, root)
    assert got.returncode == 1
    assert 'colcon build' in got.stderr
    assert not (root / '.venv').exists()


def test_module_needs_no_ros() -> None:
    """The detection runs before anything is installed: standard library only."""
    code = ('import importlib.util as u, sys\n'
            f's = u.spec_from_file_location("m", {modes.__file__!r})\n'
            'm = u.module_from_spec(s); sys.modules["m"] = m; s.loader.exec_module(m)\n'
            'print(m.detect({}, __import__("pathlib").Path("nowhere")).mode.value)')
    out = subprocess.run([sys.executable, '-I', '-S', '-c', code], capture_output=True, text=True)
    assert out.stdout.strip() == 'none', out.stderr
