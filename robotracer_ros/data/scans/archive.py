# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A scan that is one tar file or one folder: members by name, with errors that name them."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

from robotracer_ros.data.video.files import DatasetFileError


class Archive:
    """Members of a tar file or files of a folder by their name.

    Args:
        path: Tar file, or the folder of a video, whose name begins the names of its files.

    Raises:
        DatasetFileError: the tar file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tar: tarfile.TarFile | None = None
        self._members: dict[str, tarfile.TarInfo | Path] = {}
        if path.is_dir():
            for file in sorted(path.rglob('*')):
                if file.is_file():
                    self._members[f'{path.name}/{file.relative_to(path).as_posix()}'] = file
            return
        try:
            # Uncompressed only: members are read in any order.
            self._tar = tarfile.open(path, 'r:')  # noqa: SIM115
            for info in self._tar:
                if info.isfile():
                    self._members[str(PurePosixPath(info.name))] = info
        except (tarfile.TarError, OSError, EOFError) as error:
            raise DatasetFileError(path, '', f'cannot be read as a tar file: {error}') from error

    @property
    def names(self) -> list[str]:
        """Names of all members."""
        return list(self._members)

    def read(self, name: str) -> bytes:
        """Return the bytes of a member. Raises DatasetFileError naming it when it is missing or cut off."""
        found = self._members.get(name)
        if found is None:
            raise DatasetFileError(self.path, name, 'is missing')
        try:
            if isinstance(found, Path):
                return found.read_bytes()
            file = self._tar.extractfile(found) if self._tar else None
            data = file.read() if file else b''
        except (tarfile.TarError, OSError, EOFError) as error:
            raise DatasetFileError(self.path, name, f'cannot be read: {error}') from error
        if len(data) < found.size:
            raise DatasetFileError(self.path, name, f'is cut off: {len(data)} of {found.size} bytes')
        return data

    def json(self, name: str) -> Any:
        """Return a member as JSON. Raises DatasetFileError."""
        try:
            return json.loads(self.read(name))
        except ValueError as error:
            raise DatasetFileError(self.path, name, f'cannot be read as JSON: {error}') from error

    def close(self) -> None:
        """Close the tar file."""
        if self._tar is not None:
            self._tar.close()
