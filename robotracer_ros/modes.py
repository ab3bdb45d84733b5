# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Where does ROS 2 come from: pip wheels, a sourced installation, or nowhere.

Two at once are refused, and so is a sourced workspace whose ROS 2 is not sourced.

Both the bootstrap (before an environment exists) and the program ask this, so the module uses the
standard library alone and judges from paths, without importing rclpy.
"""

from __future__ import annotations

import enum
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class Mode(enum.Enum):
    """Source of ROS 2."""

    WHEELS = 'wheels'
    """rclpy from pip, in the virtual environment."""
    ROS = 'ros'
    """rclpy from a sourced ROS 2 installation."""
    MIXED = 'mixed'
    """Two different ROS 2 are visible at once; their libraries would be loaded together."""
    INCOMPLETE = 'incomplete'
    """A workspace is sourced, but not the ROS 2 that it was built on."""
    NONE = 'none'
    """No ROS 2 anywhere."""


@dataclass(frozen=True)
class Finding:
    """What was found.

    Attributes:
        mode: The verdict.
        reason: One sentence naming the paths and variables behind it.
        prefixes: Sourced prefixes that hold a ROS 2 core of their own, in the order of the
            environment.
        overlays: Sourced prefixes without a core: workspaces built on top of one.
        distro: ROS_DISTRO, or the empty string.
    """

    mode: Mode
    reason: str
    prefixes: tuple[Path, ...] = ()
    overlays: tuple[Path, ...] = ()
    distro: str = ''


def _split(environ: Mapping[str, str], name: str) -> list[Path]:
    return [Path(p) for p in environ.get(name, '').split(os.pathsep) if p]


def _same(a: Path, b: Path) -> bool:
    return os.path.realpath(a) == os.path.realpath(b)


def _inside(path: Path, prefix: Path) -> bool:
    real = os.path.realpath(path)
    root = os.path.realpath(prefix)
    return real == root or real.startswith(root.rstrip(os.sep) + os.sep)


def has_core(prefix: Path) -> bool:
    """Say whether a prefix holds a ROS 2 core (the ament index lists rclpy)."""
    return (prefix / 'share' / 'ament_index' / 'resource_index' / 'packages' / 'rclpy').exists()


def detect(environ: Mapping[str, str] | None = None, venv: Path | None = None) -> Finding:
    """Find out which ROS 2 a program started in this environment would use.

    Args:
        environ: Environment variables; None means those of this process.
        venv: The virtual environment that holds (or will hold) the wheels; None means the
            running interpreter's prefix.

    Returns:
        The verdict with its reason.
    """
    env = os.environ if environ is None else environ
    home = Path(sys.prefix) if venv is None else venv
    distro = env.get('ROS_DISTRO', '')
    sourced = [p for p in _split(env, 'AMENT_PREFIX_PATH') if not _same(p, home)]
    cores = tuple(p for p in sourced if has_core(p))
    overlays = tuple(p for p in sourced if not has_core(p))
    # A foreign rclpy on PYTHONPATH wins over the wheels even when nothing was sourced.
    foreign = [
        p for p in _split(env, 'PYTHONPATH')
        if (p / 'rclpy' / '__init__.py').exists()
        and not _inside(p, home)
        and not any(_inside(p, core) for core in cores)
    ]
    wheels = has_core(home)
    found = [str(p) for p in (*cores, *foreign)]
    if wheels and found:
        return Finding(
            Mode.MIXED,
            f'the ROS 2 wheels in {home} and another ROS 2 in {", ".join(found)} '
            '(from AMENT_PREFIX_PATH or PYTHONPATH) would be loaded into one process',
            cores, overlays, distro,
        )
    if cores and foreign:
        return Finding(
            Mode.MIXED,
            f'PYTHONPATH brings rclpy from {foreign[0]}, which is outside the sourced '
            f'{", ".join(map(str, cores))}',
            cores, overlays, distro,
        )
    if cores:
        name = f'ROS 2 {distro}' if distro else 'ROS 2'
        return Finding(Mode.ROS, f'{name} sourced from {", ".join(map(str, cores))}',
                       cores, overlays, distro)
    if foreign:
        return Finding(
            Mode.MIXED,
            f'PYTHONPATH brings rclpy from {foreign[0]}, but AMENT_PREFIX_PATH names no ROS 2',
            cores, overlays, distro,
        )
    if wheels:
        on_top = f', with {", ".join(map(str, overlays))} on top' if overlays else ''
        return Finding(Mode.WHEELS, f'ROS 2 wheels in {home}{on_top}', cores, overlays, distro)
    if overlays:
        return Finding(
            Mode.INCOMPLETE,
            f'AMENT_PREFIX_PATH names {", ".join(map(str, overlays))}, but no prefix in it holds '
            'a ROS 2 core',
            cores, overlays, distro,
        )
    return Finding(Mode.NONE, f'no ROS 2 in {home} and none sourced', cores, overlays, distro)
