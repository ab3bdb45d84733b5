# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The object at a pixel: region growing on the organised cloud, and the box of the whole thing.

Things stand on a horizontal support. A region grows from the seed over neighbouring pixels that are near in space, then
learns from horizontal faces within it whether it joins two things that stand on or beside each other. Inner walls of
mugs and bowls come back in because they lie within the region's footprint.
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
from robotracer_ros.scene.base import ObjectSegment
from robotracer_ros.scene.cloud import upward
from robotracer_ros.scene.complete import estimate_box, hidden_points
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
    max_step: float = 0.014
    max_extent: float = 0.45
    min_pixels: int = 25
    min_width: float = 0.022


@dataclass(frozen=True)
class _View:
    """The part of a depth image around the seed, as the functions below need it.

    Attributes:
        points, depth, valid, elevated: Cloud (H, W, 3), depth, and masks (H, W) of that part.
        links: (2, L) flat indices of neighbouring elevated pixels that are near in space.
        focal: Focal length, px.
        eye: (3,) camera position in the planning frame.
        support_z: Height of the table.
    """

    points: NDArray[np.float32]
    depth: NDArray[np.float32]
    valid: Mask
    elevated: Mask
    links: NDArray[np.int64]
    focal: float
    eye: Matrix
    support_z: float


def segment_object(points: NDArray[np.float32], depth: NDArray[np.float32], camera: CameraModel,
                   base_from_camera: Matrix, support_z: float, seed_uv: tuple[float, float], usable: Mask | None = None,
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
        raise InvalidDepthError(f'seed (u, v) = ({seed_uv[0]:g}, {seed_uv[1]:g}) lies outside the image: '
                                'must be in 0..1000',
                                seed=[float(seed_uv[0]), float(seed_uv[1])])
    valid = np.isfinite(points[..., 2]) & (depth > 0)
    if usable is not None:
        valid &= usable
    base = float(support_z) if np.isfinite(support_z) else float(np.nanmin(np.where(valid, points[..., 2], np.nan)))
    with np.errstate(invalid='ignore'):
        elevated = valid & (points[..., 2] > base + p.min_height)
    found = _nearest_elevated(points, valid, elevated, base, u, v, p, seed_uv)
    part = _window(elevated, found)
    seed = (found[0] - part[0].start, found[1] - part[1].start)
    view = _View(points[part], depth[part], valid[part], elevated[part],
                 _links(points[part], depth[part], elevated[part], p.max_step), camera.fx,
                 base_from_camera[:3, 3], base)
    region = _grow(view, view.elevated, seed)
    region, floor, others = _separate(view, region, seed, p)
    hidden, known = hidden_points(view.points[region].astype(float), depth, camera, base_from_camera)
    bare, region = region, _absorb(view, region, others, hidden, p)
    if region.sum() < p.min_pixels:
        raise ObjectNotFoundError(f'the thing at pixel ({found[1]}, {found[0]}) covers {int(region.sum())} pixels: '
                                  f'must be at least {p.min_pixels}', waypoint=0, pixels=int(region.sum()))
    if floor is None:
        floor = _contact_height(view, region)
    cloud = view.points[region].astype(float)
    size = np.ptp(cloud, axis=0)
    if max(size) > p.max_extent:
        raise ObjectNotFoundError(f'the thing at pixel ({found[1]}, {found[0]}) is {max(size):.2f} m large: '
                                  f'must be at most {p.max_extent:g} m', waypoint=0, extent=float(max(size)))
    mask = np.zeros(depth.shape, bool)
    mask[part] = region
    if not np.array_equal(region, bare):
        hidden, known = hidden_points(cloud, depth, camera, base_from_camera)
    box = estimate_box(cloud, hidden[:0] if known else hidden, floor, camera, base_from_camera)
    return ObjectSegment(cloud, box, mask, hidden, view.eye)


def _nearest_elevated(points: NDArray[np.float32], valid: Mask, elevated: Mask, support_z: float, u: float, v: float,
                      p: SegmentParameters, seed_uv: tuple[float, float]) -> tuple[int, int]:
    """Return row and column of the elevated pixel nearest to (u, v)."""
    h, w = valid.shape
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
    solid = ndimage.uniform_filter(elevated[r0:r1, c0:c1].astype(np.float32), 3, mode='nearest') > 0.6
    found = elevated[r0:r1, c0:c1] & solid & near
    if not found.any():
        z = points[r0:r1, c0:c1, 2][valid[r0:r1, c0:c1] & near]
        top = float(z.max()) - support_z
        raise ObjectNotFoundError(f'nothing stands up from the support within {reach:.0f} px of (u, v) = '
                                  f'({seed_uv[0]:g}, {seed_uv[1]:g}): the highest point is {1000 * top:.1f} mm '
                                  f'above it, must be more than {1000 * p.min_height:.0f} mm', waypoint=0,
                                  seed=[float(seed_uv[0]), float(seed_uv[1])], height=top)
    k = int(np.argmin(np.where(found, distance, np.inf)))
    return r0 + k // (c1 - c0), c0 + k % (c1 - c0)


def _window(elevated: Mask, seed: tuple[int, int]) -> tuple[slice, slice]:
    """Return the rows and columns of everything that touches the seed's elevated blob in the image, and some margin."""
    labels, _ = ndimage.label(ndimage.binary_dilation(elevated, np.ones((3, 3), bool)))
    rows, columns = ndimage.find_objects((labels == labels[seed]).astype(np.uint8))[0]
    return (slice(max(0, rows.start - 8), min(elevated.shape[0], rows.stop + 8)),
            slice(max(0, columns.start - 8), min(elevated.shape[1], columns.stop + 8)))


def _links(points: NDArray[np.float32], depth: NDArray[np.float32], mask: Mask, step: float) -> NDArray[np.int64]:
    """Return flat index pairs (2, L) of neighbouring pixels of a mask that are near in space.

    Pixels may be missing (holes at depth edges), so that neighbours are looked for up to two pixels away.
    """
    h, w = mask.shape
    index = np.arange(h * w).reshape(h, w)
    pairs = []
    for dv, du in ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0), (1, 2), (2, 1), (1, -2), (2, -1)):
        a = (slice(0, h - dv), slice(max(0, -du), w - max(0, du)))
        b = (slice(dv, h), slice(max(0, du), w - max(0, -du)))
        limit = np.float32(step * max(1.0, 0.75 * float(np.hypot(dv, du)))) * np.maximum(np.float32(1), depth[a])
        gap = points[a] - points[b]
        close = np.einsum('ijk,ijk->ij', gap, gap) < limit * limit
        close &= mask[a] & mask[b]
        pairs.append(np.stack([index[a][close], index[b][close]]))
    return np.concatenate(pairs, axis=1)


def _components(view: _View, mask: Mask) -> NDArray[np.int64]:
    """Number the pieces of a mask (H, W) whose neighbouring pixels are near in space; -1 outside."""
    flat = mask.reshape(-1)
    count = int(flat.sum())
    number = np.full(flat.shape, -1, np.int64)
    number[flat] = np.arange(count)
    i, j = view.links[:, flat[view.links[0]] & flat[view.links[1]]]
    graph = coo_matrix((np.ones(len(i), np.int8), (number[i], number[j])), shape=(count, count))
    _, labels = connected_components(graph, directed=False)
    number[flat] = labels
    return number.reshape(mask.shape)


def _grow(view: _View, mask: Mask, seed: tuple[int, int]) -> Mask:
    """Return the piece of the mask that holds the seed."""
    labels = _components(view, mask)
    return labels == labels[seed]


def _separate(view: _View, region: Mask, seed: tuple[int, int],
              p: SegmentParameters) -> tuple[Mask, float | None, Mask]:
    """Cut a region that joins several things at the horizontal faces within it.

    Returns:
        The part that the seed belongs to, the height of the face it stands on (None: the region's own base), and what
        was found to be other things.
    """
    with np.errstate(invalid='ignore'):
        flat = region & (upward(view.points) > 0.96)
    z = view.points[..., 2]
    others = np.zeros_like(region)
    for face in _faces(view, flat):
        patch = flat & (np.abs(z - face) < 0.005)
        labels = _components(view, region & (z > face + 0.006))
        for label in np.unique(labels[labels >= 0]):
            piece = labels == label
            if piece.sum() < p.min_pixels:
                continue
            stance = _stance(view, piece, region, patch, face, p)
            if stance is None:
                continue
            whole, floor = stance
            if whole[seed]:
                return whole, floor, region & ~whole
            # On a face above the seed a piece beside it may be the upper half of the very thing that is looked for.
            if floor is not None or z[seed] > face - 0.008:
                region = region & ~piece
                others |= piece
    return _grow(view, region, seed), None, others


def _faces(view: _View, flat: Mask) -> list[float]:
    """Return the heights (m) of horizontal faces, highest first."""
    z = view.points[..., 2][flat]
    area = (view.depth[flat] / view.focal) ** 2
    if len(z) == 0:
        return []
    low, cell = float(z.min()), 0.003
    share = np.bincount(((z - low) / cell).astype(np.int64), weights=area, minlength=3)
    smooth = np.convolve(share, np.ones(3), mode='same')
    peaks = [i for i in range(len(smooth)) if smooth[i] > 4e-4 and smooth[i] == smooth[max(0, i - 2):i + 3].max()]
    heights = [z[np.abs(z - low - (i + 0.5) * cell) < 1.5 * cell] for i in peaks]
    return sorted({float(np.median(h)) for h in heights if len(h)}, reverse=True)


def _stance(view: _View, piece: Mask, region: Mask, patch: Mask, face: float,
            p: SegmentParameters) -> tuple[Mask, float | None] | None:
    """Tell how a piece above a face is a thing of its own.

    Handles are thin, rims surround their floor: neither is. A thing of its own leaves much of the face free around it.

    Returns:
        The whole thing and the height it stands at: the face's, or None when it stands beside the face and goes on
        below it. None when the piece belongs to what bears the face.
    """
    xy = view.points[..., :2].astype(float)
    hull = hull_of(thin(xy[piece]))
    width = least_rectangle(hull).sides[1] if len(hull) >= 3 else 0.0
    if width < p.min_width:
        return None
    free = ~inside(xy[patch], hull, 0.004)
    # The camera sees less of a face the flatter it looks at it; the rays' slope turns pixels into area.
    ray = view.points[patch][free] - view.eye
    slope = np.maximum(np.abs(ray[:, 2]) / np.maximum(np.linalg.norm(ray, axis=1), 1e-9), 0.2)
    if float(np.sum((view.depth[patch][free] / view.focal) ** 2 / slope)) < 0.3 * area_of(hull):
        return None
    below = np.zeros_like(region)
    lower = region & ~piece & (view.points[..., 2] < face - 0.008)
    below[lower] = inside(xy[lower], hull, 0.004)
    # It hides the face behind it, so that only its foot can be expected within what is seen of the face.
    foot = piece & (view.points[..., 2] < face + 0.02)
    rests = foot.any() and np.mean(inside(xy[foot], hull_of(thin(xy[patch])), 0.006)) > 0.7
    if rests and below.sum() < 0.2 * piece.sum():
        return piece, face
    if below.sum() > 0.3 * piece.sum() and width > 1.5 * p.min_width:
        return piece | below, None
    return None


def _absorb(view: _View, region: Mask, others: Mask, back: Matrix, p: SegmentParameters) -> Mask:
    """Add separate pieces that lie within the region's footprint (inner walls) or hang on it (spouts, handles)."""
    cloud = view.points[region].astype(float)
    hull = hull_of(thin(np.vstack([cloud, back])[:, :2]))
    low, high = float(cloud[:, 2].min()), float(cloud[:, 2].max())
    rest = view.elevated & ~region & ~others
    near = inside(view.points[rest][:, :2].astype(float), hull, 0.10)
    candidate = np.zeros_like(rest)
    candidate[rest] = near
    z = view.points[..., 2]
    with np.errstate(invalid='ignore'):
        candidate &= (z > low - 0.006) & (z < high + 0.04)
    if not candidate.any():
        return region
    labels = _components(view, candidate)
    out = region.copy()
    for label in np.unique(labels[labels >= 0]):
        piece = labels == label
        xy = view.points[piece][:, :2].astype(float)
        within = np.mean(inside(xy, hull, 0.004)) > 0.85 and float(z[piece].max()) < high + 0.012
        if within or _hangs_on(view, piece, region, p):
            out |= piece
    return out


def _hangs_on(view: _View, piece: Mask, region: Mask, p: SegmentParameters) -> bool:
    """Tell whether a thin piece that stands on nothing is held by the region next to it.

    Where a spout leaves a can on the far side of its outline, depth jumps; yet it has to be fixed somewhere.
    """
    xyz = view.points[piece].astype(float)
    if len(xyz) < 4 or np.percentile(xyz[:, 2], 2) < view.support_z + 2 * p.min_height:
        return False
    hull = hull_of(thin(xyz[:, :2]))
    if len(hull) < 3 or least_rectangle(hull).sides[1] > 1.6 * p.min_width:
        return False
    mine = view.points[piece & ndimage.binary_dilation(region, iterations=2)].astype(float)
    theirs = view.points[region & ndimage.binary_dilation(piece, iterations=2)].astype(float)
    if len(mine) == 0 or len(theirs) == 0:
        return False
    gap = np.linalg.norm(mine[:, None] - theirs[None], axis=-1).min()
    return bool(gap < 0.03)


def _contact_height(view: _View, region: Mask) -> float:
    """Return the height of what the object stands on: of the level pixels around its lower edge, or the support."""
    z = view.points[..., 2]
    low = float(np.percentile(z[region], 2))
    if low - view.support_z < 0.012:
        return view.support_z
    ring = ndimage.binary_dilation(region, iterations=4) & ~ndimage.binary_dilation(region, iterations=1) & view.valid
    with np.errstate(invalid='ignore'):
        ring &= (z < low + 0.006) & (z > low - 0.025) & (upward(view.points) > 0.9)
    if ring.sum() >= 8:
        hull = hull_of(thin(view.points[region][:, :2].astype(float)))
        close = inside(view.points[ring][:, :2].astype(float), hull, 0.02)
        if close.sum() >= 8:
            return float(np.median(z[ring][close]))
    return view.support_z
