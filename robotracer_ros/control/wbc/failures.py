# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Why a whole-body motion is not possible, as errors.

Every one of them carries ``details['reason']``: ``reach``, ``balance``, ``limit``, ``collision`` or
``input``. Balance and limits are kinds of "no configuration reaches that pose" and share its number.
"""

from __future__ import annotations

from robotracer_ros.errors import PathInCollisionError, PlanningError, UnreachableError


class BalanceError(UnreachableError):
    """The centre of mass would have to leave the feet's support polygon."""


class JointLimitError(UnreachableError):
    """A joint would have to leave its range."""


#: error class of each reason
BY_REASON: dict[str, type[PlanningError]] = {
    'reach': UnreachableError,
    'balance': BalanceError,
    'limit': JointLimitError,
    'collision': PathInCollisionError,
}
