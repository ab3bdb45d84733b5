# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Data sets: many shards, made by any number of workers, with a datasheet.

A data set is a folder that ``datasets.load_dataset(folder)`` reads::

    README.md        datasheet: what is in it, how it was made (:mod:`robotracer_ros.data.card`)
    dataset.json     per split and source the configuration that its shards were made with
    data/<split>-<source>-<index>.parquet

Every shard follows from its job alone, so the number and kind of workers and interruptions change no byte. A shard
appears when it is complete, and is made again only when its job has changed.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.progress import Progress

from robotracer_ros.data.card import write_card
from robotracer_ros.data.record import Record, Source
from robotracer_ros.data.rows import SCHEMA_VERSION, import_pyarrow
from robotracer_ros.data.shards import ShardWriter, read_summary, shard_path
from robotracer_ros.errors import InvalidParameterError, MissingPackageError


@dataclass(frozen=True)
class ShardJob:
    """How one shard is made.

    Attributes:
        index: Its number within the split and source.
        make: A function of a module (workers import it) that makes the records in order.
        args: Its arguments, picklable.
        made_from: What the records follow from besides the configuration, as JSON: seeds, files.
    """

    index: int
    make: Callable[..., Iterable[Record]]
    args: tuple[Any, ...] = ()
    made_from: Mapping[str, Any] = field(default_factory=dict)


def build(
    folder: str | Path,
    source: Source,
    split: str,
    config: Mapping[str, Any],
    jobs: Sequence[ShardJob],
    workers: int = 1,
    ray: bool = False,
    command: str = '',
) -> dict[str, Any]:
    """Make the shards of one source and split, going on where it was interrupted.

    Other sources and splits in the same folder stay as they are.

    Args:
        folder: Of the data set.
        source: Of every record.
        split: Of every record.
        config: What all jobs have in common, as JSON; a folder holds one per source and split.
        jobs: One per shard.
        workers: Processes, or tasks of Ray at a time.
        ray: Use Ray Data: the cluster that ``RAY_ADDRESS`` names, else a local one.
        command: How to make it again, for the datasheet.

    Returns:
        ``{'shards': number, 'counts': totals, 'folder': path}`` of this source and split.

    Raises:
        InvalidParameterError: ``workers`` is less than 1 or the folder holds data made otherwise.
        MissingPackageError: ``pyarrow`` or ``ray`` is not installed.
    """
    if workers < 1:
        raise InvalidParameterError(f'workers {workers}: must be at least 1')
    import_pyarrow()
    folder = Path(folder)
    _claim(folder, source, split, config, command)
    counts: dict[str, int] = {}
    work = [(folder, source, split, job) for job in jobs]
    started = time.perf_counter()
    with Progress(transient=True) as progress:
        bar = progress.add_task(f'{split} {source}', total=len(jobs))
        for summary in _run_ray(work, workers) if ray else _run(work, workers):
            for k, n in summary['counts'].items():
                counts[k] = counts.get(k, 0) + n
            progress.advance(bar)
    write_card(folder)
    elapsed = time.perf_counter() - started
    print(
        f'{counts.get("samples", 0)} samples of {counts.get("records", 0)} images in {len(jobs)} shards '
        f'of {folder}, {elapsed:.0f} s'
    )
    asked = {shard_path(folder, split, source, job.index) for job in jobs}
    more = set(folder.glob(f'data/{split}-{source}-*.parquet')) - asked
    if more:
        print(f'{len(more)} further shards of an earlier run stay, and are in {folder}/README.md')
    return {'folder': str(folder), 'shards': len(jobs), 'counts': dict(sorted(counts.items()))}


def make_shard(folder: Path, source: Source, split: str, job: ShardJob) -> dict[str, Any]:
    """Write a shard unless it is there, made from the same; return its summary."""
    path = shard_path(folder, split, source, job.index)
    if path.exists():
        before = read_summary(path)
        if before['made_from'] == json.loads(json.dumps(job.made_from)):
            return before
    with ShardWriter(path, source, split, job.made_from) as writer:
        for record in job.make(*job.args):
            writer.write(record)
    return read_summary(path)


def _claim(
    folder: Path, source: Source, split: str, config: Mapping[str, Any], command: str
) -> None:
    """Note the configuration, or refuse when the folder holds another one."""
    sheet = folder / 'dataset.json'
    held: dict[str, Any] = {'schema_version': SCHEMA_VERSION, 'parts': {}}
    if sheet.exists():
        try:
            held = json.loads(sheet.read_text())
        except (OSError, ValueError) as error:
            raise InvalidParameterError(f"'{sheet}' cannot be read as JSON: {error}") from error
        if not isinstance(held, dict) or not {'schema_version', 'parts'} <= set(held):
            raise InvalidParameterError(f"'{sheet}' is not of this data engine: choose another folder")
    name = f'{split}-{source}'
    wanted = json.loads(json.dumps(config))
    before = held['parts'].get(name, {}).get('config', wanted)
    different = [k for k in sorted({*before, *wanted}) if before.get(k) != wanted.get(k)]
    if held['schema_version'] != SCHEMA_VERSION:
        different = ['schema_version']
    if different:
        raise InvalidParameterError(
            f'{folder} holds {name} made with another {", ".join(different)}: choose another folder'
        )
    held['parts'][name] = {'config': wanted, 'command': command}
    folder.mkdir(parents=True, exist_ok=True)
    # Whole or not at all: an interruption must not leave half of it.
    partial = folder / f'.{sheet.name}.{os.getpid()}'
    partial.write_text(json.dumps(held, indent=1, sort_keys=True) + '\n')
    partial.replace(sheet)


_Work = tuple[Path, Source, str, ShardJob]


def _run(work: list[_Work], workers: int) -> Iterator[dict[str, Any]]:
    if workers == 1:
        yield from (make_shard(*w) for w in work)
        return
    # Forking a process that has threads (torch, Embree) can hang: start clean ones.
    with ProcessPoolExecutor(workers, mp_context=get_context('spawn')) as pool:
        for future in as_completed([pool.submit(make_shard, *w) for w in work]):
            yield future.result()


def _run_ray(work: list[_Work], workers: int) -> Iterator[dict[str, Any]]:
    """Make shards as tasks of Ray Data; summaries come as they finish."""
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingPackageError(
            "--ray needs the package 'ray': pip install 'robotracer_ros[ray]'"
        ) from error
    started_here = not ray.is_initialized()
    if started_here and os.environ.get('RAY_ADDRESS'):
        ray.init(log_to_driver=False)
    elif started_here:
        # Reports to nobody and listens to nobody else.
        os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
        ray.init(
            address='local',
            num_cpus=workers,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.WARNING,
            _node_ip_address='127.0.0.1',
        )
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        # Paths of the driver: on more than one machine the folder must be shared.
        items = [(w[0].absolute(), *w[1:]) for w in work]
        numbers = ray.data.from_items(
            [{'work': i} for i in range(len(items))], override_num_blocks=max(1, len(items))
        )
        made = numbers.map(
            partial(_ray_task, items), compute=ray.data.TaskPoolStrategy(size=workers)
        )
        for row in made.iter_rows():
            yield json.loads(row['summary'])
    finally:
        if started_here:
            ray.shutdown()


def _ray_task(work: list[_Work], row: dict[str, Any]) -> dict[str, Any]:
    """Make the shard of a job; tables of Ray hold its number and its summary as text."""
    return {'summary': json.dumps(make_shard(*work[row['work']]))}
