# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""ScanNet v2: one folder per scan with the sensor stream, the annotated mesh and its segments.

The layout, as the data set's own README and tools tell it::

    scans/sceneNNNN_NN/ID.sens                           colour, depth and pose of every frame
                      /ID_vh_clean_2.ply                 mesh, z up, in the world of the poses
                      /ID_vh_clean_2.0.010000.segs.json  segIndices: the segment of every vertex
                      /ID.aggregation.json               segGroups: objectId, label, segments of every instance

ScanNet annotates vertices, not boxes: the box of an instance is the smallest upright one around its vertices.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from robotracer_ros.data.files import DatasetFileError, member, numbers, read_json, typed
from robotracer_ros.data.image_files import decode_image
from robotracer_ros.data.scans.frame import (
    ScanBox,
    ScanFrame,
    align,
    check_camera,
    check_rotation,
    make_box,
)
from robotracer_ros.data.scans.labels import clean_label
from robotracer_ros.data.scans.mesh import read_vertices, upright_box
from robotracer_ros.data.scans.sens import SensFile


def find(root: Path) -> list[Path]:
    """Return the folders of scans below a folder (or itself), sorted.

    Raises:
        DatasetFileError: there is none.
    """
    found = sorted({p.parent for p in root.rglob('*.sens')})
    if not found:
        raise DatasetFileError(root, '', 'holds no folder with a .sens file in it')
    return found


class ScanNetScan:
    """A scan.

    Args:
        path: Its folder, named like the scan.

    Raises:
        DatasetFileError: a file is missing or broken.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sens = SensFile(path / f'{path.name}.sens')

    @property
    def id(self) -> str:
        """The id of the scan."""
        return self._path.name

    @property
    def names(self) -> list[str]:
        """Numbers of the frames."""
        return [str(i) for i in range(self._sens.header.frames)]

    @cached_property
    def _boxes(self) -> tuple[tuple[ScanBox, ...], tuple[str, ...]]:
        stem = self._path / self.id
        vertices = read_vertices(stem.with_name(f'{self.id}_vh_clean_2.ply'))
        path = stem.with_name(f'{self.id}_vh_clean_2.0.010000.segs.json')
        segments = numbers(member(read_json(path), path, 'segIndices'), (None,), path, 'segIndices')
        if segments.shape != (len(vertices),):
            raise DatasetFileError(
                path, 'segIndices', f'has shape {segments.shape}: the mesh has {len(vertices)} vertices'
            )
        path = stem.with_name(f'{self.id}.aggregation.json')
        groups = typed(list, read_json(path), path, 'segGroups')
        boxes: list[ScanBox] = []
        dropped: list[str] = []
        for i in range(len(groups)):
            key = str(member(groups, path, i, 'objectId'))
            label = typed(str, groups, path, i, 'label')
            parts = typed(list, groups, path, i, 'segments')
            chosen = np.isin(segments, numbers(parts, (None,), path, f'segGroups.{i}.segments'))
            if not chosen.any():
                raise DatasetFileError(
                    path, f'segGroups.{i}.segments', f"object {key}, '{label}', has no vertex of the mesh"
                )
            around = upright_box(vertices[chosen])
            box = None if around is None else make_box(key, clean_label(label), *around)
            if box is None:
                dropped.append(key)
            else:
                boxes.append(box)
        return tuple(boxes), tuple(dropped)

    def read(self, name: str) -> ScanFrame | None:
        """Read a frame by its number; None where tracking was lost. Raises DatasetFileError."""
        path, header, index = self._sens.path, self._sens.header, int(name)
        pose, jpeg, depth = self._sens.frame(index)
        if not np.isfinite(pose).all():
            return None
        check_rotation(pose[:3, :3], path, f'frame {index} camera_to_world')
        image = decode_image(jpeg, path, f'frame {index} colour')
        if image.size != header.color_size:
            raise DatasetFileError(
                path, f'frame {index} colour', f'has {image.size} px: the header says {header.color_size}'
            )
        colour = check_camera(header.intrinsic_color, image.size, path, 'intrinsic_color')
        camera = check_camera(header.intrinsic_depth, header.depth_size, path, 'intrinsic_depth')
        boxes, dropped = self._boxes
        return ScanFrame(
            dataset='scannet',
            scan=self.id,
            name=name,
            image=align(image, colour, camera, path, f'frame {index} colour'),
            depth=depth,
            camera=camera,
            world_from_camera=pose,
            boxes=boxes,
            dropped=dropped,
        )
