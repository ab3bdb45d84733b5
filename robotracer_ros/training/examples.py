# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From question and answer texts to token sequences with the targets of every loss."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from robotracer_ros.tracer.model.decode import question_ids
from robotracer_ros.tracer.model.tokenizer import EOS, PAD, NumberTokens

#: how many times the end of a trace counts
END = 3
#: how many times the metres count of a goal at a distance that the question names: few tasks name one, and
#: a step of a common length is off by a few centimetres only, so that nothing else makes a model read it
GOAL_AT_DISTANCE = 30
#: how many times the words count that say where the end is, and how far
DECISIVE = 10


@dataclass(frozen=True)
class TextPair:
    """A question about an image and its answer.

    Attributes:
        prompt, answer: Texts.
        targets: Per coordinate tuple of the answer, in order, the index of the object that it points
            at, or None.
        family: For figures: ``refer``, ``measure``, ``goal``, ``trace`` ...
        names: Phrases of the prompt and the index of the object that each names.
        decisive: Pieces of the answer that all after them hangs on: where a trace is to end, how far.
        goals: Which tuples of the answer are places that the task is about: the end of a trace, and what is on
            the way for its own sake.
        at_distance: Whether the question says how far away from something the trace is to end.
    """

    prompt: str
    answer: str
    targets: tuple[int | None, ...] = ()
    family: str = 'refer'
    names: tuple[tuple[str, int], ...] = ()
    decisive: tuple[str, ...] = ()
    goals: tuple[int, ...] = ()
    at_distance: bool = False


@dataclass(frozen=True)
class Example:
    """A tokenised pair.

    ``ids[start:]`` is the answer; ``pointers`` holds (position before the first coordinate, index of
    an object), ``spots`` (position before u or v, the point), ``numbers`` (position before any
    number, its place in 0..1), ``places`` (position before any part of a tuple, u and v in 0..1 and d
    in metres, how much it counts), ``emphasis`` how much each token of the answer counts.
    """

    ids: list[int]
    start: int
    roles: list[str]
    pointers: list[tuple[int, int]]
    followers: list[tuple[int, int]]
    spots: list[tuple[int, tuple[float, float]]]
    numbers: list[tuple[int, float]]
    places: list[tuple[int, tuple[float, float, float], float]]
    emphasis: list[float]
    family: str


def encode(tokenizer: PreTrainedTokenizerFast, numbers: NumberTokens, pair: TextPair) -> Example:
    """Tokenise a pair. Raises ValueError when tuples and targets do not match in number."""
    head = question_ids(tokenizer, pair.prompt)
    written = tokenizer(pair.answer, add_special_tokens=False, return_offsets_mapping=True)
    answer = [*written['input_ids'], EOS]
    roles = numbers.roles(answer)
    firsts = [i for i, r in enumerate(roles) if r == 'u']
    if pair.targets and len(firsts) != len(pair.targets):
        raise ValueError(f'{len(firsts)} tuples but {len(pair.targets)} targets in {pair.answer!r}')
    # The hidden state one token earlier emits the coordinate and has not seen it yet.
    pointers: list[tuple[int, int]] = [
        (len(head) + i - 1, t) for i, t in zip(firsts, pair.targets, strict=False) if t is not None
    ]
    if pair.family.startswith('refer') and pair.targets and pair.targets[0] is not None:
        # The words themselves point too, from the last one of the phrase on: the way from a noun to
        # what it names is shorter there, and the first coordinate inherits it.
        pointers += [(len(head) - back, pair.targets[0]) for back in (3, 2, 1)]
    pointers += _named(tokenizer, pair)
    # The same thing stays in view while v and d are written. Taught, but never counted as grounding:
    # these positions have read the true u.
    followers: list[tuple[int, int]] = [
        (len(head) + i + later, t)
        for i, t in zip(firsts, pair.targets, strict=False)
        for later in (1, 3)
        if t is not None and len(head) + i + later + 1 < len(head) + len(answer)
    ]
    spots: list[tuple[int, tuple[float, float]]] = []
    emphasis = [1.0] * len(answer)
    for piece in pair.decisive:
        # Three words of a hundred, and all that follows is wrong when they are.
        for found in re.finditer(re.escape(piece), pair.answer):
            for i, (a, b) in enumerate(written['offset_mapping']):
                if a >= found.start() and b <= found.end():
                    emphasis[i] = float(DECISIVE)
    # Where a trace ends decides about it, in the reasoning and at the end; a keypoint on the way does
    # not.
    places: list[tuple[int, tuple[float, float, float], float]] = []
    for n, i in enumerate(firsts):
        ends = n in pair.goals
        if roles[i + 4 : i + 5] == ['d']:
            u, v = (numbers.integer_of[answer[i + k]] / 1000 for k in (0, 2))
            d = numbers.wholes[answer[i + 3]] + numbers.fraction_of[answer[i + 4]] / 1000
            weight = 1
            if ends:
                weight = GOAL_AT_DISTANCE if pair.at_distance and i != firsts[-1] else END
            places += [(len(head) + i + k, (u, v, d), weight) for k in (-1, 1, 2, 3)]
        if roles[i + 2 : i + 3] == ['v']:
            point = (numbers.integer_of[answer[i]], numbers.integer_of[answer[i + 2]])
            spots += [(len(head) + i - 1, point), (len(head) + i + 1, point)] * (END if ends else 1)
            if ends:
                emphasis[i], emphasis[i + 2] = float(END), float(END)
    expected = [
        (
            len(head) + i - 1,
            (numbers.integer_of if r in 'uv' else numbers.fraction_of)[answer[i]] / 1000,
        )
        for i, r in enumerate(roles)
        if r
    ]
    return Example(
        head + answer,
        len(head),
        [''] * len(head) + roles,
        pointers,
        followers,
        spots,
        expected,
        places,
        emphasis,
        pair.family,
    )


def _named(
    tokenizer: PreTrainedTokenizerFast, pair: TextPair
) -> list[tuple[int, int]]:
    """Let the last word of each phrase of the prompt point at what the phrase names.

    An answer then finds its things beside the words that ask for them, instead of grounding the
    whole instruction anew for every point.
    """
    if not pair.names:
        return []
    ends = [
        end for _, end in tokenizer(pair.prompt, return_offsets_mapping=True)['offset_mapping']
    ]
    spoken = pair.prompt.lower()
    found: list[tuple[int, int]] = []
    for phrase, index in pair.names:
        start = spoken.find(phrase.lower())
        end = start + len(phrase)
        if start >= 0 and end in ends:
            found.append((1 + ends.index(end), index))  # <user> stands before the prompt
    return found


class SoftLabels:
    """Distributions over the vocabulary that give neighbouring numbers a share.

    Args:
        sigma_uv: Standard deviation for u and v, of 1000.
        sigma_d: For the three decimals of a depth, millimetres.
        sigma_f: For the three decimals of other numbers.
    """

    def __init__(
        self,
        numbers: NumberTokens,
        sigma_uv: float = 3.0,
        sigma_d: float = 4.0,
        sigma_f: float = 6.0,
    ) -> None:
        self.numbers = numbers
        self._tables = {
            'u': self._table(1001, sigma_uv),
            'v': self._table(1001, sigma_uv),
            'd': self._table(1000, sigma_d),
            'f': self._table(1000, sigma_f),
        }

    @staticmethod
    def _table(n: int, sigma: float) -> Tensor:
        i = torch.arange(n, dtype=torch.float32)
        t = torch.exp(-0.5 * ((i[:, None] - i[None]) / sigma) ** 2)
        t[t < 1e-4] = 0
        return t / t.sum(1, keepdim=True)

    def loss(self, logits: Tensor, labels: Tensor, roles: Sequence[str]) -> Tensor:
        """Return the cross entropy (M,) of logits (M, V) with hard or soft labels by role."""
        log_p = logits.float().log_softmax(-1)
        loss = -log_p.gather(1, labels[:, None]).squeeze(1)
        pieces = torch.zeros_like(loss)
        soft = torch.zeros_like(loss, dtype=torch.bool)
        for role, table in self._tables.items():
            rows = torch.tensor(
                [i for i, r in enumerate(roles) if r == role],
                device=logits.device,
                dtype=torch.long,
            )
            if not len(rows):
                continue
            ids = (self.numbers.integers if role in 'uv' else self.numbers.fractions).to(
                logits.device
            )
            of = self.numbers.integer_of if role in 'uv' else self.numbers.fraction_of
            value = torch.tensor([of[int(x)] for x in labels[rows]])
            target = table[value].to(logits.device)
            # Minus the entropy of the target, so that a perfect answer costs nothing.
            entropy = torch.where(target > 0, target * target.clamp(min=1e-9).log(), 0.0).sum(1)
            pieces = pieces.index_put((rows,), entropy - (target * log_p[rows][:, ids]).sum(1))
            soft[rows] = True
        return torch.where(soft, pieces, loss)


def pointer_distribution(
    target: int, share: NDArray[np.float32]
) -> NDArray[np.float32] | None:
    """Return where to look for an object as a distribution (N,) over patches: its mask.

    None when the object is not visible.
    """
    total = share[target].sum()
    return share[target] / total if total > 0 else None


def spot_distribution(point: tuple[float, float], rows: int, cols: int) -> NDArray[np.float32]:
    """Share a point among the four patches around it, so that the mean of their centres is the point.

    Returns:
        (N,) over patches. Points beyond the outermost centres count to these.
    """
    x = min(max(point[0] / 1000 * cols - 0.5, 0.0), cols - 1.0)
    y = min(max(point[1] / 1000 * rows - 0.5, 0.0), rows - 1.0)
    i, j = min(int(x), cols - 2), min(int(y), rows - 2)
    share = np.zeros((rows, cols), np.float32)
    across, down = np.array([1 - (x - i), x - i]), np.array([1 - (y - j), y - j])
    share[j : j + 2, i : i + 2] = down[:, None] * across
    return share.ravel()


@dataclass(frozen=True)
class Batch:
    """Questions about one image, padded on the right.

    Attributes:
        ids: (Q, T).
        rows, labels, roles: Flat positions q * T + t of the states that predict answer tokens,
            what they predict, its role.
        pointer_rows: (K,) flat positions; ``pointer_target`` (K, N) distributions over patches.
        spot_rows: The same for points of the picture.
        emphasis: (M,) how much each token counts.
        number_rows: (L,) flat positions; ``numbers`` (L,) what comes next, in 0..1.
        place_rows: (P,) flat positions; ``places`` (P, 3) u, v in 0..1 and d in metres of the tuple
            that is being written there; ``place_weight`` (P,) how much it counts.
    """

    ids: Tensor
    rows: Tensor
    labels: Tensor
    roles: list[str]
    question: Tensor
    pointer_rows: Tensor
    pointer_target: Tensor
    follower_rows: Tensor
    follower_target: Tensor
    spot_rows: Tensor
    spot_target: Tensor
    number_rows: Tensor
    numbers: Tensor
    place_rows: Tensor
    places: Tensor
    place_weight: Tensor
    emphasis: Tensor


def collate(examples: Sequence[Example], share: NDArray[np.float32], rows: int, cols: int) -> Batch:
    """Pad examples about one image; ``share`` (objects, N) are the patch masks of its objects."""
    width = max(len(e.ids) for e in examples)
    ids = torch.full((len(examples), width), PAD)
    where: list[int] = []
    labels: list[int] = []
    roles: list[str] = []
    question: list[int] = []
    pointer_rows: list[int] = []
    targets: list[NDArray[np.float32]] = []
    follower_rows: list[int] = []
    follower_targets: list[NDArray[np.float32]] = []
    spot_rows: list[int] = []
    spot_targets: list[NDArray[np.float32]] = []
    number_rows: list[int] = []
    numbers: list[float] = []
    places: list[tuple[int, tuple[float, float, float], float]] = []
    emphasis: list[float] = []
    for q, e in enumerate(examples):
        ids[q, : len(e.ids)] = torch.tensor(e.ids)
        for i in range(e.start, len(e.ids)):
            where.append(q * width + i - 1)
            labels.append(e.ids[i])
            roles.append(e.roles[i])
            question.append(q)
        emphasis += e.emphasis
        for found, at, goals in (
            (e.pointers, pointer_rows, targets),
            (e.followers, follower_rows, follower_targets),
        ):
            for position, target in found:
                distribution = pointer_distribution(target, share)
                if distribution is not None:
                    at.append(q * width + position)
                    goals.append(distribution)
        spot_rows += [q * width + position for position, _ in e.spots]
        spot_targets += [spot_distribution(point, rows, cols) for _, point in e.spots]
        number_rows += [q * width + position for position, _ in e.numbers]
        numbers += [value for _, value in e.numbers]
        places += [(q * width + position, place, weight) for position, place, weight in e.places]

    def stack(goals: list[NDArray[np.float32]]) -> Tensor:
        return torch.from_numpy(np.stack(goals)) if goals else torch.zeros(0, rows * cols)

    return Batch(
        ids,
        torch.tensor(where),
        torch.tensor(labels),
        roles,
        torch.tensor(question),
        torch.tensor(pointer_rows, dtype=torch.long),
        stack(targets),
        torch.tensor(follower_rows, dtype=torch.long),
        stack(follower_targets),
        torch.tensor(spot_rows, dtype=torch.long),
        stack(spot_targets),
        torch.tensor(number_rows, dtype=torch.long),
        torch.tensor(numbers),
        torch.tensor([p for p, _, _ in places], dtype=torch.long),
        torch.tensor([place for _, place, _ in places]).view(-1, 3),
        torch.tensor([weight for _, _, weight in places], dtype=torch.float32),
        torch.tensor(emphasis),
    )
