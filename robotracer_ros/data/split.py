# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What training never sees: seeds, phrasings and combinations of relation and object.

* Scene seeds ``0 .. VALIDATION_SEEDS - 1`` are reserved for validation and benches; training starts after them.
* Phrasings marked ``held_out`` in the templates occur only in the split ``wording``.
* Combinations of ``HELD_OUT_COMPOSITIONS`` (a relation word and the kind of the object that it refers to)
  occur only in the split ``composition``, in instructions and in referring expressions alike. Every word
  of them is seen in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

T = TypeVar('T')
Split = Literal['train', 'val', 'wording', 'composition']
SPLITS: tuple[Split, ...] = ('train', 'val', 'wording', 'composition')

#: scene seeds below this are never trained on
VALIDATION_SEEDS = 1000

#: (relation, kind of its reference) kept out of training
HELD_OUT_COMPOSITIONS: frozenset[tuple[str, str]] = frozenset(
    {
        ('left of', 'bowl'),
        ('left of', 'can'),
        ('right of', 'book'),
        ('right of', 'bottle'),
        ('in front of', 'mug'),
        ('in front of', 'flower pot'),
        ('behind', 'plate'),
        ('behind', 'box'),
        ('near', 'tray'),
        ('near', 'jar'),
        ('nearest to', 'mug'),
        ('nearest to', 'carton'),
        ('on', 'sponge'),
        ('in', 'tray'),
        ('between', 'bottle'),
        ('stack', 'book'),
        ('bypass', 'carton'),
        ('bypass', 'watering can'),
        ('hover', 'bowl'),
        ('next to', 'plate'),
        ('taller than', 'can'),
        ('smaller than', 'box'),
        ('front left of', 'mug'),
        ('back right of', 'book'),
        ('farthest from', 'bottle'),
        ('closer to the camera than', 'bowl'),
        ('same color as', 'jar'),
        ('at a distance from', 'block'),
        ('push', 'tray'),
    }
)


def is_held_out(relation: str, kind: str | None) -> bool:
    """Tell whether a relation with a reference of a kind is kept out of training."""
    return (relation, kind) in HELD_OUT_COMPOSITIONS


@dataclass(frozen=True)
class Template:
    """One phrasing with named slots; ``held_out`` keeps it out of training, ``weight`` is relative to 1."""

    text: str
    held_out: bool = False
    weight: float = 1.0


def pick_template(
    templates: Sequence[Template], rng: np.random.Generator, split: Split
) -> Template:
    """Draw a phrasing: in the split ``wording`` a held-out one where there is one, in all others a seen one."""
    pool = [t for t in templates if t.held_out == (split == 'wording')] or [
        t for t in templates if not t.held_out
    ]
    return weighted(rng, pool, [t.weight for t in pool])


def weighted(rng: np.random.Generator, items: Sequence[T], weights: Sequence[float]) -> T:
    """Draw one item with relative weights (much faster than ``rng.choice`` for short lists)."""
    x = rng.random() * sum(weights)
    for item, weight in zip(items, weights, strict=True):
        x -= weight
        if x < 0:
            return item
    return items[-1]


def shuffled(rng: np.random.Generator, items: Sequence[T]) -> list[T]:
    """Return the items in a random order."""
    return [items[i] for i in rng.permutation(len(items))]
