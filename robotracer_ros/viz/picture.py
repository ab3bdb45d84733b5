# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A 3D picture of a run: point cloud, trace, corrected trace and tool path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from robotracer_ros.viz.overlay import gradient

#: how far around trace and tool path the picture reaches
_MARGIN_M = 0.28


def save_picture(
    path: Path,
    cloud: NDArray[np.floating],
    cloud_rgb: NDArray[np.uint8],
    trace: NDArray[np.float64],
    corrected: NDArray[np.float64] | None = None,
    tool_path: NDArray[np.float64] | None = None,
    *,
    title: str = '',
    max_points: int = 40_000,
) -> None:
    """Write a PNG with a view of the scene from the side and one from above.

    Args:
        path: File to write.
        cloud: (N, 3) points, metres, planning frame (z up); NaN rows are left out.
        cloud_rgb: (N, 3) uint8.
        trace: (K, 3) the lifted trace.
        corrected: (K, 3) the trace after the planner's corrections.
        tool_path: (T, 3) positions of the tool along the plan.
        title: Text above the pictures.
        max_points: The cloud is thinned evenly to this many.
    """
    near = np.concatenate([trace, *([] if tool_path is None else [tool_path])])
    low, high = near.min(axis=0) - _MARGIN_M, near.max(axis=0) + _MARGIN_M
    with np.errstate(invalid='ignore'):
        keep = np.flatnonzero(((cloud >= low) & (cloud <= high)).all(axis=1))
    if len(keep) > max_points:
        keep = keep[np.linspace(0, len(keep) - 1, max_points).astype(int)]
    figure = Figure(figsize=(13, 6.2), dpi=110, layout='constrained')
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title, fontsize=12)
    for column, (elevation, azimuth, name) in enumerate(
        ((22.0, -62.0, 'side'), (89.0, -90.0, 'from above'))
    ):
        axes = figure.add_subplot(1, 2, column + 1, projection='3d', computed_zorder=False)
        axes.scatter(
            *cloud[keep].T,
            c=cloud_rgb[keep] / 255.0,
            s=2.0,
            linewidths=0,
            depthshade=False,
            zorder=1,
        )
        if tool_path is not None and len(tool_path) > 1:
            axes.plot(*tool_path.T, color='#8e44ad', linewidth=1.6, label='tool path', zorder=2)
        if corrected is not None and len(corrected):
            axes.plot(
                *corrected.T,
                color='#f39c12',
                linewidth=2.0,
                linestyle='--',
                label='corrected trace',
                zorder=3,
            )
        axes.plot(*trace.T, color='#222222', linewidth=1.2, zorder=4)
        axes.scatter(
            *trace.T,
            c=gradient(len(trace)) / 255.0,
            s=46,
            edgecolors='#222222',
            depthshade=False,
            label='trace',
            zorder=5,
        )
        _frame(axes, np.concatenate([cloud[keep], near]))
        axes.view_init(elevation, azimuth)
        axes.set_title(name, fontsize=10)
        if elevation > 80:  # heights cannot be read from above
            axes.set_zticks([])
            axes.set_zlabel('')
    figure.axes[0].legend(loc='upper left', fontsize=9)
    figure.savefig(path)


def _frame(axes: Any, points: NDArray[np.floating]) -> None:
    """Give all axes the same scale around points (N, 3)."""
    low, high = points.min(axis=0), points.max(axis=0)
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_zlim(low[2], high[2])
    axes.set_box_aspect(high - low)
    axes.set_xlabel('x (m)')
    axes.set_ylabel('y (m)')
    axes.set_zlabel('z (m)')
