# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Depth of a recording, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.data.files import read_bytes
from robotracer_ros.data.image_files import decode_depth
from robotracer_ros.geometry.camera import CameraModel


class DepthFolder:
    """Depth images in a folder, one file per frame.

    Args:
        folder: The folder.
        name: File name with ``{index}``.
        camera: Gives the size they must have.
        unit: Metres per step.
    """

    def __init__(self, folder: Path, name: str, camera: CameraModel, unit: float) -> None:
        self._folder, self._name, self._unit = folder, name, unit
        self._size = (camera.width, camera.height)

    def read(self, index: int) -> NDArray[np.float32] | None:
        """Return frame ``index`` as (H, W) metres, None when there is no file. Raises DatasetFileError."""
        path = self._folder / self._name.format(index=index)
        if not path.exists():
            return None
        return decode_depth(read_bytes(path), path, '', self._unit, self._size)


class DepthPictures:
    """Depth that lies in a table as 16-bit pictures.

    Args:
        encoded: Their bytes.
        path: The file that they come from, for messages.
        field: What they are in it.
        camera: Gives the size they must have.
        unit: Metres per step.
    """

    def __init__(
        self, encoded: Sequence[bytes], path: Path, field: str, camera: CameraModel, unit: float
    ) -> None:
        self._encoded, self._path, self._field = encoded, path, field
        self._size, self._unit = (camera.width, camera.height), unit

    def read(self, index: int) -> NDArray[np.float32] | None:
        """Return frame ``index`` as (H, W) metres. Raises DatasetFileError."""
        name = f'{self._field}[{index}]'
        return decode_depth(self._encoded[index], self._path, name, self._unit, self._size)
