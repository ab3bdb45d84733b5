# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Record topics to an MCAP file that ``ros2 bag``, Foxglove and PlotJuggler open; works without rosbag2."""

from __future__ import annotations

import importlib
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from mcap.writer import Writer
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile

from robotracer_ros.errors import InvalidParameterError, MissingPackageError

_PRIMITIVE = re.compile(r'(bool|byte|char|float32|float64|u?int(8|16|32|64)|w?string)(<=\d+)?$')
_FIELD = re.compile(
    r'^\s*([A-Za-z][A-Za-z0-9_/]*(?:<=\d+)?)(?:\[[^\]]*\])?\s+[A-Za-z_][A-Za-z0-9_]*'
)


def message_class(type_name: str) -> type[Any]:
    """Return the class of a message type such as ``sensor_msgs/msg/Image``. Raises MissingPackageError."""
    package, kind, name = type_name.split('/')
    try:
        loaded: type[Any] = getattr(importlib.import_module(f'{package}.{kind}'), name)
    except (ImportError, AttributeError) as error:
        raise MissingPackageError(
            f"message type '{type_name}' is not installed: {error}"
        ) from error
    return loaded


def message_definition(type_name: str) -> str:
    """Return the text of a message and of all it contains, as the ``ros2msg`` schema wants it.

    Args:
        type_name: e.g. ``sensor_msgs/msg/Image``.

    Raises:
        MissingPackageError: a package or its .msg file is not installed.
    """
    texts: dict[str, str] = {}
    _collect(type_name, texts)
    parts = [texts.pop(type_name)]
    parts += [f'MSG: {name.replace("/msg/", "/")}\n{text}' for name, text in texts.items()]
    return ('\n' + '=' * 80 + '\n').join(parts)


def _collect(type_name: str, texts: dict[str, str]) -> None:
    if type_name in texts:
        return
    package, _, name = type_name.split('/')
    try:
        path = Path(get_package_share_directory(package)) / 'msg' / f'{name}.msg'
        texts[type_name] = path.read_text(encoding='utf-8')
    except (PackageNotFoundError, OSError) as error:
        raise MissingPackageError(
            f"the definition of '{type_name}' is not installed: {error}"
        ) from error
    for line in texts[type_name].splitlines():
        field = _FIELD.match(line.partition('#')[0])
        if field is None or _PRIMITIVE.match(field[1]):
            continue
        inner = field[1] if '/' in field[1] else f'{package}/{field[1]}'
        inner = (
            'std_msgs/Header' if inner == f'{package}/Header' and package != 'std_msgs' else inner
        )
        _collect(inner if '/msg/' in inner else inner.replace('/', '/msg/'), texts)


def offered_qos(profiles: Iterable[QoSProfile]) -> str:
    """Return what publishers offer as rosbag2 writes it beside a topic, which it replays it with.

    Policies are numbers, those of rmw: every rosbag2 reads them, names only those from Iron on.
    """
    return yaml.safe_dump(
        [
            {
                'history': int(p.history),
                'depth': int(p.depth),
                'reliability': int(p.reliability),
                'durability': int(p.durability),
                'deadline': _seconds(p.deadline),
                'lifespan': _seconds(p.lifespan),
                'liveliness': int(p.liveliness),
                'liveliness_lease_duration': _seconds(p.liveliness_lease_duration),
                'avoid_ros_namespace_conventions': bool(p.avoid_ros_namespace_conventions),
            }
            for p in profiles
        ],
        sort_keys=False,
    )


def _seconds(duration: Duration) -> dict[str, int]:
    sec, nsec = divmod(duration.nanoseconds, 1_000_000_000)
    return {'sec': sec, 'nsec': nsec}


class Recorder:
    """Writes every message of some topics to a file, as it came over the wire.

    Args:
        node: Gives subscriptions and the clock.
        path: File to write; must end in ``.mcap``.
        topics: Topic to type name, e.g. ``{'/joint_states': 'sensor_msgs/msg/JointState'}``.
        qos: Quality of service by topic; reliable with depth 10 otherwise.

    Raises:
        InvalidParameterError: the file does not end in .mcap or cannot be written.
        MissingPackageError: a message definition is not installed.
    """

    def __init__(
        self,
        node: Node,
        path: Path,
        topics: Mapping[str, str],
        qos: Mapping[str, QoSProfile] | None = None,
    ) -> None:
        if path.suffix != '.mcap':
            raise InvalidParameterError(f"recording '{path}': the name must end in .mcap")
        definitions = {topic: message_definition(name) for topic, name in topics.items()}
        try:
            self._file = path.open('wb')
        except OSError as error:
            raise InvalidParameterError(f"recording '{path}' cannot be written: {error}") from error
        self._node, self._lock, self._counts = node, threading.Lock(), dict.fromkeys(topics, 0)
        self._writer: Writer | None = Writer(self._file)
        self._writer.start(profile='ros2', library='robotracer_ros')
        self._subscriptions: list[Any] = []
        self._asked = {topic: (qos or {}).get(topic, QoSProfile(depth=10)) for topic in topics}
        self._schemas = {
            topic: self._writer.register_schema(name, 'ros2msg', definitions[topic].encode())
            for topic, name in topics.items()
        }
        self._channels: dict[str, int] = {}
        for topic, name in topics.items():
            self._subscriptions.append(
                node.create_subscription(
                    message_class(name), topic, self._callback(topic), self._asked[topic], raw=True
                )
            )

    @property
    def counts(self) -> dict[str, int]:
        """Messages written so far by topic."""
        with self._lock:
            return dict(self._counts)

    def close(self) -> None:
        """Finish the file; may be called twice."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []
        with self._lock:
            if self._writer is not None:
                for topic in self._schemas.keys() - self._channels.keys():
                    self._channel(self._writer, topic)  # silent topics are listed too
                self._writer.finish()
                self._file.close()
                self._writer = None

    def _channel(self, writer: Writer, topic: str) -> int:
        """Return the channel of a topic, made at its first message: then its publishers are known."""
        if topic not in self._channels:
            # One that went away meanwhile offered at least what was asked for.
            offers = [
                i.qos_profile for i in self._node.get_publishers_info_by_topic(topic)
            ] or [self._asked[topic]]
            self._channels[topic] = writer.register_channel(
                topic, 'cdr', self._schemas[topic], {'offered_qos_profiles': offered_qos(offers)}
            )
        return self._channels[topic]

    def _callback(self, topic: str) -> Callable[[bytes], None]:
        def write(data: bytes) -> None:
            stamp = self._node.get_clock().now().nanoseconds
            with self._lock:
                if self._writer is not None:
                    self._counts[topic] += 1
                    self._writer.add_message(
                        self._channel(self._writer, topic),
                        log_time=stamp,
                        publish_time=stamp,
                        sequence=self._counts[topic],
                        data=bytes(data),
                    )

        return write
