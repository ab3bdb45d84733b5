# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Ask models about the samples: this suite's tracers, and answers that need no model.

An answer becomes a line of a file in the official form at once, so that an interrupted run goes on where it was, and
any evaluator reads it.

* a checkpoint's name or folder: our own model, in this process;
* ``robotracer_server`` and ``openai``: models elsewhere, addressed by options (``url=...``, ``model=...``);
* ``oracle``: the reference itself; what is wrong then is wrong in the data or in the rules;
* ``straight``: the true first and last point and nothing between;
* ``lift``: the true way in the picture with the depth that the sensor sees there, as one lifts a 2D trace.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.bench.tracespatial.samples import DESTINATION, Dataset, Sample
from robotracer_ros.data.files import Array, DatasetFileError
from robotracer_ros.errors import (
    InvalidDepthError,
    InvalidParameterError,
    RobotracerError,
    TraceParseError,
)
from robotracer_ros.geometry.camera import UV_RANGE, CameraModel
from robotracer_ros.geometry.depth import depth_at
from robotracer_ros.sim.noise import TYPICAL, add_noise
from robotracer_ros.tracer.base import Observation, Tracer

#: what a model is given beside the colour image
INPUTS: Mapping[str, frozenset[str]] = {
    'RGB': frozenset(),
    'RGB+I': frozenset({'camera'}),
    'RGB+I+D': frozenset({'camera', 'depth'}),
    'RGB+I+D+noise': frozenset({'camera', 'depth', 'noise'}),
}
BASELINES = ('oracle', 'straight', 'lift')
REMOTE = ('robotracer_server', 'openai')
#: pixels around a place in which depth is looked for
_LIFT_RADIUS = 5

#: answers a sample with a text; may raise errors of the suite
Asker = Callable[[Dataset, Sample], str]


def asker(
    model: str, inputs: str, dimensions: str = '3D', options: Mapping[str, Any] | None = None
) -> Asker:
    """Return who answers.

    Args:
        model: See the module.
        inputs: One of ``INPUTS``; baselines do not look at it.
        dimensions: ``2D`` or ``3D``.
        options: Of a tracer, by name.

    Raises:
        InvalidParameterError: an argument is not known.
        CheckpointError: there is no such checkpoint.
    """
    if inputs not in INPUTS:
        raise InvalidParameterError(f"inputs '{inputs}': must be one of {', '.join(INPUTS)}")
    if dimensions not in ('2D', '3D'):
        raise InvalidParameterError(f"task '{dimensions}': must be 2D or 3D")
    axes = int(dimensions[0])
    if model in BASELINES:
        if options:
            raise InvalidParameterError(f"'{model}' takes no options: {', '.join(options)}")
        return lambda data, sample: _baseline(model, data, sample, axes)
    if model in REMOTE:
        return _remote(model, inputs, axes, dict(options or {}))
    return _local(model, inputs, axes, dict(options or {}))


def observation(dataset: Dataset, sample: Sample, inputs: str) -> Observation:
    """Return what a model sees of a sample."""
    given = INPUTS[inputs]
    rgb = dataset.rgb(sample)
    depth: NDArray[np.float32] | None = None
    if 'depth' in given:
        depth = dataset.depth(sample)
        if 'noise' in given:
            depth = add_noise(depth, TYPICAL, np.random.default_rng([4711, sample.id]))
    camera = None
    if 'camera' in given:
        camera = CameraModel.from_matrix(sample.intrinsics, rgb.shape[1], rgb.shape[0])
    return Observation(rgb, depth, camera)


def ask(
    dataset: Dataset,
    out: Path,
    answers: Asker,
    asked: Mapping[str, Any],
    progress: Callable[[], None] = lambda: None,
) -> int:
    """Ask about all samples that a file does not answer yet, and append the answers.

    Errors of the tracer (nothing that can be read, no answer in time) are answers, too: an empty text with the error
    beside it. They are asked again when the run is repeated, as officially.

    Args:
        dataset: The samples.
        out: File of answers.
        answers: Who answers.
        asked: What identifies the run; every line keeps it, and answers of another run are not gone on with.
        progress: Called after every sample.

    Returns:
        How many answers ended with an error.

    Raises:
        DatasetFileError: a picture is missing or broken, or the file holds something else.
    """
    done = _answered(out, asked)
    out.parent.mkdir(parents=True, exist_ok=True)
    failed = 0
    with out.open('a', encoding='utf-8') as file:
        for sample in dataset.samples:
            if sample.id not in done:
                line = {**_line(sample), 'asked': dict(asked)}
                try:
                    line['model_prediction'] = answers(dataset, sample)
                except DatasetFileError:
                    raise
                except TraceParseError as error:
                    # What a model wrote is its answer, also where it is no trace.
                    line['model_prediction'] = str(error.details.get('raw_text', ''))
                    line['error'] = str(error)
                except RobotracerError as error:
                    line['model_prediction'], line['error'] = '', f'{error.name}: {error}'
                    failed += 1
                file.write(json.dumps(line, ensure_ascii=False) + '\n')
                file.flush()
            progress()
    return failed


def _line(sample: Sample) -> dict[str, Any]:
    box = sample.box
    return {
        'question_id': sample.id,
        'image_path': sample.image_path,
        'gt_depth_path': sample.depth_path,
        'mask_path': sample.mask_path,
        'gt_depth_intrinsics': sample.intrinsics.tolist(),
        'prompt': sample.prompt,
        'target_object': sample.target,
        DESTINATION: sample.destination,
        'trajectory': sample.trajectory.tolist(),
        'bbox_center': None if box is None else box.center.tolist(),
        'bbox_extent': None if box is None else box.extent.tolist(),
        'bbox_rotation': None if box is None else box.rotation.tolist(),
    }


def _answered(out: Path, asked: Mapping[str, Any]) -> set[int]:
    """Return what a file answers; a line that was cut off or is empty is taken out of it, to be asked again."""
    if not out.exists():
        return set()
    kept, done = [], set()
    for number, line in enumerate(out.read_text(encoding='utf-8').split('\n'), 1):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if not isinstance(entry, dict) or 'question_id' not in entry:
            raise DatasetFileError(out, f'line {number}', 'is no answer: choose another file')
        if entry.get('asked') != dict(asked):
            raise DatasetFileError(
                out, f'line {number}', f'is of another run, {entry.get("asked")}: choose another file'
            )
        if entry.get('model_prediction'):
            kept.append(line + '\n')
            done.add(entry['question_id'])
    part = out.with_name(out.name + '.part')
    part.write_text(''.join(kept), encoding='utf-8')
    part.replace(out)
    return done


def _local(checkpoint: str, inputs: str, axes: int, options: dict[str, Any]) -> Asker:
    from robotracer_ros.tracer.local import LocalTracer
    from robotracer_ros.tracer.prompts import trace_prompt

    reasoning = bool(options.pop('reasoning', True))
    tracer = LocalTracer(checkpoint, **options)
    tracer.load()

    def answer(dataset: Dataset, sample: Sample) -> str:
        seen = observation(dataset, sample, inputs)
        prompt = trace_prompt(sample.prompt, dimensions=axes, reasoning=reasoning and axes == 3)
        text = tracer.ask(seen, prompt).text
        # Officially every tuple of the text is a point of the trace: the reasoning's would be, too.
        return text[text.rfind('<answer>') :] if '<answer>' in text else text

    return answer


def _remote(plugin: str, inputs: str, axes: int, options: dict[str, Any]) -> Asker:
    tracer: Tracer
    if inputs == 'RGB':
        raise InvalidParameterError(
            f"inputs 'RGB' with '{plugin}': a trace from elsewhere is lifted with the camera; use RGB+I or more"
        )
    # Points in the picture alone could not be lifted without a depth image.
    usual = {'dimensions': axes if 'depth' in INPUTS[inputs] else 3}
    if plugin == 'openai':
        from robotracer_ros.tracer.openai import OpenAITracer

        tracer = OpenAITracer(**{**usual, **options})
    else:
        from robotracer_ros.tracer.robotracer_server import RobotracerServerTracer

        tracer = RobotracerServerTracer(**{**usual, **options})
    tracer.load()

    def answer(dataset: Dataset, sample: Sample) -> str:
        trace = tracer.predict(observation(dataset, sample, inputs), sample.prompt)
        return _written(trace.points[:, :axes])

    return answer


def _baseline(name: str, dataset: Dataset, sample: Sample, axes: int) -> str:
    rgb = dataset.rgb(sample)
    height, width = rgb.shape[:2]
    pixels = sample.project(sample.trajectory)
    points = np.column_stack([pixels * UV_RANGE / (width, height), sample.trajectory[:, 2]])
    if name == 'straight':
        points = points[[0, -1]]
    elif name == 'lift':
        points[:, 2] = _sensed(dataset.depth(sample), pixels, points[:, 2])
    return _written(points[:, :axes])


def _sensed(depth: NDArray[np.float32], pixels: Array, instead: Array) -> Array:
    """Return what the sensor sees at pixels (N, 2), metres; the given depth where it sees nothing."""
    found = instead.copy()
    for i, (u, v) in enumerate(pixels):
        try:
            found[i] = depth_at(depth, float(u), float(v), _LIFT_RADIUS)
        except InvalidDepthError:
            continue
    return found


def _written(points: Sequence[Sequence[float]] | Array) -> str:
    """Write points as RoboTracer does, places with one decimal more than it has."""
    rows = []
    for row in np.asarray(points, dtype=float):
        u, v, *d = row
        rows.append(f'({u:.1f}, {v:.1f}' + ''.join(f', {x:.3f}' for x in d) + ')')
    return '[' + ', '.join(rows) + ']'
