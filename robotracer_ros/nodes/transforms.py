# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A transform tree of our own: fed by /tf, /tf_static and parameters, asked at a stamp.

The wheels bring no tf2, and a planner must never take "the latest" pose by accident. So the tree
answers for the stamp it was asked for, or says why it cannot: which frames, which stamps.
"""

from __future__ import annotations

import bisect
import math
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robotracer_ros.errors import InvalidParameterError, NoTransformError, StaleTransformError
from robotracer_ros.geometry.transforms import (
    invert,
    make_transform,
    matrix_to_quaternion,
    quaternion_to_matrix,
)

if TYPE_CHECKING:
    from rclpy.node import Node

Matrix = NDArray[np.float64]


@dataclass
class _Edge:
    """Where one frame hangs: its parent and parent_from_child over time."""

    parent: str
    static: Matrix | None = None
    stamps: list[int] = field(default_factory=list)
    samples: list[tuple[Matrix, Matrix]] = field(default_factory=list)
    """(translation, quaternion) per stamp, in ascending order."""


def _slerp(a: Matrix, b: Matrix, t: float) -> Matrix:
    dot = float(a @ b)
    if dot < 0.0:  # the short way round
        b, dot = -b, -dot
    if dot > 0.9995:
        return a + t * (b - a)
    angle = math.acos(dot)
    blend = (math.sin((1 - t) * angle) * a + math.sin(t * angle) * b) / math.sin(angle)
    return np.asarray(blend)


def _seconds(ns: int) -> str:
    return f'{ns * 1e-9:.3f} s'


class TransformTree:
    """Transforms between frames over time. Thread-safe; knows nothing of ROS.

    Args:
        cache_s: Seconds of history kept per frame.
        max_gap_s: Longest gap between two samples that may be interpolated across.
        max_extrapolation_s: How far beyond the newest sample a stamp may lie; then that sample
            is used as it is. 0 forbids it.
    """

    def __init__(self, cache_s: float = 10.0, max_gap_s: float = 1.0,
                 max_extrapolation_s: float = 0.0) -> None:
        self._cache_ns = int(cache_s * 1e9)
        self._max_gap_ns = int(max_gap_s * 1e9)
        self._max_extrapolation_ns = int(max_extrapolation_s * 1e9)
        self._edges: dict[str, _Edge] = {}
        self._changed = threading.Condition()
        self.hint = ''
        """A sentence appended to NoTransformError, such as how to install tf2_msgs."""

    def set_static(self, parent: str, child: str, parent_from_child: Matrix) -> None:
        """Set a transform that holds at all times.

        Raises:
            ValueError: a frame name is empty, both are equal, or the tree would hold a loop.
        """
        parent, child = self._names(parent, child)
        with self._changed:
            self._edges[child] = _Edge(parent, static=np.array(parent_from_child, dtype=float))
            self._changed.notify_all()

    def add(self, parent: str, child: str, stamp_ns: int, translation: ArrayLike,
            quaternion: ArrayLike) -> None:
        """Add a sample of a moving transform: metres and (x, y, z, w).

        A stamp that lies further back than the whole cache means that time was set back (a bag or
        a simulation started again): the frame's history is dropped.

        Raises:
            ValueError: bad frame names, a loop, a value that is not finite, or a zero quaternion.
        """
        parent, child = self._names(parent, child)
        t, q = np.asarray(translation, dtype=float), np.asarray(quaternion, dtype=float)
        length = float(np.linalg.norm(q))
        if not (np.isfinite(t).all() and np.isfinite(q).all()) or length < 1e-9:
            raise ValueError(f"transform '{parent}' <- '{child}' at {_seconds(stamp_ns)} is not "
                             f'usable: translation {t.tolist()}, quaternion {q.tolist()}')
        with self._changed:
            edge = self._edges.get(child)
            if edge is None or edge.static is not None or edge.parent != parent or (
                    edge.stamps and stamp_ns < edge.stamps[-1] - self._cache_ns):
                edge = self._edges[child] = _Edge(parent)
            at = bisect.bisect_left(edge.stamps, stamp_ns)
            if at < len(edge.stamps) and edge.stamps[at] == stamp_ns:
                edge.samples[at] = (t, q / length)
            else:
                edge.stamps.insert(at, stamp_ns)
                edge.samples.insert(at, (t, q / length))
            old = bisect.bisect_left(edge.stamps, edge.stamps[-1] - self._cache_ns)
            del edge.stamps[:old], edge.samples[:old]
            self._changed.notify_all()

    def frames(self) -> tuple[str, ...]:
        """Return all known frames, sorted."""
        with self._changed:
            return tuple(sorted({*self._edges, *(e.parent for e in self._edges.values())}))

    def clear(self) -> None:
        """Forget the history of moving frames; static transforms stay."""
        with self._changed:
            self._edges = {c: e for c, e in self._edges.items() if e.static is not None}

    def lookup(self, target: str, source: str, stamp_ns: int | None,
               timeout_s: float = 0.0) -> Matrix:
        """Return target_from_source (4, 4) at a stamp, waiting for it when it lies ahead.

        Args:
            target: Frame of the result.
            source: Frame of what is transformed.
            stamp_ns: When; None takes the newest of every link, and only a caller who was told
                to by a parameter may ask for that.
            timeout_s: Longest wait (wall time) for missing or future samples; never call with
                one from a callback of the executor that feeds this tree.

        Raises:
            NoTransformError: a frame is unknown or the two are not connected.
            StaleTransformError: connected, but not known at the stamp.
        """
        deadline = time.monotonic() + timeout_s
        target, source = target.lstrip('/'), source.lstrip('/')
        with self._changed:
            while True:
                try:
                    return self._lookup(target, source, stamp_ns)
                except (NoTransformError, StaleTransformError):
                    left = deadline - time.monotonic()
                    if left <= 0.0:
                        raise
                    self._changed.wait(left)

    # -- inside, with the lock held ---------------------------------------------------------------

    def _names(self, parent: str, child: str) -> tuple[str, str]:
        parent, child = parent.lstrip('/'), child.lstrip('/')
        if not parent or not child or parent == child:
            raise ValueError(f"transform '{parent}' <- '{child}': frames need two different names")
        with self._changed:
            if child in self._chain(parent):
                raise ValueError(f"transform '{parent}' <- '{child}' would make the tree a loop")
        return parent, child

    def _chain(self, frame: str) -> list[str]:
        chain = [frame]
        while (edge := self._edges.get(chain[-1])) is not None:
            chain.append(edge.parent)
        return chain

    def _lookup(self, target: str, source: str, stamp_ns: int | None) -> Matrix:
        if target == source:
            return np.eye(4)
        up_target, up_source = self._chain(target), self._chain(source)
        common = next((f for f in up_source if f in set(up_target)), None)
        if common is None:
            raise self._unconnected(target, source)
        what = f"transform '{target}' <- '{source}'"
        common_from_source = self._climb(up_source, common, stamp_ns, what)
        common_from_target = self._climb(up_target, common, stamp_ns, what)
        return invert(common_from_target) @ common_from_source

    def _unconnected(self, target: str, source: str) -> NoTransformError:
        known = {*self._edges, *(e.parent for e in self._edges.values())}
        missing = [f"'{f}'" for f in (target, source) if f not in known]
        why = f'frame {" and ".join(missing)} unknown' if missing else (
            f"'{target}' hangs under '{self._chain(target)[-1]}', '{source}' under "
            f"'{self._chain(source)[-1]}'")
        names = ', '.join(sorted(known)) or 'none'
        text = f"no transform '{target}' <- '{source}': {why}; known frames: {names}"
        return NoTransformError(f'{text}. {self.hint}' if self.hint else text,
                                target=target, source=source)

    def _climb(self, chain: list[str], common: str, stamp_ns: int | None, what: str) -> Matrix:
        result = np.eye(4)
        for child in chain[:chain.index(common)]:
            result = self._at(child, self._edges[child], stamp_ns, what) @ result
        return result

    def _at(self, child: str, edge: _Edge, stamp_ns: int | None, what: str) -> Matrix:
        if edge.static is not None:
            return edge.static
        stamps = edge.stamps
        link = f"link '{edge.parent}' <- '{child}'"
        if stamp_ns is None or stamp_ns == stamps[-1]:
            t, q = edge.samples[-1]
            return make_transform(quaternion_to_matrix(q), t)
        if stamp_ns > stamps[-1]:
            ahead = stamp_ns - stamps[-1]
            if ahead <= self._max_extrapolation_ns:
                t, q = edge.samples[-1]
                return make_transform(quaternion_to_matrix(q), t)
            raise StaleTransformError(
                f'{what} at {_seconds(stamp_ns)}: {link} is known up to {_seconds(stamps[-1])} '
                f'only, {_seconds(ahead)} earlier (limit '
                f'{_seconds(self._max_extrapolation_ns)})', link=child, stamp_ns=stamp_ns,
                newest_ns=stamps[-1])
        if stamp_ns < stamps[0]:
            raise StaleTransformError(
                f'{what} at {_seconds(stamp_ns)}: {link} is known from {_seconds(stamps[0])} on '
                f'only, {_seconds(stamps[0] - stamp_ns)} later', link=child, stamp_ns=stamp_ns,
                oldest_ns=stamps[0])
        at = bisect.bisect_left(stamps, stamp_ns)
        if stamps[at] == stamp_ns:
            t, q = edge.samples[at]
            return make_transform(quaternion_to_matrix(q), t)
        gap = stamps[at] - stamps[at - 1]
        if gap > self._max_gap_ns:
            raise StaleTransformError(
                f'{what} at {_seconds(stamp_ns)}: {link} has a gap of {_seconds(gap)} there '
                f'(limit {_seconds(self._max_gap_ns)})', link=child, stamp_ns=stamp_ns, gap_ns=gap)
        share = (stamp_ns - stamps[at - 1]) / gap
        (t0, q0), (t1, q1) = edge.samples[at - 1], edge.samples[at]
        return make_transform(quaternion_to_matrix(_slerp(q0, q1, share)), t0 + share * (t1 - t0))


def parse_extrinsics(lines: Iterable[str]) -> list[tuple[str, str, Matrix]]:
    """Read static transforms: ``'parent child x y z qx qy qz qw'``, metres and a quaternion.

    Returns:
        (parent, child, parent_from_child) each.

    Raises:
        InvalidParameterError: a line has another form; empty lines are skipped.
    """
    result = []
    for line in lines:
        words = line.split()
        if not words:
            continue
        try:
            parent, child = words[0], words[1]
            numbers = [float(w) for w in words[2:]]
            if len(numbers) != 7 or not np.isfinite(numbers).all() or parent == child:
                raise ValueError
            matrix = make_transform(quaternion_to_matrix(numbers[3:]), numbers[:3])
        except (ValueError, IndexError):
            raise InvalidParameterError(
                f"extrinsic '{line}': must be 'parent child x y z qx qy qz qw' with two different "
                'frames and finite numbers') from None
        result.append((parent, child, matrix))
    return result


def format_extrinsic(parent: str, child: str, parent_from_child: Matrix) -> str:
    """Write a static transform the way :func:`parse_extrinsics` reads it."""
    numbers = (*parent_from_child[:3, 3], *matrix_to_quaternion(parent_from_child[:3, :3]))
    return ' '.join([parent, child, *(f'{x:.9g}' for x in numbers)])


class TransformListener:
    """Feed a tree from /tf and /tf_static. Remap those names as with any node.

    Args:
        node: Node that gets the two subscriptions.
        tree: The tree to feed.
        callback_group: Group of the subscriptions; None is the node's own.

    Without tf2_msgs (absent from the pip wheels unless built) nothing is subscribed,
    ``available`` is False and the tree's NoTransformError says so.
    """

    def __init__(self, node: Node, tree: TransformTree, callback_group: Any = None) -> None:
        self.tree = tree
        self.bad = 0
        self.last_bad = ''
        self._node = node
        self._subscriptions: list[Any] = []
        try:
            from tf2_msgs.msg import TFMessage
        except ImportError:
            self.available = False
            tree.hint = ('tf2_msgs is not installed, so /tf is not heard: install it, or give the '
                         'camera pose in the parameter tf.extrinsics')
            return
        self.available = True
        from robotracer_ros.nodes.qos import make_qos
        for topic, durability, callback in (
                ('/tf', 'volatile', self._on_tf),
                ('/tf_static', 'transient_local', self._on_static)):
            self._subscriptions.append(node.create_subscription(
                TFMessage, topic, callback, make_qos('reliable', durability, 100),
                callback_group=callback_group))

    def destroy(self) -> None:
        """Drop the subscriptions; the tree keeps what it has."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def _on_tf(self, msg: Any) -> None:
        for t in msg.transforms:
            stamp_ns = t.header.stamp.sec * 1_000_000_000 + t.header.stamp.nanosec
            self._try(self.tree.add, t, stamp_ns)

    def _on_static(self, msg: Any) -> None:
        for t in msg.transforms:
            self._try(self._set_static, t, 0)

    def _set_static(self, parent: str, child: str, _stamp_ns: int, translation: ArrayLike,
                    quaternion: ArrayLike) -> None:
        self.tree.set_static(
            parent, child, make_transform(quaternion_to_matrix(quaternion), translation))

    def _try(self, add: Any, t: Any, stamp_ns: int) -> None:
        p, q = t.transform.translation, t.transform.rotation
        try:
            add(t.header.frame_id, t.child_frame_id, stamp_ns, (p.x, p.y, p.z),
                (q.x, q.y, q.z, q.w))
        except ValueError as e:
            self.bad += 1
            self.last_bad = str(e)
            self._node.get_logger().warning(f'bad transform ignored: {e}',
                                            throttle_duration_sec=5.0)
