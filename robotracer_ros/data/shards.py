# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""One parquet file of records: written whole or not at all, with its own figures in its footer."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from robotracer_ros.data.record import Record, Source, relations_of
from robotracer_ros.data.rows import SCHEMA_VERSION, from_row, import_pyarrow, schema, to_row
from robotracer_ros.errors import InvalidParameterError

#: rows that are compressed together and read together
ROW_GROUP = 16
_KEY = b'robotracer'


def shard_path(folder: Path, split: str, source: Source, index: int) -> Path:
    """Return where a shard lies in a data set: ``data/<split>-<source>-<index>.parquet``."""
    return folder / 'data' / f'{split}-{source}-{index:06d}.parquet'


class ShardWriter:
    """Writes records of one source and split to a shard; a context manager.

    The file appears under its name when everything is in it; an exception leaves nothing behind.
    The same records give the same bytes.

    Args:
        path: See :func:`shard_path`.
        source, split: Of every record.
        made_from: What the content follows from (seeds, files), as JSON: a shard that was made from
            the same is not made again.
    """

    def __init__(
        self, path: Path, source: Source, split: str, made_from: Mapping[str, Any] | None = None
    ) -> None:
        self._pa = import_pyarrow()
        self._path, self._source, self._split = path, source, split
        self._made_from = dict(made_from or {})
        path.parent.mkdir(parents=True, exist_ok=True)
        self._partial = path.with_name(f'.{path.name}.{os.getpid()}')
        self._schema = schema()
        self._writer = self._pa.parquet.ParquetWriter(
            self._partial, self._schema, compression='zstd', write_page_index=True
        )
        self._rows: list[dict[str, Any]] = []
        self._counts: Counter[str] = Counter()

    def write(self, record: Record) -> None:
        """Append a record.

        Raises:
            InvalidParameterError: it is of another source or split.
        """
        if (record.source, record.split) != (self._source, self._split):
            raise InvalidParameterError(
                f"record '{record.id}' is of source '{record.source}' and split '{record.split}': "
                f"{self._path.name} holds source '{self._source}' and split '{self._split}'"
            )
        self._rows.append(to_row(record))
        self._counts.update(count(record))
        if len(self._rows) == ROW_GROUP:
            self._flush()

    def close(self) -> dict[str, Any]:
        """Finish the shard and return its summary as :func:`read_summary` does."""
        self._flush()
        summary = {
            'schema_version': SCHEMA_VERSION,
            'source': self._source,
            'split': self._split,
            'made_from': self._made_from,
            'counts': dict(sorted(self._counts.items())),
        }
        self._writer.add_key_value_metadata({_KEY: json.dumps(summary)})
        self._writer.close()
        self._partial.replace(self._path)
        return summary

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(self._pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._writer.close()
            self._partial.unlink(missing_ok=True)


def count(record: Record) -> Counter[str]:
    """Count what a record holds, as ``group name``: records, types, relations, primitives, kinds, steps."""
    found: Counter[str] = Counter({'records': 1, 'samples': len(record.samples)})
    found.update(f'relation {r}' for r in relations_of(record.samples))
    for s in record.samples:
        found[f'type {s.task_type}'] += 1
        if s.task is not None:
            found[f'primitive {s.task.primitive}'] += 1
            found[f'trace {s.task.kind.name.lower().replace("_", "-")}'] += 1
            found[f'keypoints {len(s.task.trace)}'] += 1
            found[f'steps {len(s.task.reasoning)}'] += 1
    return found


def read_summary(path: Path) -> dict[str, Any]:
    """Return the summary in a shard's footer: schema_version, source, split, made_from, counts.

    Raises:
        InvalidParameterError: the file is no shard, or one of another schema version.
    """
    pa = import_pyarrow()
    try:
        metadata = pa.parquet.read_metadata(path).metadata or {}
    except pa.ArrowInvalid as error:
        raise InvalidParameterError(f'{path} is no parquet file: {error}') from error
    if _KEY not in metadata:
        raise InvalidParameterError(f'{path} is a parquet file but no shard of robotracer_ros')
    summary = dict(json.loads(metadata[_KEY]))
    if summary['schema_version'] != SCHEMA_VERSION:
        raise InvalidParameterError(
            f'{path} has schema version {summary["schema_version"]}: must be {SCHEMA_VERSION}'
        )
    return summary


def read_records(path: Path) -> Iterator[Record]:
    """Read the records of a shard one after the other.

    Raises:
        InvalidParameterError: as :func:`read_summary`.
    """
    read_summary(path)
    for batch in import_pyarrow().parquet.ParquetFile(path).iter_batches(ROW_GROUP):
        for row in batch.to_pylist():
            yield from_row(row)


def shards_of(folder: Path) -> list[Path]:
    """Return the complete shards of a data set in order."""
    return sorted((folder / 'data').glob('[!.]*.parquet'))
