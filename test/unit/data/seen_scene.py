# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A simulated picture with its truth, and models that tell it: the stand-ins of the web pipeline's tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from robotracer_ros.data.web.perception import DepthEstimate, Detection, Rgb
from robotracer_ros.sim.render import Renderer
from robotracer_ros.sim.scenes import SceneConfig, generate_scene
from robotracer_ros.sim.spec import Rendering, Scene

_PIXELS = 60


@dataclass(frozen=True)
class Seen:
    """A scene and its picture."""

    scene: Scene
    picture: Rendering

    @property
    def visible(self) -> list[int]:
        """Indices of the objects of which enough is seen."""
        counts = np.bincount(
            self.picture.segmentation[self.picture.segmentation >= 0].ravel(),
            minlength=len(self.scene.objects),
        )
        return [i for i, n in enumerate(counts) if n >= _PIXELS]


@lru_cache(maxsize=32)
def seen(seed: int) -> Seen:
    """Render the scene of a seed without a robot."""
    scene = generate_scene(seed, SceneConfig(width=320, height=240))
    return Seen(scene, _renderer().render(scene))


@lru_cache(maxsize=1)
def _renderer() -> Renderer:
    return Renderer(robot=False, antialias=False)


@dataclass
class TrueModels:
    """Tells what is true of one picture, with the errors that models make.

    Attributes:
        seen: The picture.
        grow: Pixels by which masks are too large.
        depth_noise: Standard deviation of a factor on the depth that varies slowly over the picture.
        doubles: Also tell every box a second time, a little off.
    """

    seen: Seen
    grow: int = 0
    depth_noise: float = 0.0
    doubles: bool = False

    def detect(self, rgb: Rgb) -> list[Detection]:
        """Return boxes around what is seen of the objects."""
        found = []
        for i in self.seen.visible:
            rows, columns = np.nonzero(self.seen.picture.segmentation == i)
            box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            box = tuple(float(x) for x in box)
            found.append(Detection(self.seen.scene.objects[i].kind, 0.9 - 0.01 * i, box))
            if self.doubles:
                off = (box[0] - 2, box[1], box[2], box[3] + 1)
                found.append(Detection('object', 0.4, off))
        return found

    def segment(
        self, rgb: Rgb, boxes: Sequence[tuple[float, float, float, float]]
    ) -> NDArray[np.bool_]:
        """Return the mask of the object that fills most of each box."""
        masks = []
        for x0, y0, x1, y1 in boxes:
            inside = self.seen.picture.segmentation[int(max(y0, 0)) : int(y1), int(max(x0, 0)) : int(x1)]
            here = np.bincount(inside[inside >= 0], minlength=1)
            # Of two things in a box the one is meant whose own box it is.
            best = max(
                (i for i in range(len(here)) if here[i]),
                key=lambda i: self._fit(i, (x0, y0, x1, y1)),
            )
            mask = self.seen.picture.segmentation == best
            masks.append(ndimage.binary_dilation(mask, iterations=self.grow) if self.grow else mask)
        return np.array(masks)

    def _fit(self, i: int, box: tuple[float, float, float, float]) -> float:
        rows, columns = np.nonzero(self.seen.picture.segmentation == i)
        own = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        return -float(np.abs(own - box).sum())

    def depth(self, rgb: Rgb) -> DepthEstimate:
        """Return the depth, bent."""
        depth = self.seen.picture.depth
        rng = np.random.default_rng(self.seen.scene.seed)
        coarse = rng.normal(0, self.depth_noise, (4, 5))
        bend = ndimage.zoom(coarse, np.array(depth.shape) / coarse.shape, order=1)
        return DepthEstimate((depth * (1 + bend)).astype(np.float32), self.seen.scene.camera.fx)

    def caption(self, rgb: Rgb) -> str:
        """Name colour and kind of the object whose colours fill the cut-out, as a captioner would."""
        shape = rgb.shape[:2]
        for i in self.seen.visible:
            o = self.seen.scene.objects[i]
            rows, columns = np.nonzero(self.seen.picture.segmentation == i)
            y0, x0 = max(0, rows.min() - 8), max(0, columns.min() - 8)
            window = self.seen.picture.rgb[y0 : rows.max() + 9, x0 : columns.max() + 9]
            mask = self.seen.picture.segmentation[y0 : rows.max() + 9, x0 : columns.max() + 9] == i
            if window.shape[:2] == shape and (rgb[mask] == window[mask]).all():
                return f'a {o.color} {o.kind} on a table'
        return 'a photo'
