# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Records as rows of a table and back; the table's schema, in the types of Arrow and of Hugging Face ``datasets``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.data.record import Mention, ObjectEntry, Record, Sample
from robotracer_ros.data.task import GoalRegion, Task
from robotracer_ros.errors import MissingPackageError
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.trace import Measuring, ReasoningStep, Referring, Scale, TraceKind
from robotracer_ros.tracer.text import write_step

#: of the columns below; readers refuse another one
SCHEMA_VERSION = 1

_KINDS = {
    TraceKind.OBJECT_CENTRIC: 'object-centric',
    TraceKind.END_EFFECTOR_CENTRIC: 'end-effector-centric',
}
_KIND_OF = {v: k for k, v in _KINDS.items()}
_STEPS = {Scale: 'scale', Referring: 'referring', Measuring: 'measuring'}

_STEP = {
    'type': 'string',
    'target': 'string',
    'text': 'string',  # the line as it stands in an answer
    'value': 'float64',  # scale, or metres
    'point': ['float64'],  # u, v, d
    'object': 'string',
    'key': 'bool',
}
_TASK = {
    'instruction': 'string',
    'primitive': 'string',
    'relation': 'string',
    'kind': 'string',
    'moved': 'string',
    'references': ['string'],
    'via': 'string',
    'via_side': 'string',
    'hover_targets': ['string'],
    'distance': 'float64',
    'split': 'string',
    'goal_pose': ['float64'],  # 16 numbers of a 4x4 matrix, row by row
    'goal_extents': ['float64'],
    'path': [['float64']],
    'trace': [['float64']],
    'reasoning': [_STEP],
}
_MENTION = {
    'start': 'int32',
    'end': 'int32',
    'object': 'string',
    'world': ['float64'],
    'uvd': ['float64'],
}
_SAMPLE = {
    'prompt': 'string',
    'answer': 'string',
    'type': 'string',
    'relations': ['string'],
    'targets': ['string'],
    'metres': 'float64',
    'mentions': [_MENTION],
    'task': _TASK,
}
_OBJECT = {
    'id': 'string',
    'name': 'string',
    'kind': 'string',
    'color': 'string',
    'size': 'string',
    'pose': ['float64'],
    'extents': ['float64'],
    'box': ['float64'],
}
#: every column; a list means a list of its one entry, a dict a structure, ``image`` an encoded image
COLUMNS: Mapping[str, Any] = {
    'id': 'string',
    'source': 'string',
    'split': 'string',
    'origin': 'string',
    'seed': 'int64',
    'image': 'image',
    'depth': 'image',
    'depth_unit': 'float64',
    'masks': 'image',
    'camera': {
        'width': 'int32',
        'height': 'int32',
        'fx': 'float64',
        'fy': 'float64',
        'cx': 'float64',
        'cy': 'float64',
    },
    'world_from_camera': ['float64'],
    'scale': 'float64',
    'objects': [_OBJECT],
    'samples': [_SAMPLE],
    'extra': 'string',
}


def import_pyarrow() -> Any:
    """Import ``pyarrow`` with its parquet part. Raises MissingPackageError with the command that brings it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingPackageError(
            "data sets need the package 'pyarrow': pip install 'robotracer_ros[data]'"
        ) from error
    return pyarrow


def schema() -> Any:
    """Return the ``pyarrow.Schema`` of a shard; its metadata let ``datasets`` decode the images."""
    pa = import_pyarrow()

    def arrow(spec: Any) -> Any:
        if isinstance(spec, dict):
            return pa.struct([(k, arrow(v)) for k, v in spec.items()])
        if isinstance(spec, list):
            return pa.list_(arrow(spec[0]))
        if spec == 'image':
            return pa.struct([('bytes', pa.binary()), ('path', pa.string())])
        return {'string': pa.string(), 'bool': pa.bool_(), 'int32': pa.int32()}.get(
            spec, pa.int64() if spec == 'int64' else pa.float64()
        )

    features = json.dumps({'info': {'features': features_dict()}})
    return pa.schema(
        [(k, arrow(v)) for k, v in COLUMNS.items()], metadata={'huggingface': features}
    )


def features_dict() -> dict[str, Any]:
    """Return the columns in the JSON form of ``datasets.Features``."""

    def feature(spec: Any) -> Any:
        if isinstance(spec, dict):
            return {k: feature(v) for k, v in spec.items()}
        if isinstance(spec, list):
            return {'feature': feature(spec[0]), '_type': 'List'}
        return {'_type': 'Image'} if spec == 'image' else {'dtype': spec, '_type': 'Value'}

    return {k: feature(v) for k, v in COLUMNS.items()}


def to_row(record: Record) -> dict[str, Any]:
    """Convert a record to a row of the table."""
    c = record.camera
    return {
        'id': record.id,
        'source': record.source,
        'split': record.split,
        'origin': record.origin,
        'seed': record.seed,
        'image': _image(record.image),
        'depth': _image(record.depth),
        'depth_unit': record.depth_unit,
        'masks': _image(record.masks),
        'camera': None
        if c is None
        else {
            'width': c.width,
            'height': c.height,
            'fx': c.fx,
            'fy': c.fy,
            'cx': c.cx,
            'cy': c.cy,
        },
        'world_from_camera': _flat(record.world_from_camera),
        'scale': record.scale,
        'objects': [
            {
                'id': o.id,
                'name': o.name,
                'kind': o.kind,
                'color': o.color,
                'size': o.size,
                'pose': _flat(o.pose),
                'extents': _flat(o.extents),
                'box': None if o.box is None else list(o.box),
            }
            for o in record.objects
        ],
        'samples': [_sample_to_row(s) for s in record.samples],
        'extra': json.dumps(record.extra, separators=(',', ':')),
    }


def from_row(row: Mapping[str, Any]) -> Record:
    """Make the record of a row, as ``pyarrow`` gives it (images as structures of bytes and path)."""
    c = row['camera']
    return Record(
        id=row['id'],
        source=row['source'],
        split=row['split'],
        image=row['image']['bytes'],
        camera=None if c is None else CameraModel(**c),
        samples=tuple(_sample_from_row(s) for s in row['samples']),
        origin=row['origin'],
        seed=row['seed'],
        depth=None if row['depth'] is None else row['depth']['bytes'],
        depth_unit=row['depth_unit'],
        masks=None if row['masks'] is None else row['masks']['bytes'],
        world_from_camera=_array(row['world_from_camera'], (4, 4)),
        objects=tuple(
            ObjectEntry(
                o['id'],
                o['name'],
                o['kind'],
                o['color'],
                o['size'],
                _array(o['pose'], (4, 4)),
                _array(o['extents'], (3,)),
                None if o['box'] is None else tuple(o['box']),
            )
            for o in row['objects']
        ),
        scale=row['scale'],
        extra=json.loads(row['extra']),
    )


def _image(data: bytes | None) -> dict[str, Any] | None:
    return None if data is None else {'bytes': data, 'path': None}


def _flat(values: NDArray[np.float64] | None) -> list[float] | None:
    return None if values is None else [float(x) for x in np.asarray(values).ravel()]


def _array(values: list[float] | None, shape: tuple[int, ...]) -> NDArray[np.float64] | None:
    return None if values is None else np.array(values, dtype=float).reshape(shape)


def _sample_to_row(s: Sample) -> dict[str, Any]:
    return {
        'prompt': s.prompt,
        'answer': s.answer,
        'type': s.task_type,
        'relations': list(s.relations),
        'targets': list(s.target_ids),
        'metres': s.metres,
        'mentions': [
            {
                'start': m.start,
                'end': m.end,
                'object': m.object_id,
                'world': _flat(m.world),
                'uvd': list(m.uvd),
            }
            for m in s.mentions
        ],
        'task': None if s.task is None else _task_to_row(s.task),
    }


def _sample_from_row(row: Mapping[str, Any]) -> Sample:
    mentions = tuple(
        Mention(m['start'], m['end'], m['object'], np.array(m['world']), (*m['uvd'],))
        for m in row['mentions']
    )
    return Sample(
        row['prompt'],
        row['answer'],
        row['type'],
        mentions,
        tuple(row['targets']),
        None if row['task'] is None else _task_from_row(row['task']),
        row['metres'],
        tuple(row['relations']),
    )


def _task_to_row(t: Task) -> dict[str, Any]:
    owners = t.step_objects or (None,) * len(t.reasoning)
    return {
        'instruction': t.instruction,
        'primitive': t.primitive,
        'relation': t.relation,
        'kind': _KINDS[t.kind],
        'moved': t.moved,
        'references': list(t.references),
        'via': t.via,
        'via_side': t.via_side,
        'hover_targets': list(t.hover_targets),
        'distance': t.distance,
        'split': t.split,
        'goal_pose': None if t.goal is None else _flat(t.goal.pose),
        'goal_extents': None if t.goal is None else _flat(t.goal.extents),
        'path': np.asarray(t.path, dtype=float).tolist(),
        'trace': np.asarray(t.trace, dtype=float).tolist(),
        'reasoning': [
            {
                'type': _STEPS[type(step)],
                'target': step.target,
                'text': write_step(step),
                'value': _value(step),
                'point': list(step.point) if isinstance(step, Referring) else None,
                'object': owner,
                'key': i in t.key_steps,
            }
            for i, (step, owner) in enumerate(zip(t.reasoning, owners, strict=True))
        ],
    }


def _task_from_row(row: Mapping[str, Any]) -> Task:
    pose, extents = _array(row['goal_pose'], (4, 4)), _array(row['goal_extents'], (3,))
    steps = row['reasoning']
    return Task(
        instruction=row['instruction'],
        primitive=row['primitive'],
        relation=row['relation'],
        moved=row['moved'],
        references=tuple(row['references']),
        kind=_KIND_OF[row['kind']],
        goal=None if pose is None or extents is None else GoalRegion(pose, extents),
        hover_targets=tuple(row['hover_targets']),
        path=np.array(row['path'], dtype=float).reshape(-1, 3),
        trace=np.array(row['trace'], dtype=float).reshape(-1, 3),
        reasoning=tuple(_step(s) for s in steps),
        key_steps=tuple(i for i, s in enumerate(steps) if s['key']),
        split=row['split'],
        via=row['via'],
        via_side=row['via_side'],
        step_objects=tuple(s['object'] for s in steps),
        distance=row['distance'],
    )


def _value(step: ReasoningStep) -> float | None:
    match step:
        case Scale():
            return step.value
        case Measuring():
            return step.metres
        case _:
            return None


def _step(row: Mapping[str, Any]) -> ReasoningStep:
    match row['type']:
        case 'scale':
            return Scale(row['value'], row['target'])
        case 'measuring':
            return Measuring(row['target'], row['value'], row['text'].split(': ', 1)[1])
        case _:
            return Referring(row['target'], tuple(row['point']))
