# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Quality of service from parameters, one group of three per topic."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.nodes.parameters import qos_specs

__all__ = ['DURABILITY', 'RELIABILITY', 'make_qos', 'qos_specs']

RELIABILITY = {
    'best_effort': ReliabilityPolicy.BEST_EFFORT,
    'reliable': ReliabilityPolicy.RELIABLE,
}
DURABILITY = {
    'volatile': DurabilityPolicy.VOLATILE,
    'transient_local': DurabilityPolicy.TRANSIENT_LOCAL,
}


def make_qos(reliability: str = 'reliable', durability: str = 'volatile',
             depth: int = 10) -> QoSProfile:
    """Return a keep-last profile.

    Raises:
        InvalidParameterError: an unknown word or a depth below 1.
    """
    if reliability not in RELIABILITY:
        raise InvalidParameterError(
            f"reliability '{reliability}': must be one of {', '.join(RELIABILITY)}")
    if durability not in DURABILITY:
        raise InvalidParameterError(
            f"durability '{durability}': must be one of {', '.join(DURABILITY)}")
    if depth < 1:
        raise InvalidParameterError(f'queue depth {depth}: must be at least 1')
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth,
                      reliability=RELIABILITY[reliability], durability=DURABILITY[durability])
