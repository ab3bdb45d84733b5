# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""EmbodiedScan: annotations of ScanNet scans with oriented boxes, and the frames as its converter writes them.

The layout, as the data set's README, its reader and its converter tell it::

    embodiedscan_infos_{train,val}.pkl    metainfo.categories: number by name; data_list: scans
    scannet/posed_images/ID/00000.jpg     colour, and 00000.png: depth, 16 bit, millimetres

A scan of ``data_list`` has ``sample_idx`` ('scannet/ID'), ``cam2img`` and ``depth_cam2img`` (4x4),
``axis_align_matrix`` (4x4, from the poses' world to that of the boxes), ``images`` (``img_path``, ``depth_path``,
``cam2global`` 4x4) and ``instances`` (``bbox_3d``: centre, full sides, three angles; ``bbox_label_3d``; ``bbox_id``).
The angles are those of rotations about z, then the turned x, then the twice turned y. Scans of its other sources
(3RScan, Matterport3D, ARKitScenes) are left out.
"""

from __future__ import annotations

import os
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from robotracer_ros.data.files import DatasetFileError, member, numbers, read_bytes, typed
from robotracer_ros.data.image_files import decode_depth, decode_image
from robotracer_ros.data.scans.frame import (
    ScanBox,
    ScanFrame,
    align,
    check_camera,
    check_rotation,
    make_box,
)
from robotracer_ros.data.scans.labels import clean_label
from robotracer_ros.data.scans.plain_pickle import read_plain_pickle

Array = NDArray[np.float64]
T = TypeVar('T')


@lru_cache(maxsize=2)
def _annotations(path: Path) -> tuple[dict[int, str], dict[str, Any]]:
    """Return category names by number and scans of ScanNet by ``sample_idx``; read once per process."""
    data = read_plain_pickle(path)
    categories = typed(dict, data, path, 'metainfo', 'categories')
    numbered = {typed(int, categories, path, name): str(name) for name in categories}
    scans = {}
    for i, info in enumerate(typed(list, data, path, 'data_list')):
        name = typed(str, data, path, 'data_list', i, 'sample_idx')
        if name.startswith('scannet/'):
            scans[name] = info
    return numbered, scans


def find(root: Path) -> list[tuple[Path, str]]:
    """Return annotation file and ``sample_idx`` of every scan of ScanNet below a folder, sorted.

    Raises:
        DatasetFileError: there is no annotation file or it is broken.
    """
    files = [root] if root.is_file() else sorted(root.glob('embodiedscan_infos_*.pkl'))
    if not files:
        raise DatasetFileError(root, '', 'holds no embodiedscan_infos_*.pkl')
    return [(file, name) for file in files for name in sorted(_annotations(file)[1])]


class EmbodiedScanScan:
    """A scan.

    Args:
        path: Annotation file; images lie relative to its folder.
        sample: Its ``sample_idx``.

    Raises:
        DatasetFileError: the annotation file is broken or has no such scan.
    """

    def __init__(self, path: Path, sample: str) -> None:
        self._path, self._sample = path, sample
        self._categories, scans = _annotations(path)
        if sample not in scans:
            raise DatasetFileError(path, 'data_list', f"has no scan '{sample}'")
        self._info = scans[sample]
        images = self._typed(list, 'images')
        self._frames = {Path(self._file(i, 'img_path')).stem: i for i in range(len(images))}

    def _member(self, *keys: str | int) -> Any:
        return member(self._info, self._path / self._sample, *keys)

    def _typed(self, kind: type[T], *keys: str | int) -> T:
        return typed(kind, self._info, self._path / self._sample, *keys)

    def _file(self, image: int, key: str) -> Path:
        name = self._typed(str, 'images', image, key)
        path = Path(os.path.normpath(self._path.parent / name))
        if not path.is_relative_to(os.path.normpath(self._path.parent)):
            raise DatasetFileError(
                self._path / self._sample, f'images.{image}.{key}', f"'{name}' leads out of the data set"
            )
        return path

    def _matrix(self, *keys: str | int) -> Array:
        field = '.'.join(str(k) for k in keys)
        return numbers(self._member(*keys), (4, 4), self._path / self._sample, field)

    @property
    def id(self) -> str:
        """The id of the scan, without its source."""
        return self._sample.rpartition('/')[2]

    @property
    def names(self) -> list[str]:
        """Names of the frames in order."""
        return list(self._frames)

    @cached_property
    def _boxes(self) -> tuple[tuple[ScanBox, ...], tuple[str, ...]]:
        boxes: list[ScanBox] = []
        dropped: list[str] = []
        for i, item in enumerate(self._typed(list, 'instances')):
            field = f'instances.{i}.bbox_3d'
            try:
                values = np.asarray(self._member('instances', i, 'bbox_3d'), dtype=float)
            except (TypeError, ValueError, OverflowError) as error:
                raise DatasetFileError(self._path / self._sample, field, 'are not numbers') from error
            if values.shape != (9,):
                raise DatasetFileError(
                    self._path / self._sample, field, f'has shape {values.shape}: must be (9,)'
                )
            number = self._typed(int, 'instances', i, 'bbox_label_3d')
            if number not in self._categories:
                raise DatasetFileError(
                    self._path / self._sample,
                    f'instances.{i}.bbox_label_3d',
                    f'{number} is no number of metainfo.categories',
                )
            key = str(item.get('bbox_id', i))
            box = None
            if np.isfinite(values).all():
                turn = Rotation.from_euler('ZXY', values[6:]).as_matrix()
                label = clean_label(self._categories[number])
                box = make_box(key, label, values[:3], values[3:6], turn)
            if box is None:
                dropped.append(key)
            else:
                boxes.append(box)
        return tuple(boxes), tuple(dropped)

    def read(self, name: str) -> ScanFrame | None:
        """Read a frame; None where its pose is not finite. Raises DatasetFileError."""
        i, where = self._frames[name], self._path / self._sample
        told = self._member('images', i, 'cam2global')
        if isinstance(told, np.ndarray) and told.shape == (4, 4) and not np.isfinite(told).all():
            return None
        pose = self._matrix('axis_align_matrix') @ self._matrix('images', i, 'cam2global')
        check_rotation(pose[:3, :3], where, f'axis_align_matrix @ images.{i}.cam2global')
        files = [self._file(i, k) for k in ('img_path', 'depth_path')]
        image = decode_image(read_bytes(files[0]), files[0], '')
        depth = decode_depth(read_bytes(files[1]), files[1], '')
        colour = check_camera(self._matrix('cam2img'), image.size, where, 'cam2img')
        size = (depth.shape[1], depth.shape[0])
        camera = check_camera(self._matrix('depth_cam2img'), size, where, 'depth_cam2img')
        boxes, dropped = self._boxes
        return ScanFrame(
            dataset='embodiedscan',
            scan=self.id,
            name=name,
            image=align(image, colour, camera, files[0], ''),
            depth=depth,
            camera=camera,
            world_from_camera=pose,
            boxes=boxes,
            dropped=dropped,
        )

