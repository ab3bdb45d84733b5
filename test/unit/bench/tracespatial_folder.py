# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A data set in the layout of TraceSpatial-Bench, made by hand: a cube before a wall, to be moved to the right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 160, 120
K = [[150.0, 0.0, 80.0], [0.0, 150.0, 60.0], [0.0, 0.0, 1.0]]
#: of the cube's front and of the wall, metres
CUBE_Z, WALL_Z = 1.2, 2.0


def sample(number: int = 0, **changes: Any) -> dict[str, Any]:
    """Return the entry of a sample: from the cube's front 40 cm to the right."""
    entry = {
        'id': number,
        'image_path': f'{number}/image.png',
        'gt_depth_path': f'{number}/gt_depth.png',
        'mask_path': f'{number}/mask.png',
        'gt_depth_intrinsics': K,
        'prompt': 'move the cube to the right',
        'target_object': 'the cube',
        'destination|direction': 'to the right',
        'trajectory': [[0.0, 0.0, CUBE_Z], [0.2, -0.1, CUBE_Z], [0.4, 0.0, CUBE_Z]],
        'bbox_center': [0.4, 0.0, CUBE_Z],
        'bbox_extent': [0.1, 0.1, 0.1],
        'bbox_rotation': np.eye(3).tolist(),
    }
    return {**entry, **changes}


def pictures() -> dict[str, np.ndarray]:
    """Return colour, depth in millimetres and mask."""
    depth = np.full((HEIGHT, WIDTH), 1000 * WALL_Z, dtype=np.uint16)
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    mask[48:73, 68:93] = 255  # 20 cm wide at 1.2 m
    depth[mask > 0] = round(1000 * CUBE_Z)
    colour = np.repeat(np.where(mask > 0, 200, 90).astype(np.uint8)[..., None], 3, axis=2)
    return {'image': colour, 'gt_depth': depth, 'mask': mask}


def write(folder: Path, samples: list[dict[str, Any]], **changed: np.ndarray) -> Path:
    """Write a data set; pictures by name instead of the usual ones."""
    for entry in samples:
        place = folder / 'raw_data' / str(entry['id'])
        place.mkdir(parents=True, exist_ok=True)
        for name, values in {**pictures(), **changed}.items():
            Image.fromarray(values).save(place / f'{name}.png')
    (folder / 'trajectory_dataset.json').write_text(json.dumps(samples))
    return folder


def text_of(points: list[list[float]]) -> str:
    """Write points (x, y, z) of the camera frame as a model does, exactly."""
    words = []
    for x, y, z in points:
        u = (x * K[0][0] / z + K[0][2]) * 1000 / WIDTH
        v = (y * K[1][1] / z + K[1][2]) * 1000 / HEIGHT
        words.append(f'({u:.4f}, {v:.4f}, {z})')
    return '[' + ', '.join(words) + ']'


def answers(path: Path, lines: list[dict[str, Any]]) -> Path:
    """Write a file of answers."""
    path.write_text('\n'.join(json.dumps(x) for x in lines) + '\n')
    return path
