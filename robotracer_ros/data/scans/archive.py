# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A scan that is one tar file or one folder: members by name, with errors that name them."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

from robotracer_ros.data.files import DatasetFileError


class Archive:
    """Members of a tar file or files of a folder by their name.

    Args:
        path: Tar file, or the folder of a video, whose name begins the names of its files.

    Raises:
        DatasetFileError: the tar file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        #: file, where it begins in it, and bytes
        self._members: dict[str, tuple[Path, int, int]] = {}
        if path.is_dir():
            for file in sorted(path.rglob('*')):
                if file.is_file():
                    name = f'{path.name}/{file.relative_to(path).as_posix()}'
                    self._members[name] = (file, 0, file.stat().st_size)
            return
        try:
            # Uncompressed only: members are read in any order.
            with tarfile.open(path, 'r:') as tar:
                for info in tar:
                    if info.isfile():
                        name = str(PurePosixPath(info.name))
                        self._members[name] = (path, info.offset_data, info.size)
        except (tarfile.TarError, OSError, EOFError, ValueError) as error:
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
        path, begin, size = found
        try:
            with path.open('rb') as file:
                file.seek(begin)
                data = file.read(size)
        except OSError as error:
            raise DatasetFileError(self.path, name, f'cannot be read: {error}') from error
        if len(data) < size:
            raise DatasetFileError(self.path, name, f'is cut off: {len(data)} of {size} bytes')
        return data

    def json(self, name: str) -> Any:
        """Return a member as JSON. Raises DatasetFileError."""
        try:
            return json.loads(self.read(name))
        except ValueError as error:
            raise DatasetFileError(self.path, name, f'cannot be read as JSON: {error}') from error
