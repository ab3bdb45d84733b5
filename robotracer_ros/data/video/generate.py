# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The video pipeline: recorded episodes of a published layout to records, and a list of why others made none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, Protocol

from robotracer_ros.data.dataset import ShardJob, build
from robotracer_ros.data.files import DatasetFileError
from robotracer_ros.data.options import at_least_one, one_of, read_options, with_options
from robotracer_ros.data.record import Record
from robotracer_ros.data.rejection import (
    Rejected,
    rejections_path,
    report_rejections,
    write_rejections,
)
from robotracer_ros.data.video.agibot import AgibotOptions, AgibotReader
from robotracer_ros.data.video.config import LAYOUT_DEFAULTS, VideoConfig
from robotracer_ros.data.video.droid import DroidOptions, DroidReader
from robotracer_ros.data.video.episode import Episode
from robotracer_ros.data.video.lerobot import LeRobotReader
from robotracer_ros.data.video.lerobot_keys import LeRobotKeys
from robotracer_ros.data.video.traces import records

#: of readers, rules and texts together
VERSION = 1
Layout = Literal['lerobot', 'droid', 'agibot']
SourceOptions = LeRobotKeys | DroidOptions | AgibotOptions
_OPTIONS: Mapping[str, SourceOptions] = {
    'lerobot': LeRobotKeys(),
    'droid': DroidOptions(),
    'agibot': AgibotOptions(),
}


class Reader(Protocol):
    """Reads the episodes of one layout."""

    def references(self) -> list[str]:
        """Return the names of all episodes, in a fixed order."""

    def read(self, reference: str) -> Episode:
        """Read an episode. Raises DatasetFileError."""


def open_reader(root: Path, options: SourceOptions) -> Reader:
    """Make the reader that options belong to. Raises what the reader raises."""
    match options:
        case LeRobotKeys():
            return LeRobotReader(root, options)
        case DroidOptions():
            return DroidReader(root, options)
        case AgibotOptions():
            return AgibotReader(root, options)


def make_records(
    root: Path,
    references: Sequence[str],
    options: SourceOptions,
    config: VideoConfig,
    rejections: Path,
) -> Iterator[Record]:
    """Make the records of some episodes; at the end write why others made none.

    Raises:
        DatasetFileError: an episode is broken and ``config.skip_broken`` is off; otherwise it is listed.
    """
    reader = open_reader(root, options)
    left_out: list[tuple[str, Rejected]] = []
    for reference in references:
        found: list[Record | Rejected] = []
        try:
            found += records(reader.read(reference), config)
        except DatasetFileError as error:
            if not config.skip_broken:
                raise
            # Records of the same episode that came before the broken file are whole: they stay.
            found.append(Rejected('broken file', str(error)))
        for item in found:
            if isinstance(item, Record):
                yield item
            else:
                left_out.append((reference, item))
    write_rejections(rejections, left_out)


def main(
    layout: str,
    root: str | Path,
    out: str | Path,
    options_file: Path | None = None,
    workers: int = 1,
    ray: bool = False,
    limit: int | None = None,
) -> dict[str, Any]:
    """Write a data set from recorded episodes, going on where it was interrupted.

    Args:
        layout: ``lerobot``, ``droid`` or ``agibot``.
        root: Folder of the recordings.
        out: Folder of the data set; ``rejections/`` in it lists what was left out and why.
        options_file: YAML: fields of ``VideoConfig``, and under ``source`` those of the layout.
        workers: Processes.
        ray: Make shards with Ray Data.
        limit: Only the first so many episodes.

    Returns:
        What :func:`build` returns, and ``rejected``: how many parts of episodes by reason.

    Raises:
        InvalidParameterError: the layout or an option is unknown, or the recordings cannot be read.
    """
    one_of(Layout, layout=layout)
    at_least_one(limit=limit)
    given = read_options(options_file)
    options = with_options(_OPTIONS[layout], given.pop('source', {}), 'source.')
    config = with_options(LAYOUT_DEFAULTS[layout], given)
    at_least_one(shard_episodes=config.shard_episodes, max_keypoints=config.max_keypoints)
    root, out = Path(root), Path(out)
    references = open_reader(root, options).references()[:limit]
    jobs = []
    for index, start in enumerate(range(0, len(references), config.shard_episodes)):
        some = references[start : start + config.shard_episodes]
        rejections = rejections_path(out, 'video', index)
        made_from = {'episodes': some}
        jobs.append(
            ShardJob(index, make_records, (root, some, options, config, rejections), made_from)
        )
    made = {
        'version': VERSION,
        'layout': layout,
        'root': root.name,
        'config': asdict(config),
        'source': asdict(options),
    }
    command = f'robotracer generate video --layout {layout} ROOT OUT'
    command += ' --config CONFIG' if options_file else ''
    command += f' --limit {limit}' if limit else ''
    result = build(out, 'video', 'train', made, jobs, workers, ray, command)
    return {**result, 'rejected': report_rejections(out, 'video', len(jobs))}
