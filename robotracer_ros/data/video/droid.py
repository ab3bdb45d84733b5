# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The raw layout of DROID.

::

    <lab>/success/<day>/<time>/
        metadata_<episode id>.json       ext1_cam_serial, ext2_cam_serial, current_task, success ...
        trajectory.h5                    observation/robot_state/cartesian_position (N, 6), gripper_position (N),
                                         observation/camera_extrinsics/<serial>_left (N, 6)
        recordings/MP4/<serial>.mp4      H.264, left camera
        recordings/SVO/<serial>.svo      the stereo recording, readable with the maker's library alone
        recordings/Depth/<serial>/<n>.png   what DROID's own tool exports from it

The raw layout and not RLDS, because RLDS holds neither intrinsics nor depth nor the camera poses of every frame.
A folder with the annotations that were published later (``intrinsics.json``, ``cam2base_extrinsic_superset.json`` or
``cam2base_extrinsics.json``, ``droid_language_annotations.json``) is needed for the intrinsics; its camera poses are
better than those in ``trajectory.h5`` and are preferred.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from robotracer_ros.data.files import (
    Array,
    DatasetFileError,
    member,
    numbers,
    read_json,
    shorten,
    typed,
)
from robotracer_ros.data.video.depth import DepthFolder
from robotracer_ros.data.video.episode import ArmMotion, Episode
from robotracer_ros.data.video.frames import Excerpt, open_video
from robotracer_ros.data.video.hdf5 import hdf5_numbers, open_hdf5
from robotracer_ros.data.video.poses import pose_from_euler
from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.geometry.camera import CameraModel

_FPS = 15.0
#: a video may have this many frames more or less than the arm has steps
_FRAME_SLACK = 5
_EXTRINSICS = ('cam2base_extrinsic_superset.json', 'cam2base_extrinsics.json')


@dataclass(frozen=True)
class DroidOptions:
    """What the layout leaves open.

    Attributes:
        camera: ``ext1`` or ``ext2``.
        annotations: Folder with the later annotations, relative to the data set unless absolute.
        depth: Folder of depth images inside an episode; ``{serial}`` stands for the camera's number.
        depth_unit: Metres per step of them.
        success_only: Leave out what was recorded as a failure.
        grip_offset: Where the fingers meet in the frame of the flange, metres.
    """

    camera: str = 'ext1'
    annotations: str = 'annotations'
    depth: str = 'recordings/Depth/{serial}'
    depth_unit: float = 1e-3
    success_only: bool = True
    grip_offset: tuple[float, ...] = (0.0, 0.0, 0.15)


@dataclass
class DroidReader:
    """Reads raw DROID episodes.

    Attributes:
        root: Folder that holds labs, or any folder above episodes.
        options: What the layout leaves open.

    Raises:
        InvalidParameterError: the camera is not one of DROID's, or ``root`` holds no episode.
    """

    root: Path
    options: DroidOptions = field(default_factory=DroidOptions)

    def __post_init__(self) -> None:
        if self.options.camera not in ('ext1', 'ext2'):
            raise InvalidParameterError(f"camera '{self.options.camera}': must be ext1 or ext2")

    def references(self) -> list[str]:
        """Return the episodes as paths of their metadata below ``root``."""
        found = sorted(str(p.relative_to(self.root)) for p in self.root.rglob('metadata_*.json'))
        if self.options.success_only:
            found = [f for f in found if '/failure/' not in f'/{f}']
        if not found:
            raise DatasetFileError(
                self.root, 'metadata_*.json', 'is missing everywhere below: no episodes'
            )
        return found

    def read(self, reference: str) -> Episode:
        """Read an episode; its frames are decoded later, on demand.

        Raises:
            DatasetFileError: a file of it is missing or broken.
            MissingPackageError: h5py, or the program that decodes its video, is not installed.
        """
        meta_path = self.root / reference
        meta = read_json(meta_path)
        folder = meta_path.parent
        episode_id = meta_path.stem.removeprefix('metadata_')
        serial = str(member(meta, meta_path, f'{self.options.camera}_cam_serial'))
        rgb = open_video(folder / 'recordings' / 'MP4' / f'{serial}.mp4')
        motion, recorded, calibration = self._trajectory(folder / 'trajectory.h5', serial, episode_id)
        steps = len(motion.opening)
        if abs(len(rgb) - steps) > _FRAME_SLACK:
            raise DatasetFileError(
                folder / 'recordings' / 'MP4' / f'{serial}.mp4',
                '',
                f'has {len(rgb)} frames, the arm {steps} steps: they may differ by {_FRAME_SLACK}',
            )
        n = min(steps, len(rgb))
        height, width = rgb.read(0).shape[:2]
        camera = self._camera(episode_id, serial, width, height)
        return Episode(
            id=episode_id,
            layout='droid',
            instructions=self._instructions(episode_id, meta),
            fps=_FPS,
            camera=camera,
            base_from_camera=recorded[:n],
            rgb=Excerpt(rgb, 0, n),
            depth=self._depth(folder, serial, camera),
            arms=(ArmMotion('', motion.flange[:n], motion.opening[:n], motion.grip_offset),),
            path=str(folder),
            extra={
                'lab': meta.get('lab', ''),
                'scene': meta.get('scene_id', -1),
                'serial': serial,
                'calibration': calibration,
            },
        )

    def _trajectory(
        self, path: Path, serial: str, episode_id: str
    ) -> tuple[ArmMotion, Array, str]:
        """Read the arm's way and the camera's poses, and say where the latter come from."""
        with open_hdf5(path) as file:
            pose = hdf5_numbers(file, 'observation/robot_state/cartesian_position', (None, 6), path)
            grip = hdf5_numbers(file, 'observation/robot_state/gripper_position', (None,), path)
            if len(grip) != len(pose) or not len(pose):
                raise DatasetFileError(
                    path,
                    'observation/robot_state/gripper_position',
                    f'has {len(grip)} steps, cartesian_position {len(pose)}',
                )
            calibrated = self._calibrated(episode_id, serial)
            if calibrated is not None:
                poses, source = np.repeat(calibrated[None], len(pose), axis=0), 'annotations'
            else:
                name = f'observation/camera_extrinsics/{serial}_left'
                poses = pose_from_euler(hdf5_numbers(file, name, (len(pose), 6), path))
                source = 'recorded'
        # DROID counts the gripper from 0 (open) to 1 (closed).
        opening = np.clip(1.0 - grip, 0.0, 1.0)
        arm = ArmMotion('', pose_from_euler(pose), opening, np.asarray(self.options.grip_offset, float))
        return arm, poses, source

    @property
    def _folder(self) -> Path:
        return self.root / self.options.annotations

    @cached_property
    def _intrinsics(self) -> Mapping[str, Any]:
        return self._annotation('intrinsics.json')

    @cached_property
    def _poses(self) -> tuple[Path, Mapping[str, Any]] | None:
        for name in _EXTRINSICS:
            if (self._folder / name).exists():
                return self._folder / name, self._annotation(name)
        return None

    @cached_property
    def _language(self) -> Mapping[str, Any]:
        name = 'droid_language_annotations.json'
        return self._annotation(name) if (self._folder / name).exists() else {}

    def _annotation(self, name: str) -> Mapping[str, Any]:
        data = read_json(self._folder / name)
        if not isinstance(data, Mapping):
            raise DatasetFileError(
                self._folder / name, '', f'holds a {type(data).__name__}: must map episode ids'
            )
        return data

    def _calibrated(self, episode_id: str, serial: str) -> Array | None:
        if self._poses is None or episode_id not in self._poses[1]:
            return None
        path, data = self._poses
        if serial not in typed(dict, data, path, episode_id):
            return None
        field = f'{episode_id}.{serial}'
        return np.asarray(pose_from_euler(numbers(data[episode_id][serial], (6,), path, field)))

    def _camera(self, episode_id: str, serial: str, width: int, height: int) -> CameraModel:
        """Make the camera; the numbers stand in the order fx, cx, fy, cy."""
        path = self._folder / 'intrinsics.json'
        value = member(self._intrinsics, path, episode_id, serial)
        if isinstance(value, Mapping):  # with distortion beside, in some versions of the file
            value = member(value, path, 'cameraMatrix')
        field = f'{episode_id}.{serial}'
        fx, cx, fy, cy = numbers(value, (4,), path, field)
        if not (0 < cx < width and 0 < cy < height and fx > 0 and fy > 0):
            raise DatasetFileError(
                path, field, f'{shorten(value)} does not fit images of {width}x{height}'
            )
        return CameraModel(width, height, fx, fy, cx, cy)

    def _instructions(self, episode_id: str, meta: Mapping[str, Any]) -> tuple[str, ...]:
        wordings = self._language.get(episode_id)
        texts = list(wordings.values()) if isinstance(wordings, Mapping) else []
        # ``current_task`` is the collector's label and often a category, hence second choice.
        texts = texts or [meta.get('current_task')]
        return tuple(dict.fromkeys(t.strip() for t in texts if isinstance(t, str) and t.strip()))

    def _depth(self, folder: Path, serial: str, camera: CameraModel) -> DepthFolder | None:
        path = folder / self.options.depth.format(serial=serial)
        if not path.is_dir():
            return None
        return DepthFolder(path, '{index}.png', camera, self.options.depth_unit)
