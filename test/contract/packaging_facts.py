# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the packaging files say, read once for the contract tests."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / 'robotracer_ros'


@functools.cache
def distribution() -> Any:
    """Run setup.py up to its call of setup() and return the distribution object."""
    from setuptools import Distribution  # noqa: F401  setuptools first: it brings distutils

    import distutils.core  # isort: skip

    before = os.getcwd()
    os.chdir(ROOT)
    try:
        return distutils.core.run_setup('setup.py', stop_after='init')
    finally:
        os.chdir(before)


def entry_points() -> list[EntryPoint]:
    """Return every entry point that setup.py declares."""
    points = []
    for group, lines in sorted(distribution().entry_points.items()):
        for line in lines:
            name, value = (part.strip() for part in line.split('='))
            points.append(EntryPoint(name=name, value=value, group=group))
    return points


def package_xml(folder: Path) -> ET.Element:
    """Parse the package.xml of a folder."""
    return ET.parse(folder / 'package.xml').getroot()


def depends(folder: Path) -> set[str]:
    """Return every package that a package.xml names as needed at run time."""
    root = package_xml(folder)
    return {e.text.strip() for tag in ('depend', 'exec_depend') for e in root.iter(tag) if e.text}


def pins(lock: str) -> dict[str, str]:
    """Return version by canonical name from a lock file."""
    found = {}
    for line in (ROOT / lock).read_text(encoding='utf-8').splitlines():
        if match := re.match(r'([\w.-]+)==([^\s;]+)', line):
            found[match[1]] = match[2]
    return found


@functools.cache
def tracked_files() -> list[Path]:
    """Return the files under version control, or all shipped ones where there is no git."""
    listing = subprocess.run(['git', 'ls-files', '-z'], cwd=ROOT, capture_output=True)
    if listing.returncode != 0:
        return []
    names = listing.stdout.decode().split('\0')
    return [ROOT / n for n in names if n and (ROOT / n).is_file()]


def sources() -> list[Path]:
    """Return the Python files of the package."""
    return sorted(PACKAGE.rglob('*.py'))


if __name__ == '__main__':
    sys.exit('a helper of the contract tests, not a program')
