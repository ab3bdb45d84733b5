# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Camera topics in, one checked observation out, or a typed error that names the topic at fault."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo, Image

from robotracer_ros.errors import (
    InputError,
    InvalidDepthError,
    NoDepthError,
    NoImageError,
    NoIntrinsicsError,
    ResolutionMismatchError,
    RobotracerError,
    StaleInputError,
)
from robotracer_ros.nodes.conversions import (
    image_to_depth,
    image_to_rgb,
    info_to_camera,
    stamp_to_ns,
)
from robotracer_ros.nodes.diagnostics import Level, Meter, Status, as_error
from robotracer_ros.nodes.parameters import NodeParameters
from robotracer_ros.nodes.qos import make_qos
from robotracer_ros.nodes.sync import NewestMatch
from robotracer_ros.nodes.transforms import TransformTree
from robotracer_ros.tracer.base import Budget, Observation

_MISSING: dict[str, type[InputError]] = {
    'color': NoImageError, 'depth': NoDepthError, 'camera_info': NoIntrinsicsError}
_TYPES: dict[str, Any] = {'color': Image, 'depth': Image, 'camera_info': CameraInfo}
_WORDS = {'color': 'colour image', 'depth': 'depth image', 'camera_info': 'camera_info'}
_WAIT_SLICE_S = 0.05


@dataclass
class _Input:
    """One subscription and what is known of it."""

    topic: str
    subscription: Any
    meter: Meter
    lost: int = 0
    incompatible: str = ''


class CameraInputs:
    """The subscriptions of the perception node, and the observation they add up to.

    Args:
        node: The node, for subscriptions and its clock.
        parameters: Its parameters.
        tree: Transforms, for the camera's pose.
        callback_group: Group of the subscriptions.
    """

    def __init__(self, node: LifecycleNode, parameters: NodeParameters, tree: TransformTree,
                 callback_group: Any) -> None:
        self._node = node
        self._p = parameters
        self._tree = tree
        self._group = callback_group
        self._inputs: dict[str, _Input] = {}
        self._names = ('color', 'depth', 'camera_info') if parameters.flag('depth.enabled') \
            else ('color', 'camera_info')
        latched = ('camera_info',) if parameters.flag('camera_info.latched') else ()
        self._match = NewestMatch('color', self._names[1:], parameters.number('slop_s'),
                                  latched=latched)

    # -- subscriptions ----------------------------------------------------------------------------

    def open(self) -> None:
        """Subscribe."""
        self._match.clear()
        for name in self._names:
            text = self._p.string
            qos = make_qos(text(f'{name}.qos.reliability'), text(f'{name}.qos.durability'),
                           self._p.integer(f'{name}.qos.depth'))
            events = SubscriptionEventCallbacks(
                incompatible_qos=lambda info, n=name: self._on_incompatible(n, info),
                message_lost=lambda info, n=name: self._on_lost(n, info))
            arguments: Any = (_TYPES[name], text(f'{name}.topic'),
                              lambda msg, n=name: self._on_message(n, msg), qos)
            try:
                subscription = self._node.create_subscription(
                    *arguments, callback_group=self._group, event_callbacks=events)
            except UnsupportedEventTypeError:  # another middleware: less is known, all works
                subscription = self._node.create_subscription(
                    *arguments, callback_group=self._group)
            self._inputs[name] = _Input(subscription.topic_name, subscription, Meter())

    def close(self) -> None:
        """Unsubscribe and forget the images."""
        for item in self._inputs.values():
            self._node.destroy_subscription(item.subscription)
        self._inputs.clear()
        self._match.clear()

    def _on_message(self, name: str, msg: Any) -> None:
        item = self._inputs.get(name)
        if item is not None:
            item.meter.tick()
            self._match.add(name, stamp_to_ns(msg.header.stamp), msg)

    def _on_incompatible(self, name: str, info: Any) -> None:
        item = self._inputs.get(name)
        if item is not None:
            item.incompatible = str(info.last_policy_kind).split('.')[-1].lower()

    def _on_lost(self, name: str, info: Any) -> None:
        item = self._inputs.get(name)
        if item is not None:
            item.lost = int(info.total_count)

    # -- observation ------------------------------------------------------------------------------

    def observe(self, wait_s: float = 0.0, tf_timeout_s: float = 0.0,
                budget: Budget | None = None) -> Observation:
        """Return the newest observation, waiting a little for a fresh one.

        Args:
            wait_s: Longest wait for a set of images within the age limit.
            tf_timeout_s: Longest wait for the camera's pose; 0 from within the executor.
            budget: Cancels the wait.

        Raises:
            InputError: one subclass per way in which inputs can be missing or wrong.
        """
        deadline = time.monotonic() + wait_s
        while True:
            oldest = self._now_ns() - round(self._p.number('max_age_s') * 1e9)
            left = deadline - time.monotonic()
            found = self._match.wait_from(oldest, min(max(left, 0.0), _WAIT_SLICE_S))
            if found is not None:
                break
            if budget is not None:
                budget.check()
            if left <= 0.0:
                raise self._why_nothing()
        self._check_not_ahead('color', found['color'].stamp_ns)
        depth = found['depth'].message if 'depth' in found else None
        return self.assemble(found['color'].message, depth, found['camera_info'].message,
                             tf_timeout_s)

    def assemble(self, color: Image, depth: Image | None, info: CameraInfo,
                 tf_timeout_s: float) -> Observation:
        """Decode and check one set.

        Raises:
            UnsupportedEncodingError, ResolutionMismatchError, NoIntrinsicsError, NoImageError,
            NoDepthError, InvalidDepthError, NoTransformError, StaleTransformError.
        """
        rgb = image_to_rgb(color)
        camera = info_to_camera(
            info, rectified=self._p.flag('camera_info.rectified'),
            max_distortion_px=self._p.number('camera_info.max_distortion_px'))
        sizes = {'colour': (color.width, color.height),
                 'camera_info': (camera.width, camera.height)}
        frames = {'colour': color.header.frame_id, 'camera_info': info.header.frame_id}
        metres: NDArray[np.float32] | None = None
        if depth is not None:
            metres = image_to_depth(depth)
            sizes['depth'] = (depth.width, depth.height)
            frames['depth'] = depth.header.frame_id
        if len(set(sizes.values())) > 1:
            listed = ', '.join(f'{n} {w}x{h}' for n, (w, h) in sizes.items())
            raise ResolutionMismatchError(f'sizes differ: {listed} px; one pixel grid is needed',
                                          sizes={n: list(s) for n, s in sizes.items()})
        if self._p.flag('check_frames') and len(set(frames.values())) > 1:
            listed = ', '.join(f"{n} '{f}'" for n, f in frames.items())
            raise ResolutionMismatchError(
                f'frames differ: {listed}; one pixel grid is needed (is the depth aligned to the '
                'colour image?)', frames=frames)
        if metres is not None:
            valid = float(np.count_nonzero(metres)) / metres.size
            needed = self._p.number('depth.min_valid_fraction')
            if valid < needed:
                raise InvalidDepthError(
                    f'only {100 * valid:.1f} % of the depth image is valid (not 0, NaN or '
                    f'infinite): at least {100 * needed:g} % is needed', valid_fraction=valid)
        frame_id, stamp_ns = color.header.frame_id, stamp_to_ns(color.header.stamp)
        return Observation(rgb, metres, camera, self._pose(frame_id, stamp_ns, tf_timeout_s),
                           frame_id, stamp_ns)

    def _pose(self, frame_id: str, stamp_ns: int,
              timeout_s: float) -> NDArray[np.float64] | None:
        gravity = self._p.string('gravity_frame')
        if not gravity:
            return None
        when = None if self._p.flag('tf.use_latest') else stamp_ns
        return self._tree.lookup(gravity, frame_id, when, timeout_s)

    # -- what is wrong ----------------------------------------------------------------------------

    def problem(self) -> RobotracerError | None:
        """Return what would make a request fail now; never waits."""
        try:
            self.observe()
        except Exception as e:
            return as_error(e)
        return None

    def _now_ns(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)

    def _age_s(self, stamp_ns: int) -> float:
        return (self._now_ns() - stamp_ns) * 1e-9

    def _check_not_ahead(self, name: str, stamp_ns: int) -> None:
        age, limit = self._age_s(stamp_ns), self._p.number('max_age_s')
        if age < -limit:
            raise StaleInputError(
                f"{_WORDS[name]} on '{self._topic(name)}': its stamp lies {-age:.3f} s ahead of "
                f"this node's clock (limit {limit:g} s); is use_sim_time the same everywhere?",
                topic=self._topic(name), age_s=age)

    def _topic(self, name: str) -> str:
        item = self._inputs.get(name)
        return item.topic if item is not None else self._p.string(f'{name}.topic')

    def _why_nothing(self) -> InputError:
        """Say why there is no fresh set, the most basic cause first."""
        limit = self._p.number('max_age_s')
        for name in self._names:
            last = self._match.last(name)
            if last is None:
                return _MISSING[name](
                    f"no {_WORDS[name]} received on '{self._topic(name)}'{self._hint(name)}",
                    topic=self._topic(name))
            age = self._age_s(last.stamp_ns)
            if age > limit and not (name == 'camera_info'
                                    and self._p.flag('camera_info.latched')):
                return StaleInputError(
                    f"newest {_WORDS[name]} on '{self._topic(name)}' is {age:.3f} s old: limit "
                    f'{limit:g} s{self._hint(name)}', topic=self._topic(name), age_s=age)
        color = self._match.last('color')
        assert color is not None
        for name in self._names[1:]:
            gap = self._match.nearest_gap_s(name, color.stamp_ns)
            if gap > self._match.slop_s:
                return _MISSING[name](
                    f"no {_WORDS[name]} on '{self._topic(name)}' matches the colour image of "
                    f'{color.stamp_ns * 1e-9:.3f} s: the nearest is {gap:.3f} s away (limit '
                    f'{self._match.slop_s:g} s)', topic=self._topic(name), gap_s=gap)
        return StaleInputError(
            f"no complete set of images within {limit:g} s on "
            f"{', '.join(repr(self._topic(n)) for n in self._names)}")

    def _hint(self, name: str) -> str:
        item = self._inputs.get(name)
        if item is None:
            return ''
        if item.incompatible:
            return (f': a publisher offers an incompatible quality of service '
                    f'({item.incompatible}); see {name}.qos')
        count = self._node.count_publishers(item.topic)
        return ': nobody publishes there' if count == 0 else f' ({count} publisher(s) there)'

    # -- diagnostics ------------------------------------------------------------------------------

    def report(self) -> tuple[str, Status]:
        """Return rates, ages, losses and what is wrong now."""
        status = Status()
        if not self._inputs:
            status.message = 'not subscribed (node not active)'
            return 'inputs', status
        for name, item in self._inputs.items():
            last = self._match.last(name)
            status.values |= {
                f'{name}_topic': item.topic,
                f'{name}_rate_hz': item.meter.rate_hz,
                f'{name}_count': item.meter.count,
                f'{name}_age_s': self._age_s(last.stamp_ns) if last else float('inf'),
                f'{name}_unmatched': self._match.unmatched[name],
                f'{name}_lost': item.lost,
            }
        status.values['matched'] = self._match.matched
        problem = self.problem()
        status.values['error_code'] = problem.code if problem else 0
        if problem is not None:
            status.raise_to(Level.ERROR, f'{problem.name} ({problem.code}): {problem}')
        return 'inputs', status
