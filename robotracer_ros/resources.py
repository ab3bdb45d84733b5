# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Find the files that travel with the package: config/, launch/, urdf/.

They lie in the source checkout (editable install, tests), in `share/robotracer_ros` of a virtual
environment (pip install), or in a prefix of the ament index (colcon, ROS installation).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

PACKAGE = 'robotracer_ros'


def share_candidates() -> list[Path]:
    """List the folders that may hold the shared files, best first."""
    checkout = Path(__file__).resolve().parents[1]
    candidates = []
    # Only a checkout has its package.xml beside the Python package.
    if (checkout / 'package.xml').is_file():
        candidates.append(checkout)
    prefixes = [p for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    candidates += [Path(p) / 'share' / PACKAGE for p in (*prefixes, sys.prefix)]
    return candidates


def share_folder() -> Path:
    """Return the folder that holds config/, launch/ and urdf/.

    Raises:
        FileNotFoundError: No candidate holds the package's package.xml; the text lists them.
    """
    candidates = share_candidates()
    for folder in candidates:
        if (folder / 'package.xml').is_file():
            return folder
    listed = ', '.join(map(str, candidates))
    raise FileNotFoundError(f'the shared files of {PACKAGE} are in none of: {listed}')


def resource(relative: str | Path) -> Path:
    """Return the path of a shared file or folder, such as 'config/demo.yaml'.

    Args:
        relative: Path inside the share folder.

    Raises:
        FileNotFoundError: The file is in no candidate folder; the text lists what was tried.
    """
    tried = []
    for folder in share_candidates():
        path = folder / relative
        if path.exists():
            return path
        tried.append(str(path))
    raise FileNotFoundError(f'{relative} not found; tried {", ".join(tried)}')
