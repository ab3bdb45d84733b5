# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pictures with conversations about them, drawn from data sets of the data engine.

A conversation is one picture with some of its geometry and up to so many questions with their answers. What
it holds follows from the seed, the epoch and its number alone: not from the worker that reads it, the number
of processes, or where a run was interrupted.
"""

from __future__ import annotations

import math
import os
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import Dataset, Sampler

from robotracer_ros.data.record import Record
from robotracer_ros.data.rows import import_pyarrow
from robotracer_ros.data.shards import read_summary, shards_of
from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.tracer.model.images import attach_geometry
from robotracer_ros.training.large_config import DataPart, Stage

#: of the rows, without masks, objects and whatever else answers were made from
_COLUMNS = (
    'id',
    'source',
    'image',
    'depth',
    'depth_unit',
    'camera',
    'world_from_camera',
    'scale',
    'samples.list.element.prompt',
    'samples.list.element.answer',
)
#: files that a process keeps open
_OPEN = 32


@dataclass(frozen=True)
class Conversation:
    """What the collator needs.

    Attributes:
        name: Where it comes from, for messages.
        picture: With the geometry that is given, see :func:`attach_geometry`.
        turns: Questions and answers in order.
        log_scale: log of the metric scale s*, NaN where it is not known.
    """

    name: str
    picture: Image.Image
    turns: tuple[tuple[str, str], ...]
    log_scale: float


@dataclass(frozen=True)
class _Shard:
    """A file and how many questions each of its rows has, by row group."""

    path: Path
    questions: tuple[NDArray[np.int64], ...]


class ConversationSet(Dataset):
    """All conversations of a stage.

    Index ``epoch * len(self) + k`` is conversation k of an epoch; :class:`EpochSampler` makes them.

    Args:
        stage: Says which data sets, how many questions, what geometry.
        seed: Of the choices.

    Raises:
        InvalidParameterError: a data set has no shard of that split and those sources.
        MissingPackageError: ``pyarrow`` is not installed.
    """

    def __init__(self, stage: Stage, seed: int) -> None:
        self._stage, self._seed = stage, seed
        self._shards: list[_Shard] = []
        # One row per conversation: shard, row group, row, which slice of the row's questions.
        blocks, self._spans = [], []
        start = 0
        for part in stage.data:
            for path in _shards(part):
                shard = _Shard(path, self._count(path))
                blocks.append(_slices(len(self._shards), shard, stage.questions))
                self._shards.append(shard)
            index = np.concatenate(blocks)
            if len(index) == start:
                raise InvalidParameterError(f"data set '{part.folder}' holds no questions")
            self._spans.append((start, len(index), part.repeat))
            start = len(index)
        self._index = index
        self._length = sum(_times(end - first, repeat) for first, end, repeat in self._spans)
        self._drawn: tuple[int, NDArray[np.int64]] = (-1, np.zeros(0, np.int64))
        self._files: OrderedDict[int, Any] = OrderedDict()
        self._owner = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        """Travel to a worker without open files."""
        return self.__dict__ | {'_files': OrderedDict()}

    def __len__(self) -> int:
        """Count the conversations of an epoch."""
        return self._length

    def __getitem__(self, index: int) -> Conversation:
        """Read a conversation from disk."""
        epoch, k = divmod(int(index), self._length)
        which = int(self._epoch(epoch)[k])
        shard, group, row, part = (int(x) for x in self._index[which])
        found = self._row(shard, group, row)
        rng = np.random.default_rng([self._seed, 1, epoch, k])
        # Slices of one order, so that no question comes twice in an epoch.
        order = np.random.default_rng([self._seed, 2, epoch, shard, group, row]).permutation(
            len(found['samples'])
        )
        n = self._stage.questions
        turns = [found['samples'][i] for i in order[n * part : n * (part + 1)]]
        name = f"'{found['id']}' of {self._shards[shard].path}"
        return Conversation(
            name,
            self._picture(found, rng),
            tuple((t['prompt'], t['answer']) for t in turns),
            math.log(found['scale']) if found['scale'] else math.nan,
        )

    def _picture(self, row: dict[str, Any], rng: np.random.Generator) -> Image.Image:
        """Return the picture with what geometry this conversation has."""
        stage, camera = self._stage, row['camera']
        record = Record(
            row['id'],
            row['source'],
            '',
            row['image']['bytes'],
            None if camera is None else CameraModel(**camera),
            (),
            depth=None if row['depth'] is None else row['depth']['bytes'],
            depth_unit=row['depth_unit'],
        )
        pose = row['world_from_camera']
        known = {'intrinsics': camera, 'depth': record.depth, 'pose': pose}
        usable = [name for name in stage.inputs if known[name] is not None]
        given: tuple[str, ...] = ()
        if rng.random() >= stage.rgb_share and usable:
            subsets = [s for n in range(1, len(usable) + 1) for s in combinations(usable, n)]
            given = subsets[int(rng.integers(len(subsets)))]
        return attach_geometry(
            Image.fromarray(record.rgb()),
            record.depth_metres() if 'depth' in given else None,
            record.camera if 'intrinsics' in given else None,
            np.array(pose, float).reshape(4, 4) if 'pose' in given else None,
        )

    def _epoch(self, epoch: int) -> NDArray[np.int64]:
        """Return which conversations an epoch has: whole repeats, and as many of the rest as are left."""
        if self._drawn[0] != epoch:
            drawn = []
            for i, (first, end, repeat) in enumerate(self._spans):
                count = _times(end - first, repeat)
                rounds = -(-count // (end - first))
                rng = np.random.default_rng([self._seed, 3, epoch, i])
                drawn.append(
                    np.concatenate([rng.permutation(end - first) for _ in range(rounds)])[:count] + first
                )
            self._drawn = (epoch, np.concatenate(drawn))
        return self._drawn[1]

    def _row(self, shard: int, group: int, row: int) -> dict[str, Any]:
        if self._owner != os.getpid():  # a forked worker: files of its own
            self._files, self._owner = OrderedDict(), os.getpid()
        file = self._files.pop(shard, None)
        if file is None:
            file = import_pyarrow().parquet.ParquetFile(self._shards[shard].path, memory_map=True)
        self._files[shard] = file
        if len(self._files) > _OPEN:
            self._files.popitem(last=False)
        table = file.read_row_group(group, columns=list(_COLUMNS), use_threads=False)
        return dict(table.slice(row, 1).to_pylist()[0])

    def _count(self, path: Path) -> tuple[NDArray[np.int64], ...]:
        file = import_pyarrow().parquet.ParquetFile(path)
        column = ['samples.list.element.type']
        return tuple(
            np.array([len(s) for s in file.read_row_group(g, columns=column)['samples'].to_pylist()])
            for g in range(file.num_row_groups)
        )


class EpochSampler(Sampler[int]):
    """Yields the indices of an epoch in an order that follows from seed and epoch alone.

    ``set_epoch`` is what ``accelerate`` calls.
    """

    def __init__(self, length: int, seed: int) -> None:
        self._length, self._seed, self._epoch = length, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that is iterated next."""
        self._epoch = int(epoch)

    def __len__(self) -> int:
        """Count the conversations of an epoch."""
        return self._length

    def __iter__(self) -> Iterator[int]:
        """Yield the epoch's indices, shuffled."""
        order = np.random.default_rng([self._seed, 4, self._epoch]).permutation(self._length)
        yield from (order + self._epoch * self._length).tolist()


def _shards(part: DataPart) -> list[Path]:
    """Return the shards that a part of the mixture names."""
    folder = Path(part.folder)
    there = [(p, read_summary(p)) for p in shards_of(folder)] if folder.is_dir() else []
    chosen = [
        path
        for path, summary in there
        if summary['split'] == part.split
        and (not part.sources or summary['source'] in part.sources)
    ]
    if not chosen:
        held = sorted({f'{s["split"]}-{s["source"]}' for _, s in there})
        wanted = f"split '{part.split}'" + (f' of {", ".join(part.sources)}' if part.sources else '')
        raise InvalidParameterError(
            f"data set '{part.folder}' has no shard of {wanted}; it holds {', '.join(held) or 'nothing'} "
            "(`robotracer generate sim FOLDER` makes one)"
        )
    return chosen


def _slices(number: int, shard: _Shard, questions: int) -> NDArray[np.int64]:
    """Return (shard, row group, row, slice) of every conversation of a shard, (N, 4)."""
    rows = [
        (number, group, row, part)
        for group, counts in enumerate(shard.questions)
        for row, n in enumerate(counts)
        for part in range(-(-int(n) // questions))
    ]
    return np.array(rows, np.int64).reshape(-1, 4)


def _times(count: int, repeat: float) -> int:
    return max(1, round(count * repeat))
