# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0

import sys
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest

from robotracer_ros.data.dataset import ShardJob, build, make_shard
from robotracer_ros.data.facts import SceneFacts
from robotracer_ros.data.qa import sample_questions
from robotracer_ros.data.record import (
    Mention,
    ObjectEntry,
    Record,
    Sample,
    decode_png16,
    encode_depth,
    encode_png16,
    encode_rgb,
)
from robotracer_ros.data.rows import from_row, to_row
from robotracer_ros.data.shards import (
    ROW_GROUP,
    ShardWriter,
    read_records,
    read_summary,
    shard_path,
    shards_of,
)
from robotracer_ros.errors import InvalidParameterError, MissingPackageError
from robotracer_ros.sim.scenes import generate_scene

RGB = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(6, 8, 3)


def web_record(i: int) -> Record:
    """A record with hardly anything known, as from a photograph."""
    nan = float('nan')
    sample = Sample(
        'Point to the cat. Answer [(x, y)]',
        '<answer>[(500, 400)]</answer>',
        'refer',
        (Mention(9, 19, 'cat', np.full(3, nan), (500.0, 400.0, nan)),),
        ('cat',),
        relations=('left of',),
    )
    return Record(
        f'web-{i}',
        'web',
        'train',
        encode_rgb(RGB, 90),
        None,
        (sample,),
        objects=(ObjectEntry('cat', 'a grey cat', box=(100.0, 0.0, 900.0, 1000.0)),),
    )


def sim_record(seed: int = 1703) -> Record:
    """A record with everything."""
    scene = generate_scene(seed)
    facts = SceneFacts(scene)
    types = {'trace_3d_think': 1.0, 'measure': 0.3, 'refer': 0.3}
    samples = sample_questions(facts, np.random.default_rng(0), 12, types=types)
    o = scene.objects[0]
    return Record(
        id='sim-1703',
        source='sim',
        split='train',
        image=encode_rgb(RGB),
        camera=scene.camera,
        samples=tuple(samples),
        origin='here',
        seed=seed,
        depth=encode_depth(np.full((6, 8), 1.2345)),
        masks=encode_png16(np.full((6, 8), 65535, dtype=np.uint16)),
        world_from_camera=scene.world_from_camera,
        objects=(ObjectEntry(o.id, o.kind, o.kind, o.color, o.size_name, o.pose, o.extents),),
        scale=1.2,
        extra={'a': [1, 'b']},
    )


def same(a, b) -> bool:
    """Compare dataclasses with arrays in them."""
    if is_dataclass(a):
        return type(a) is type(b) and all(
            same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a)
        )
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b, equal_nan=True)
    return a == b or (isinstance(a, float) and np.isnan(a) and np.isnan(b))


def test_a_record_survives_its_shard(tmp_path):
    for record in (web_record(0), sim_record()):
        assert same(from_row(to_row(record)), record)
        path = shard_path(tmp_path, 'train', record.source, 0)
        with ShardWriter(path, record.source, 'train') as writer:
            writer.write(record)
        (again,) = read_records(path)
        assert same(again, record)
    tasks = [s.task for s in again.samples if s.task is not None]
    assert tasks
    assert all(t.reasoning and t.key_steps for t in tasks)


def test_pictures():
    record = sim_record()
    assert np.array_equal(record.rgb(), RGB)
    assert record.depth_metres() == pytest.approx(1.234, abs=6e-4)
    assert web_record(0).depth_metres() is None
    assert np.abs(web_record(0).rgb().astype(int) - RGB).mean() < 20
    odd = np.array([[0.0, -1.0, np.nan, np.inf, 66.0, 0.0006, 65.535]])
    assert decode_png16(encode_depth(odd)).tolist() == [[0, 0, 0, 0, 0, 1, 65535]]
    assert decode_png16(encode_depth(odd, unit=0.01))[0, 4] == 6600


def test_an_interrupted_shard_leaves_nothing(tmp_path):
    path = shard_path(tmp_path, 'train', 'web', 3)

    def interrupted():
        yield from (web_record(i) for i in range(ROW_GROUP + 1))
        assert list(path.parent.glob('.*'))  # something is on disk already
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_shard(tmp_path, 'web', 'train', ShardJob(3, interrupted))
    assert not list(path.parent.iterdir())


def test_a_shard_holds_one_source_and_split(tmp_path):
    path = shard_path(tmp_path, 'train', 'web', 0)
    with ShardWriter(path, 'web', 'train', {'file': 'x'}) as writer:
        writer.write(web_record(0))
        with pytest.raises(InvalidParameterError, match="split 'val'"):
            writer.write(replace(web_record(1), split='val'))
        with pytest.raises(InvalidParameterError, match="source 'scan'"):
            writer.write(replace(web_record(1), source='scan'))
    summary = read_summary(path)
    assert summary['made_from'] == {'file': 'x'}
    assert summary['counts'] == {'records': 1, 'relation left of': 1, 'samples': 1, 'type refer': 1}


def test_other_files_are_refused(tmp_path):
    import pyarrow
    import pyarrow.parquet

    other = tmp_path / 'other.parquet'
    other.write_bytes(b'no parquet at all')
    with pytest.raises(InvalidParameterError, match='no parquet file'):
        read_summary(other)
    pyarrow.parquet.write_table(pyarrow.table({'a': [1]}), other)
    with pytest.raises(InvalidParameterError, match='no shard'):
        list(read_records(other))


def make_web(first: int, count: int):
    return (web_record(i) for i in range(first, first + count))


def test_sources_share_a_folder(tmp_path):
    jobs = [ShardJob(i, make_web, (20 * i, 20), {'first': 20 * i}) for i in range(2)]
    made = build(tmp_path, 'web', 'train', {'detector': 'none'}, jobs)
    assert made['counts']['records'] == 40
    build(tmp_path, 'scan', 'train', {}, [ShardJob(0, list, ((),))])
    assert [p.name for p in shards_of(tmp_path)] == [
        'train-scan-000000.parquet',
        'train-web-000000.parquet',
        'train-web-000001.parquet',
    ]
    assert [r.id for r in read_records(shards_of(tmp_path)[2])] == [f'web-{i}' for i in range(20, 40)]
    card = (tmp_path / 'README.md').read_text()
    assert '| train | web | 2 | 40 | 40 |' in card
    assert '| train | scan | 1 | 0 | 0 |' in card
    with pytest.raises(InvalidParameterError, match='another detector'):
        build(tmp_path, 'web', 'train', {'detector': 'other'}, jobs)


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pyarrow', None)
    with pytest.raises(MissingPackageError, match=r"pip install 'robotracer_ros\[data\]'"):
        build(tmp_path, 'web', 'train', {}, [])
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, 'ray', None)
    with pytest.raises(MissingPackageError, match=r"pip install 'robotracer_ros\[ray\]'"):
        build(tmp_path, 'web', 'train', {}, [], ray=True)
