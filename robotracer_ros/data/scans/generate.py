# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The command ``robotracer generate scans``: scans on disk become shards of a data set."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from robotracer_ros.data.dataset import ShardJob, build
from robotracer_ros.data.files import DatasetFileError
from robotracer_ros.data.generate import held_out_lists
from robotracer_ros.data.options import at_least_one, one_of
from robotracer_ros.data.record import Record
from robotracer_ros.data.rejection import (
    Rejected,
    rejections_path,
    report_rejections,
    write_rejections,
)
from robotracer_ros.data.scans import ca1m, embodiedscan, scannet
from robotracer_ros.data.scans.frame import Scan
from robotracer_ros.data.scans.occupancy import Unseen
from robotracer_ros.data.scans.records import ScanConfig, make_record
from robotracer_ros.data.split import Split
from robotracer_ros.errors import InvalidParameterError

Layout = Literal['ca1m', 'scannet', 'embodiedscan']
#: of the readers and the generator together: the same version, files and configuration give the same records
VERSION = 1

Labels = Mapping[str, Mapping[str, str]]


def find_scans(layout: Layout, root: Path) -> list[tuple[str, ...]]:
    """Return what :func:`open_scan` needs for every scan below a folder, in order.

    Raises:
        DatasetFileError: nothing of that layout is there.
        InvalidParameterError: the layout is unknown or the folder does not exist.
    """
    one_of(Layout, layout=layout)
    if not root.exists():
        raise InvalidParameterError(f"'{root}' does not exist")
    if layout == 'embodiedscan':
        return [(str(p), name) for p, name in embodiedscan.find(root)]
    return [(str(p),) for p in (ca1m.find(root) if layout == 'ca1m' else scannet.find(root))]


def open_scan(layout: Layout, where: tuple[str, ...], labels: Labels | None = None) -> Scan:
    """Open a scan. Raises DatasetFileError when it is broken."""
    if layout == 'ca1m':
        return ca1m.Ca1mScan(Path(where[0]), labels)
    if layout == 'scannet':
        return scannet.ScanNetScan(Path(where[0]))
    return embodiedscan.EmbodiedScanScan(Path(where[0]), where[-1])


def make_records(
    layout: Layout,
    scans: tuple[tuple[str, ...], ...],
    config: ScanConfig,
    labels: Labels | None,
    skip_broken: bool,
    rejections: Path,
) -> Iterator[Record]:
    """Make the records of some scans in order; at the end write which frames made none, and why.

    Raises:
        DatasetFileError: a file is broken, and ``skip_broken`` is not set; else it is listed.
    """
    left_out: list[tuple[str, Rejected]] = []

    def refuse(name: str, error: DatasetFileError) -> None:
        if not skip_broken:
            raise error
        left_out.append((name, Rejected('broken file', str(error))))

    for where in scans:
        try:
            scan = open_scan(layout, where, labels)
        except DatasetFileError as error:
            refuse(Path(where[0]).name, error)
            continue
        for name in scan.names[:: config.every]:
            label = f'{layout}/{scan.id}/{name}'
            try:
                frame = scan.read(name)
            except DatasetFileError as error:
                refuse(label, error)
                continue
            made = Rejected('no pose') if frame is None else make_record(frame, config)
            if isinstance(made, Record):
                yield made
            else:
                left_out.append((label, made))
    write_rejections(rejections, left_out)


def read_labels(path: Path) -> dict[str, dict[str, str]]:
    """Read names of instances: ``{scan: {instance id: name}}``. Raises DatasetFileError."""
    try:
        data = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise DatasetFileError(path, '', f'cannot be read as JSON: {error}') from error
    if not isinstance(data, dict) or not all(isinstance(v, dict) for v in data.values()):
        raise DatasetFileError(path, '', 'must be an object of objects: scan, instance id, name')
    return {str(s): {str(k): str(v) for k, v in names.items()} for s, names in data.items()}


def main(
    layout: Layout,
    root: str | Path,
    out: str | Path,
    config: ScanConfig | None = None,
    workers: int = 1,
    ray: bool = False,
    labels: str | Path | None = None,
    skip_broken: bool = False,
) -> dict[str, Any]:
    """Write a data set from scans, going on where it was interrupted.

    Args:
        layout: How the scans are laid out.
        root: Folder of the data set, or one of its files.
        out: Folder for the shards.
        config: How; the default configuration when None.
        workers: Processes.
        ray: Make shards with Ray Data.
        labels: JSON file with names of instances, for CA-1M.
        skip_broken: List broken scans and frames and go on.

    Returns:
        What ``build`` returns, and ``rejected``: how many frames by reason; ``rejections/`` lists them.

    Raises:
        InvalidParameterError: a number is out of range or the folder holds a data set made otherwise.
        DatasetFileError: a file is broken.
    """
    c = config or ScanConfig()
    one_of(Unseen, unseen=c.unseen)
    one_of(Split, split=c.split)
    at_least_one(every=c.every, questions=c.questions, shard_scans=c.shard_scans)
    if labels is not None and layout != 'ca1m':
        raise InvalidParameterError(f"labels are read for layout 'ca1m' only, not for '{layout}'")
    root, out = Path(root), Path(out)
    names = None if labels is None else read_labels(Path(labels))
    found = find_scans(layout, root)
    jobs = []
    for index, start in enumerate(range(0, len(found), c.shard_scans)):
        scans = tuple(found[start : start + c.shard_scans])
        # Where the data set lies is not what it is.
        inside = [[_relative(s[0], root), *s[1:]] for s in scans]
        jobs.append(
            ShardJob(
                index,
                make_records,
                (layout, scans, c, names, skip_broken, rejections_path(out, 'scan', index, c.split)),
                {'scans': inside},
            )
        )
    settings = {
        'version': VERSION,
        'layout': layout,
        **asdict(c),
        'labels': names is not None,
        'skip_broken': skip_broken,
        'held_out': held_out_lists(),
    }
    command = (
        f'robotracer generate scans --layout {layout} ROOT FOLDER --split {c.split} --every {c.every} '
        f'--questions {c.questions} --shard-scans {c.shard_scans} --unseen {c.unseen}'
        f'{"" if names is None else " --labels LABELS"}{" --skip-broken" if skip_broken else ""}'
    )
    result = build(out, 'scan', c.split, settings, jobs, workers, ray, command)
    return {**result, 'rejected': report_rejections(out, 'scan', len(jobs), c.split)}


def _relative(path: str, root: Path) -> str:
    return Path(path).relative_to(root).as_posix() if Path(path) != root else root.name
