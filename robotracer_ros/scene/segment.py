# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The object at a pixel: region growing on the organised cloud, and the box of the whole thing.

Things stand on a horizontal support. A region grows from the seed over neighbouring pixels that are near in space, then
learns from horizontal faces within it whether it joins two things that stand on or beside each other. Inner walls of mugs
and bowls come back in because they lie within the region's footprint. The hidden back is completed by point symmetry
wherever the camera could not have seen that it is empty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from robotracer_ros.errors import InvalidDepthError, ObjectNotFoundError
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.transforms import apply, invert, make_transform, rotation_about
from robotracer_ros.scene.base import ObjectSegment, OrientedBox
from robotracer_ros.scene.cloud import upward
from robotracer_ros.scene.footprint import area_of, hull_of, inside, least_rectangle, thin

Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class SegmentParameters:
    """How an object is told from its surroundings.

    Attributes:
        search_px: How far from the seed (px in a 320 px wide image) an object is looked for.
        min_height: Points lower than this above the support belong to it, metres.
        max_step: Distance (m) of neighbouring pixels of one surface, at 1 m; it grows with depth.
        max_extent: Larger regions are furniture, metres.
        min_pixels: Smallest region.
        min_width: Thinner pieces on top of a face are handles or rims, not things of their own, metres.
    """

    search_px: float = 14.0
    min_height: float = 0.006
    max_step: float = 0.012
    max_extent: float = 0.45
    min_pixels: int = 25
    min_width: float = 0.022


@dataclass(frozen=True)
class _View:
    """One depth image as the functions below need it; flat arrays over the pixels."""

    points: NDArray[np.float32]
    depth: NDArray[np.float32]
    elevated: Mask
    camera: CameraModel
    base_from_camera: Matrix
    support_z: float


def segment_object(points: NDArray[np.float32], depth: NDArray[np.float32], camera: CameraModel, base_from_camera: Matrix,
                   support_z: float, seed_uv: tuple[float, float], usable: Mask | None = None,
                   parameters: SegmentParameters | None = None) -> ObjectSegment:
    """Find the object at normalised image coordinates.

    Args:
        points: (H, W, 3) cloud in the planning frame, NaN where invalid.
        depth: (H, W) metres.
        camera: Intrinsics of the pixel grid.
        base_from_camera: (4, 4) pose of the optical frame in the planning frame.
        support_z: Height of the table; NaN when unknown, then the lowest point of the image takes its place.
        seed_uv: u, v in 0..1000.
        usable: (H, W) pixels that may be taken (steady, not the robot's); all valid ones when None.
        parameters: Thresholds.

    Raises:
        InvalidDepthError: no depth at all around the seed, or the seed lies outside the image.
        ObjectNotFoundError: nothing stands up from the support near the seed, or it is too large or too small.
    """
    p = parameters or SegmentParameters()
    h, w = depth.shape
    u, v = (float(x) for x in camera.uv_to_pixels(seed_uv))
    if not (np.isfinite(u) and np.isfinite(v) and 0 <= u <= w and 0 <= v <= h):
        raise InvalidDepthError(f'seed (u, v) = ({seed_uv[0]:g}, {seed_uv[1]:g}) lies outside the image: must be in 0..1000',
                                seed=[float(seed_uv[0]), float(seed_uv[1])])
    valid = np.isfinite(points[..., 2]) & (depth > 0)
    if usable is not None:
        valid &= usable
    base = float(support_z) if np.isfinite(support_z) else float(np.nanmin(np.where(valid, points[..., 2], np.nan)))
    with np.errstate(invalid='ignore'):
        elevated = valid & (points[..., 2] > base + p.min_height)
    view = _View(points, depth, elevated, camera, base_from_camera, base)
    seed = _nearest_elevated(view, valid, u, v, p, seed_uv)
    region = _grow(view, _window(view, seed, p), seed, p)
    region, floor = _separate(view, region, seed, p)
    region = _absorb(view, region, p)
    if region.sum() < p.min_pixels:
        raise ObjectNotFoundError(f'the thing at pixel ({seed[1]}, {seed[0]}) covers {int(region.sum())} pixels: '
                                  f'must be at least {p.min_pixels}', waypoint=0, pixels=int(region.sum()))
    if floor is None:
        floor = _contact_height(view, region, valid)
    cloud = points[region].astype(float)
    size = np.ptp(cloud, axis=0)
    if max(size) > p.max_extent:
        raise ObjectNotFoundError(f'the thing at pixel ({seed[1]}, {seed[0]}) is {max(size):.2f} m large: '
                                  f'must be at most {p.max_extent:g} m', waypoint=0, extent=float(max(size)))
    return ObjectSegment(cloud, estimate_box(cloud, floor, depth, camera, base_from_camera), region)


def _nearest_elevated(view: _View, valid: Mask, u: float, v: float, p: SegmentParameters,
                      seed_uv: tuple[float, float]) -> tuple[int, int]:
    """Return row and column of the elevated pixel nearest to (u, v)."""
    h, w = view.depth.shape
    reach = p.search_px * w / 320
    r0, r1 = max(0, int(v - reach)), min(h, int(v + reach) + 2)
    c0, c1 = max(0, int(u - reach)), min(w, int(u + reach) + 2)
    rows, columns = np.mgrid[r0:r1, c0:c1]
    distance = np.hypot(columns - u, rows - v)
    near = distance <= reach
    if not (valid[r0:r1, c0:c1] & near).any():
        raise InvalidDepthError(f'no usable depth within {reach:.0f} px of the seed (u, v) = '
                                f'({seed_uv[0]:g}, {seed_uv[1]:g})', seed=[float(seed_uv[0]), float(seed_uv[1])])
    # A lone pixel is noise; its neighbours must stand up too.
    solid = ndimage.uniform_filter(view.elevated[r0:r1, c0:c1].astype(np.float32), 3, mode='nearest') > 0.6
    found = view.elevated[r0:r1, c0:c1] & solid & near
    if not found.any():
        z = view.points[r0:r1, c0:c1, 2][valid[r0:r1, c0:c1] & near]
        top = float(z.max()) - view.support_z
        raise ObjectNotFoundError(f'nothing stands up from the support within {reach:.0f} px of (u, v) = '
                                  f'({seed_uv[0]:g}, {seed_uv[1]:g}): the highest point is {1000 * top:.1f} mm above it, '
                                  f'must be more than {1000 * p.min_height:.0f} mm', waypoint=0,
                                  seed=[float(seed_uv[0]), float(seed_uv[1])], height=top)
    k = int(np.argmin(np.where(found, distance, np.inf)))
    return r0 + k // (c1 - c0), c0 + k % (c1 - c0)


def _window(view: _View, seed: tuple[int, int], p: SegmentParameters) -> Mask:
    """Limit the work to what an object of the largest size can cover in the image."""
    h, w = view.depth.shape
    reach = int(np.ceil(p.max_extent * 1.2 * max(view.camera.fx, view.camera.fy) / float(view.depth[seed])))
    window = np.zeros((h, w), bool)
    window[max(0, seed[0] - reach):seed[0] + reach + 1, max(0, seed[1] - reach):seed[1] + reach + 1] = True
    return window & view.elevated


def _components(view: _View, mask: Mask, step: float) -> NDArray[np.int64]:
    """Number the pieces of a mask whose neighbouring pixels are near in space; -1 outside. (H, W)."""
    index = np.full(mask.shape, -1, np.int64)
    count = int(mask.sum())
    index[mask] = np.arange(count)
    firsts, seconds = [], []
    h, w = mask.shape
    # One pixel may be missing between two of a surface (a hole in the depth): also look two pixels away.
    for dv, du in ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0)):
        a = (slice(0, h - dv), slice(max(0, -du), w - max(0, du)))
        b = (slice(dv, h), slice(max(0, du), w - max(0, -du)))
        both = mask[a] & mask[b]
        pa, pb = view.points[a][both], view.points[b][both]
        limit = step * np.maximum(1.0, view.depth[a][both]) * max(1, np.hypot(dv, du) * 0.75)
        close = np.sum((pa - pb) ** 2, axis=1) < limit * limit
        firsts.append(index[a][both][close])
        seconds.append(index[b][both][close])
    i, j = np.concatenate(firsts), np.concatenate(seconds)
    _, labels = connected_components(coo_matrix((np.ones(len(i), np.int8), (i, j)), shape=(count, count)), directed=False)
    out = np.full(mask.shape, -1, np.int64)
    out[mask] = labels
    return out


def _grow(view: _View, mask: Mask, seed: tuple[int, int], p: SegmentParameters) -> Mask:
    """Return the piece of the mask that holds the seed."""
    labels = _components(view, mask, p.max_step)
    return labels == labels[seed]


def _separate(view: _View, region: Mask, seed: tuple[int, int], p: SegmentParameters) -> tuple[Mask, float | None]:
    """Cut a region that joins several things at the horizontal faces within it.

    Returns:
        The part that the seed belongs to, and the height of the face it stands on, None when it is the region's own base.
    """
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    box = (slice(max(0, rows[0] - 3), rows[-1] + 4), slice(max(0, columns[0] - 3), columns[-1] + 4))
    flat = np.zeros(region.shape, bool)
    with np.errstate(invalid='ignore'):
        flat[box] = region[box] & (upward(view.points[box]) > 0.93)
    z = view.points[..., 2]
    for face in _faces(view, flat, float(z[seed])):
        patch = flat & (np.abs(z - face) < 0.005)
        if z[seed] > face + 0.008:
            upper = _grow(view, region & (z > face + 0.006), seed, p)
            cut = _stands_on(view, upper, patch, p)
            if cut is None:
                continue
            whole = region & inside(view.points[..., :2].reshape(-1, 2), cut, 0.004).reshape(region.shape) & (z <= face + 0.006)
            below = whole & (z < face - 0.008)
            if below.sum() > 0.1 * upper.sum():
                # It goes on below the face: the face belongs to a lower neighbour.
                return upper | below, None
            return upper, face
        if abs(z[seed] - face) <= 0.008:
            # The seed is on the face: what stands on it is something else.
            labels = _components(view, region & (z > face + 0.006), p.max_step)
            for label in np.unique(labels[labels >= 0]):
                piece = labels == label
                if piece.sum() >= p.min_pixels and _stands_on(view, piece, patch, p) is not None:
                    region = region & ~piece
    return _grow(view, region, seed, p), None


def _faces(view: _View, flat: Mask, top: float) -> list[float]:
    """Return the heights (m) of horizontal faces up to ``top``, highest first."""
    z = view.points[..., 2][flat]
    area = (view.depth[flat] / view.camera.fx) ** 2
    if len(z) == 0:
        return []
    low, cell = float(z.min()), 0.003
    share = np.bincount(((z - low) / cell).astype(np.int64), weights=area, minlength=3)
    smooth = np.convolve(share, np.ones(3), mode='same')
    peaks = [i for i in range(len(smooth)) if smooth[i] > 4e-4 and smooth[i] == smooth[max(0, i - 2):i + 3].max()]
    faces = [float(np.median(z[np.abs(z - low - (i + 0.5) * cell) < 1.5 * cell])) for i in peaks]
    return sorted((f for f in faces if f <= top + 0.008), reverse=True)


def _stands_on(view: _View, piece: Mask, patch: Mask, p: SegmentParameters) -> Matrix | None:
    """Return the hull (K, 2) of a piece that stands on a face as a thing of its own, None when it is part of it.

    Handles are thin, rims surround their floor; a thing of its own leaves much of the face free on its outside.
    """
    hull = hull_of(thin(view.points[piece][:, :2].astype(float)))
    if len(hull) < 3 or least_rectangle(hull).sides[1] < p.min_width:
        return None
    ground = view.points[patch][:, :2].astype(float)
    free = ~inside(ground, hull, 0.004)
    # The camera sees less of a face the flatter it looks at it; the rays' slope turns pixels into area.
    ray = view.points[patch][free] - view.base_from_camera[:3, 3]
    slope = np.maximum(np.abs(ray[:, 2]) / np.maximum(np.linalg.norm(ray, axis=1), 1e-9), 0.2)
    outside = float(np.sum((view.depth[patch][free] / view.camera.fx) ** 2 / slope))
    return hull if outside > 0.3 * area_of(hull) else None


def _absorb(view: _View, region: Mask, p: SegmentParameters) -> Mask:
    """Add separate pieces that lie within the region's footprint (inner walls) or almost touch it (spouts, handles)."""
    cloud = view.points[region].astype(float)
    hull = hull_of(thin(cloud[:, :2]))
    low, high = float(cloud[:, 2].min()), float(cloud[:, 2].max())
    rest = view.elevated & ~region
    near = inside(view.points[rest][:, :2].astype(float), hull, 0.03)
    candidate = np.zeros_like(rest)
    candidate[rest] = near
    z = view.points[..., 2]
    with np.errstate(invalid='ignore'):
        candidate &= (z > low - 0.006) & (z < high + 0.012)
    if not candidate.any():
        return region
    labels = _components(view, candidate, p.max_step)
    out = region.copy()
    for label in np.unique(labels[labels >= 0]):
        piece = labels == label
        xy = view.points[piece][:, :2].astype(float)
        if np.mean(inside(xy, hull, 0.004)) > 0.85:
            out |= piece
    return out


def _contact_height(view: _View, region: Mask, valid: Mask) -> float:
    """Return the height of what the object stands on: that of the level pixels around its lower edge, or the support's."""
    z = view.points[..., 2]
    low = float(np.percentile(z[region], 2))
    if low - view.support_z < 0.012:
        return view.support_z
    ring = ndimage.binary_dilation(region, iterations=4) & ~ndimage.binary_dilation(region, iterations=1) & valid
    with np.errstate(invalid='ignore'):
        ring &= (z < low + 0.006) & (z > low - 0.025) & (upward(view.points) > 0.9)
    if ring.sum() >= 8:
        hull = hull_of(thin(view.points[region][:, :2].astype(float)))
        close = inside(view.points[ring][:, :2].astype(float), hull, 0.02)
        if close.sum() >= 8:
            return float(np.median(z[ring][close]))
    return view.support_z


def estimate_box(cloud: Matrix, floor: float, depth: NDArray[np.float32], camera: CameraModel,
                 base_from_camera: Matrix) -> OrientedBox:
    """Estimate the box of a whole object of which one side is seen.

    Args:
        cloud: (M, 3) visible points in the planning frame.
        floor: Height of what it stands on, metres.
        depth: (H, W) metres: tells which space is known to be empty.
        camera: Intrinsics.
        base_from_camera: (4, 4).
    """
    points = np.vstack([cloud, hidden_points(cloud, depth, camera, base_from_camera)])
    rectangle = least_rectangle(hull_of(thin(_core(points[:, :2]))))
    z = np.sort(cloud[:, 2])
    top = float(np.mean(z[-max(3, len(z) // 100):]))
    height = max(top - floor, 0.004)
    pose = make_transform(rotation_about((0, 0, 1), rectangle.yaw), (*rectangle.centre, floor + height / 2))
    return OrientedBox(pose, np.array([*rectangle.sides, height]))


def hidden_points(cloud: Matrix, depth: NDArray[np.float32], camera: CameraModel, base_from_camera: Matrix) -> Matrix:
    """Return the points (K, 3) of the unseen back that point symmetry about the object's axis suggests.

    Seen from the side, the left and right edge of a symmetric thing lie opposite to each other about its axis. A mirrored
    point stays only where the camera measured something in front of it: seen empty space is empty.
    """
    eye = base_from_camera[:3, 3]
    view = cloud.mean(axis=0)[:2] - eye[:2]
    view = view / max(float(np.linalg.norm(view)), 1e-9)
    across = cloud[:, :2] @ np.array([-view[1], view[0]])
    order = np.argsort(across)
    k = max(2, len(order) // 60)
    left, right = (np.median(cloud[i, :2], axis=0) for i in (order[:k], order[-k:]))
    axis = (left + right) / 2
    mirrored = cloud.copy()
    mirrored[:, :2] = 2 * axis - cloud[:, :2]
    uvd = camera.project(apply(invert(base_from_camera), mirrored))
    px = np.rint(camera.uv_to_pixels(uvd[:, :2]))
    h, w = depth.shape
    seen = np.isfinite(px).all(axis=1) & (px >= 0).all(axis=1) & (px[:, 0] < w) & (px[:, 1] < h)
    column, row = px[seen].astype(np.int64).T
    measured = depth[row, column]
    keep = np.zeros(len(cloud), bool)
    keep[seen] = (measured > 0) & (measured < uvd[seen, 2] + 0.004)
    return mirrored[keep]


def _core(points: Matrix) -> Matrix:
    """Leave out the outermost 0.3 percent of points (N, 2) in 12 directions: depth noise widens every hull."""
    if len(points) < 300:
        return points
    keep = np.ones(len(points), bool)
    for angle in np.deg2rad(np.arange(0, 180, 15)):
        along = points @ np.array([np.cos(angle), np.sin(angle)])
        low, high = np.percentile(along, (0.3, 99.7))
        keep &= (along >= low) & (along <= high)
    return points[keep]
