# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Quality of service from parameters, one group of three per topic."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.nodes.parameters import ParameterSpec

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


def qos_specs(prefix: str, reliability: str = 'best_effort', durability: str = 'volatile',
              depth: int = 5) -> tuple[ParameterSpec, ...]:
    """Return the specs of ``<prefix>.qos.{reliability,durability,depth}``."""
    return (
        ParameterSpec(
            f'{prefix}.qos.reliability', reliability,
            'best_effort hears every publisher; reliable hears reliable publishers only and asks '
            'for lost samples again.', choices=tuple(RELIABILITY), read_only=True),
        ParameterSpec(
            f'{prefix}.qos.durability', durability,
            'transient_local also delivers the last sample sent before this node came up, from '
            'publishers that keep it.', choices=tuple(DURABILITY), read_only=True),
        ParameterSpec(f'{prefix}.qos.depth', depth, 'Samples kept in the queue.',
                      minimum=1, maximum=1000, read_only=True),
    )
