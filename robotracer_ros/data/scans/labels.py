# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the labels of scans mean for moving things."""

from __future__ import annotations

import re

_WORDS = re.compile(r"[a-z][a-z' -]*")

#: labels that say nothing: the box is an obstacle and nothing else
UNNAMED = frozenset(
    {
        'object', 'objects', 'unknown', 'misc', 'other', 'otherprop', 'otherfurniture', 'otherstructure', 'thing',
        'item', 'stuff', 'undefined',
    }
)  # fmt: skip
#: parts of the room: no obstacle boxes (the depth tells where they are) and never spoken of
STRUCTURE = frozenset(
    {
        'wall', 'floor', 'ceiling', 'room', 'baseboard', 'beam', 'column', 'pillar', 'stairs', 'structure',
        'door frame', 'doorframe', 'window frame', 'windowsill', 'window sill',
    }
)
#: never moved, whatever their size
IMMOVABLE = STRUCTURE | frozenset(
    {
        'countertop', 'counter', 'kitchen counter', 'bathroom counter', 'table', 'desk', 'dining table',
        'coffee table', 'side table', 'end table', 'cabinet', 'kitchen cabinet', 'cabinets', 'kitchen cabinets',
        'bathroom cabinet', 'wardrobe', 'closet', 'drawer', 'drawers', 'dresser', 'shelf', 'shelves', 'bookshelf',
        'bookcase', 'sofa', 'couch', 'bed', 'bunk bed', 'toilet', 'sink', 'bathtub', 'shower', 'stove', 'oven',
        'refrigerator', 'fridge', 'dishwasher', 'washing machine', 'dryer', 'radiator', 'fireplace', 'door',
        'doors', 'window', 'windows', 'curtain', 'curtains', 'blinds', 'mirror', 'picture', 'poster', 'whiteboard',
        'blackboard', 'bulletin board', 'light switch', 'socket', 'power outlet', 'faucet', 'tap', 'handle', 'rail',
        'pipe', 'vent', 'ceiling light', 'projector screen', 'carpet', 'rug', 'mat', 'person', 'piano', 'curtain rod',
        'shower curtain', 'rack', 'stand', 'fan', 'range hood',
    }
)  # fmt: skip
#: last words of the names of things that other things lie in
CONTAINERS = frozenset(
    {'bowl', 'basket', 'bin', 'bucket', 'crate', 'pot', 'pan', 'tub', 'trashcan', 'wastebasket'}
)
#: last words of the names of things that have a diameter, not a length and a width
ROUND = frozenset(
    {
        'can', 'jar', 'candle', 'ball', 'bowl', 'cup', 'mug', 'plate', 'bottle', 'vase', 'bucket', 'glass', 'globe',
        'clock', 'pot', 'lid', 'roll',
    }
)  # fmt: skip


def clean_label(text: str | None) -> str:
    """Return a label as it can stand in a sentence, or an empty one where it names nothing."""
    if text is None:
        return ''
    label = ' '.join(text.lower().replace('_', ' ').split())
    return label if _WORDS.fullmatch(label) and label not in UNNAMED else ''


def last_word(label: str) -> str:
    """Return the noun of a label: its last word."""
    return label.split()[-1] if label else ''


def movable(label: str) -> bool:
    """Tell whether people move things of a label by hand."""
    return bool(label) and label not in IMMOVABLE and last_word(label) not in IMMOVABLE
