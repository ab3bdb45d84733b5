# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What each image patch shows, from ground truth.

The auxiliary targets that teach the encoders to see before they read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from robotracer_ros.geometry.transforms import invert
from robotracer_ros.sim.catalog import COLORS, KINDS, SIZES
from robotracer_ros.sim.spec import SEG_ROBOT, SEG_TABLE, Rendering, Scene
from robotracer_ros.tracer.model.modeling import TYPICAL_LENGTH

PATCH = 16
KIND_CLASSES = (*KINDS, 'table', 'robot', 'background')
COLOR_CLASSES = (*COLORS,)
#: a patch belongs to the object that fills the most of it when that is at least this share
_MIN_SHARE = 0.2


@dataclass(frozen=True)
class DenseTargets:
    """Targets of the N = H/16 * W/16 patches of one image, row-major.

    Attributes:
        kind: (N,) class in :data:`KIND_CLASSES`.
        color, size: (N,) class of the object, -100 off objects.
        values: (N, 6) float32, NaN off objects: du, dv, log depth at the mask centroid, logs of
            the three sides.
        share: (objects, N) float32: how much of each patch the object's mask covers.
        centroid: (objects, 3) u, v of the mask centroid in 0..1000 and the depth there, NaN when
            hidden.
    """

    kind: NDArray[np.int64]
    color: NDArray[np.int64]
    size: NDArray[np.int64]
    values: NDArray[np.float32]
    share: NDArray[np.float32]
    centroid: NDArray[np.float64]


def dense_targets(scene: Scene, image: Rendering) -> DenseTargets:
    """Compute the targets of one image."""
    seg, depth = image.segmentation, image.depth
    h, w = seg.shape
    rows, cols = h // PATCH, w // PATCH
    blocks = seg.reshape(rows, PATCH, cols, PATCH).transpose(0, 2, 1, 3).reshape(rows * cols, -1)
    n = len(scene.objects)
    share = np.stack([(blocks == i).mean(1) for i in range(n)]).astype(np.float32)
    kinds, colors = list(KINDS), list(COLORS)
    kind = np.full(len(blocks), KIND_CLASSES.index('background'), np.int64)
    kind[(blocks == SEG_TABLE).mean(1) >= 0.5] = KIND_CLASSES.index('table')
    kind[(blocks == SEG_ROBOT).mean(1) >= 0.3] = KIND_CLASSES.index('robot')
    color = np.full(len(blocks), -100, np.int64)
    size = np.full(len(blocks), -100, np.int64)
    values = np.full((len(blocks), 6), np.nan, np.float32)
    centre_u = (np.tile(np.arange(cols), rows) + 0.5) / cols * 1000
    centre_v = (np.repeat(np.arange(rows), cols) + 0.5) / rows * 1000
    centroid = np.full((n, 3), np.nan)
    owner = share.argmax(0)
    taken = share.max(0) >= _MIN_SHARE
    camera_from_world = invert(scene.world_from_camera)
    for i, o in enumerate(scene.objects):
        ys, xs = np.nonzero(seg == i)
        if len(ys) == 0:
            continue
        u, v = xs.mean() / w * 1000, ys.mean() / h * 1000
        nearest = ((xs - xs.mean()) ** 2 + (ys - ys.mean()) ** 2).argmin()
        d = float(depth[ys[nearest], xs[nearest]])
        centroid[i] = (u, v, d)
        mine = taken & (owner == i)
        kind[mine], color[mine], size[mine] = (
            kinds.index(o.kind),
            colors.index(o.color),
            SIZES.index(o.size_name),
        )
        middle = (camera_from_world @ np.append(o.position, 1.0))[2]
        values[mine, 0] = (u - centre_u[mine]) / 100
        values[mine, 1] = (v - centre_v[mine]) / 100
        values[mine, 2] = np.log(middle if d <= 0 else d) * 4
        values[mine, 3:] = np.log([*np.sort(o.extents[:2]), o.extents[2]]) - np.log(TYPICAL_LENGTH)
    return DenseTargets(kind, color, size, values, share, centroid)


def dense_loss(
    prediction: Tensor, kind: Tensor, color: Tensor, size: Tensor, values: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """Return the loss of (B, N, classes) predictions and readable figures."""
    k, c, s = len(KIND_CLASSES), len(COLOR_CLASSES), len(SIZES)
    on = color >= 0
    # Most patches are empty table: objects count four times.
    weight = 1.0 + 3.0 * on.float()
    kinds = F.cross_entropy(prediction[..., :k].flatten(0, 1), kind.flatten(), reduction='none')
    loss_kind = (kinds * weight.flatten()).sum() / weight.sum()
    p = prediction[on]
    loss_color = F.cross_entropy(p[:, k : k + c], color[on])
    loss_size = F.cross_entropy(p[:, k + c : k + c + s], size[on])
    error = F.smooth_l1_loss(p[:, k + c + s :], values[on], beta=0.1, reduction='none').mean(0)
    loss = 2 * loss_kind + loss_color + 0.3 * loss_size + error[:3].sum() + 0.5 * error[3:].sum()
    with torch.no_grad():
        right_kind = prediction[..., :k].argmax(-1)[on] == kind[on]
        right_color = p[:, k : k + c].argmax(-1) == color[on]
        off = (p[:, k + c + s : k + c + s + 2] - values[on][:, :2]).abs().mean(0) * 100
        figures = {
            'kind': right_kind.float().mean().item(),
            'color': right_color.float().mean().item(),
            'both': (right_kind & right_color).float().mean().item(),
            'du': off[0].item(),
            'dv': off[1].item(),
            'size': (p[:, k + c : k + c + s].argmax(-1) == size[on]).float().mean().item(),
        }
    return loss, figures
