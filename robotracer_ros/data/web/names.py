# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How a thing in a picture is called so that no other is meant."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from robotracer_ros.data.noun_phrases import ORDINAL, ORDINAL_WORDS, PLAIN
from robotracer_ros.data.split import pick_template
from robotracer_ros.data.web.config import WebConfig
from robotracer_ros.data.web.instances import Instance

#: where a caption goes on to tell of something else: the thing itself ends there
_PLACES = re.compile(
    r'\b(?:on|in|at|with|next|near|behind|beside|under|over|sitting|standing|lying|that|which|is)\b'
)
_MAX_CAPTION_WORDS = 8


@dataclass(frozen=True)
class Name:
    """Words that mean one thing of a picture, and the relation that they use, empty for none."""

    text: str
    relation: str = ''


def name(
    target: Instance,
    everything: Sequence[Instance],
    config: WebConfig,
    rng: np.random.Generator,
    uncertain: Collection[str] = (),
) -> Name | None:
    """Name a thing by kind, caption or order among its kind; None where no words would be certain.

    Args:
        target: The thing.
        everything: All things of the picture.
        config: Limits.
        rng: Draws among the names.
        uncertain: Kinds of which there are more in the picture than could be made out.
    """
    if target.label in uncertain:
        return None
    alike = [i for i in everything if i.label == target.label]
    options: list[Name] = []
    if len(alike) == 1:
        options.append(Name(PLAIN[0].text.format(n=target.label)))
    described = _described(target, everything)
    if described:
        options.append(Name(f'the {described}'))
    ordered = _order(target, alike, config, rng)
    if ordered is not None:
        options.append(ordered)
    return options[int(rng.integers(len(options)))] if options else None


def noun_of(caption: str) -> str:
    """Return the noun phrase that a caption begins with, without its article; empty when there is none."""
    words = re.sub(r'[^a-z0-9 \-]', ' ', caption.lower()).strip()
    words = re.sub(r'^(?:there is |this is |a photo of |an image of |a picture of )', '', words)
    match = _PLACES.search(words)
    words = words[: match.start()] if match else words
    words = re.sub(r'^(?:a|an|the|some|two|three)\s+', '', words)
    parts = words.split()
    return ' '.join(parts) if 2 <= len(parts) <= _MAX_CAPTION_WORDS else ''


def _described(target: Instance, everything: Sequence[Instance]) -> str:
    """Return the caption's noun phrase when it fits this thing alone."""
    words = noun_of(target.caption)
    # A caption of a cut-out that does not speak of the thing describes something else.
    if not words or not set(target.label.lower().split()) <= set(words.split()):
        return ''
    mine = set(words.split())
    for other in everything:
        if other is target or other.label != target.label:
            continue
        theirs = set(noun_of(other.caption).split())
        # "a mug" of the other may be red, too: only another adjective tells them apart.
        if not theirs or mine <= theirs or theirs <= mine:
            return ''
    return words


def _order(
    target: Instance, alike: Sequence[Instance], config: WebConfig, rng: np.random.Generator
) -> Name | None:
    """Count along the axis with the largest spread: from the left, or from the camera."""
    if not 2 <= len(alike) <= 2 * len(ORDINAL_WORDS):
        return None
    across = np.array([i.uvd[0] / 1000 for i in alike])
    # A ratio of distances: half a metre matters near by and not across the street.
    away = np.log([i.uvd[2] for i in alike])
    left_right = np.ptp(across) >= np.ptp(away)
    values, sides = (across, ('left', 'right')) if left_right else (away, ('near', 'far'))
    order = np.argsort(values, kind='stable')
    if np.diff(values[order]).min() < config.min_gap:
        return None
    at = next(k for k, i in enumerate(order) if alike[i] is target)
    rank, side = min((at, sides[0]), (len(alike) - 1 - at, sides[1]))
    if rank >= len(ORDINAL_WORDS):
        return None
    template = pick_template(ORDINAL[side, min(rank + 1, 2)], rng, 'train')
    return Name(template.text.format(n=target.label, k=ORDINAL_WORDS[rank]), side)
