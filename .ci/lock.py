# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Write requirements.lock and requirements-dev.lock from what is installed in this environment.

The names come from setup.py (install_requires and the extras), the versions from the environment:

    .venv/bin/python -m pip install -U -e '.[wheels,test,dev]' && .venv/bin/python .ci/lock.py

Run it on Python 3.11, which the versions are chosen for; a marker of setup.py (a package that other
Pythons do not get) is carried over.
With --check nothing is written, and the exit status says whether the files are up to date.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = 'robotracer_ros'
TOOLS = ['pip', 'setuptools', 'wheel']
# The interfaces are built from the checkout.
OWN = {'robotracer-msgs', 'robotracer-ros'}
# What a CUDA build of torch asks for, by exact version. Pinned, it would force gigabytes on machines
# without a GPU.
CUDA = re.compile(r'(nvidia|cuda)-|(pytorch-)?triton$')

HEAD = """# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
# {what}
# Written by .ci/lock.py from setup.py; do not edit.
"""


def closure(names: list[tuple[str, frozenset[str]]]) -> dict[str, str]:
    """Follow requirements through the installed packages.

    Args:
        names: Pairs of package name and wanted extras.

    Returns:
        Version by canonical name.
    """
    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    queue = list(names)
    while queue:
        name, extras = queue.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        distribution = metadata.distribution(name)
        if name not in OWN:
            found[name] = distribution.version.split('+')[0]
        for text in distribution.requires or []:
            requirement = Requirement(text)
            environments = [{'extra': extra} for extra in (*extras, '')]
            wanted = canonicalize_name(requirement.name)
            if CUDA.match(wanted):
                continue
            if requirement.marker is None or any(map(requirement.marker.evaluate, environments)):
                queue.append((wanted, frozenset(requirement.extras)))
    return found


def render() -> dict[str, str]:
    """Return the text of each lock file by its name."""
    own = canonicalize_name(PACKAGE)
    tools = [(name, frozenset[str]()) for name in TOOLS]
    run = closure([*tools, (own, frozenset({'wheels'}))])
    everything = closure([*tools, (own, frozenset({'wheels', 'test', 'dev'}))])
    dev = {name: version for name, version in everything.items() if name not in run}
    heads = {
        'requirements.lock': (run, 'What ./run installs: all of robotracer and ROS 2 from pip.'),
        'requirements-dev.lock': (dev, 'What ./run test adds: tests, linters, colcon, export.'),
    }
    # install_requires with a marker of their own; those of extras all end in `extra == ...`.
    markers: dict[str, str] = {
        canonicalize_name(r.name): f'; {r.marker}'
        for r in map(Requirement, metadata.distribution(PACKAGE).requires or [])
        if r.marker is not None and 'extra' not in str(r.marker)
    }
    texts = {}
    for name, (pins, what) in heads.items():
        lines = [f'{n}=={v}{markers.get(n, "")}' for n, v in pins.items()]
        texts[name] = HEAD.format(what=what) + '\n'.join(sorted(lines)) + '\n'
    return texts


def main() -> int:
    """Write or check the files."""
    stale = [name for name, text in render().items()
             if not (ROOT / name).is_file() or (ROOT / name).read_text(encoding='utf-8') != text]
    if '--check' in sys.argv[1:]:
        print('\n'.join(f'{name} is out of date: run .ci/lock.py' for name in stale))
        return bool(stale)
    for name, text in render().items():
        (ROOT / name).write_text(text, encoding='utf-8')
    print('\n'.join(f'wrote {name}' for name in stale) or 'nothing changed')
    return 0


if __name__ == '__main__':
    sys.exit(main())
