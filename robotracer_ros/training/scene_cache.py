# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Rendered scenes on disk: an image costs 0.1 s to render and is asked hundreds of questions.

A cache folder holds memory-mapped arrays that grow while training reads them, and one JSON line per
picture that is ready: the scene behind it. Scenes are stored and not made again from their seeds,
because a later generator makes other scenes from the same seeds.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.data.store import scene_from_dict, scene_to_dict
from robotracer_ros.sim.scenes import generate_scene
from robotracer_ros.sim.spec import Rendering, Scene

WIDTH, HEIGHT = 320, 240
#: depth is stored as uint16 in these steps (m): 0.1 mm up to 6.5 m
DEPTH_STEP = 1e-4


class SceneCache:
    """Pictures of the seeds ``first .. first + capacity - 1``, as far as they are rendered.

    Args:
        folder: Where the arrays lie; made when missing.
        first, capacity: Only needed to make a new cache.
    """

    def __init__(
        self, folder: str | Path, first: int | None = None, capacity: int | None = None
    ) -> None:
        self.folder = Path(folder)
        meta = self.folder / 'meta.json'
        mode = 'r+'
        if not meta.exists():
            if first is None or capacity is None:
                raise FileNotFoundError(
                    f'{self.folder} holds no scene cache (meta.json is missing)'
                )
            self.folder.mkdir(parents=True, exist_ok=True)
            meta.write_text(
                json.dumps({'first': first, 'capacity': capacity, 'width': WIDTH, 'height': HEIGHT})
            )
            mode = 'w+'
        info = json.loads(meta.read_text())
        self.first, self.capacity = int(info['first']), int(info['capacity'])
        shape = (self.capacity, HEIGHT, WIDTH)

        def array(name: str, dtype: type, tail: tuple[int, ...] = ()) -> NDArray:
            path = self.folder / f'{name}.npy'
            if mode == 'w+':
                return np.lib.format.open_memmap(path, 'w+', dtype, shape + tail)
            return np.load(path, mmap_mode='r+')

        self._rgb, self._depth = array('rgb', np.uint8, (3,)), array('depth', np.uint16)
        self._seg = array('segmentation', np.int8)
        self._scenes = self.folder / 'scenes.jsonl'
        self._starts = [0]  # of every line, and where the next one will begin
        self._kept: dict[int, Scene] = {}

    def __len__(self) -> int:
        """Count the scenes that are ready; grows while another process renders."""
        if self._scenes.exists() and self._scenes.stat().st_size > self._starts[-1]:
            with self._scenes.open('rb') as file:
                file.seek(self._starts[-1])
                for line in file:
                    if line.endswith(b'\n'):
                        self._starts.append(self._starts[-1] + len(line))
        return len(self._starts) - 1

    def rendering(self, i: int) -> Rendering:
        """Return the picture of seed ``first + i``."""
        return Rendering(
            np.array(self._rgb[i]),
            self._depth[i].astype(np.float32) * DEPTH_STEP,
            self._seg[i].astype(np.int16),
        )

    def seed(self, i: int) -> int:
        """Return the seed of picture i."""
        return self.first + i

    def scene(self, i: int) -> Scene:
        """Return the scene of picture i."""
        if i not in self._kept:
            if i >= len(self._starts) - 1 and i >= len(self):
                raise IndexError(f'{self.folder} holds {len(self)} pictures, no picture {i}')
            with self._scenes.open('rb') as file:
                file.seek(self._starts[i])
                self._kept[i] = scene_from_dict(json.loads(file.readline()))
        return self._kept[i]

    def fill(self) -> None:
        """Render what is missing."""
        from robotracer_ros.sim.render import Renderer

        renderer = Renderer()
        with self._scenes.open('a', encoding='utf-8') as scenes:
            for i in range(len(self), self.capacity):
                scene = generate_scene(self.first + i)
                image = renderer.render(scene)
                self._rgb[i] = image.rgb
                self._depth[i] = np.clip(np.rint(image.depth / DEPTH_STEP), 0, 65535)
                self._seg[i] = image.segmentation
                scenes.write(json.dumps(scene_to_dict(scene)) + '\n')
                scenes.flush()


def main() -> None:
    """Make or go on with a cache.

    ``python -m robotracer_ros.training.scene_cache FOLDER --first 10000 --count 8000``.
    """
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument('folder')
    parser.add_argument(
        '--first', type=int, default=10_000, help='seeds below 1000 are for evaluation'
    )
    parser.add_argument('--count', type=int, default=8_000)
    args = parser.parse_args()
    SceneCache(args.folder, args.first, args.count).fill()


if __name__ == '__main__':
    main()
