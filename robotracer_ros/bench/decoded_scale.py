# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""``robotracer bench scale``: whether the decoded metric scale makes the written depths better.

The model says the scale twice: from the state of ``<SCALE>``, before the first word, and as the first step of its
reasoning. Answers with reasoning are taken five ways: as written; with the decoded scale put into the text in place of
the written one, so that all that follows has read it; with the depths multiplied by decoded over written; and both
again with the true scale, which is what a perfect scale decoder could give.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from robotracer_ros.bench.figures import json_safe
from robotracer_ros.bench.tracer_questions import CONDITIONS, picture, questions
from robotracer_ros.data.reading import read_points, readable
from robotracer_ros.data.split import VALIDATION_SEEDS
from robotracer_ros.errors import InvalidDepthError, InvalidParameterError
from robotracer_ros.geometry.camera import UV_RANGE
from robotracer_ros.geometry.depth import depth_at
from robotracer_ros.geometry.trace import Scale
from robotracer_ros.sim.spec import Rendering
from robotracer_ros.tracer.checkpoint import find_checkpoint
from robotracer_ros.tracer.decoding import Decoder
from robotracer_ros.tracer.local import MAX_NEW
from robotracer_ros.tracer.onnx_runtime import OnnxDecoder, graphs_of
from robotracer_ros.tracer.pixels import pack_pixels

WAYS = ('as written', 'decoded, in the text', 'decoded, ratio', 'true, in the text', 'true, ratio')
#: of the bootstrap of paired differences
_ROUNDS, _SEED = 2000, 7


def main(
    scenes: int = 100,
    *,
    checkpoint: str = 'robotracer-tiny',
    conditions: Sequence[str] = ('RGB', 'RGB+I'),
    json_output: bool = False,
    out: Path | None = None,
) -> int:
    """Ask for one task per scene and compare the depths, print the figures, return 0.

    Args:
        scenes: How many, from seed 0.
        checkpoint: Name of a shipped checkpoint, or a folder.
        conditions: Of ``CONDITIONS``.
        json_output: Print one JSON document.
        out: Append one JSON line per scene; scenes that it holds already are not asked again.

    Raises:
        InvalidParameterError: an argument is out of range.
    """
    unknown = [c for c in conditions if c not in CONDITIONS]
    if unknown or not conditions:
        raise InvalidParameterError(
            f"conditions '{', '.join(conditions)}': must be of {', '.join(CONDITIONS)}"
        )
    if not 0 < scenes <= VALIDATION_SEEDS:
        raise InvalidParameterError(f'scenes {scenes}: must be in 1..{VALIDATION_SEEDS}')
    lines = {} if out is None or not out.exists() else _read(out)
    todo = [seed for seed in range(scenes) if seed not in lines]
    folder = find_checkpoint(checkpoint)
    decoder = OnnxDecoder(folder, graphs_of(folder), 1) if todo else None
    for seed in track(todo, 'scenes', console=Console(stderr=True), transient=True):
        assert decoder is not None
        lines[seed] = {'seed': seed, 'errors': ask_scene(seed, decoder, conditions)}
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            with out.open('a', encoding='utf-8') as file:
                file.write(json.dumps(json_safe(lines[seed])) + '\n')
    result = {
        'bench': 'scale',
        'checkpoint': checkpoint,
        'scenes': scenes,
        'figures': {c: figures([lines[s]['errors'].get(c) for s in range(scenes)]) for c in conditions},
    }
    if json_output:
        print(json.dumps(json_safe(result), indent=1))
    else:
        tell(result, Console())
    return 0


def _read(path: Path) -> dict[int, dict[str, Any]]:
    """Return the scenes of an earlier run; a line that was cut off is left out and asked again."""
    whole = [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b'\n')]
    path.write_bytes(b''.join(whole))
    return {line['seed']: line for line in map(json.loads, whole)}


def ask_scene(
    seed: int, decoder: Decoder, conditions: Sequence[str]
) -> dict[str, dict[str, list[float]]]:
    """Return by condition and way the signed log errors of start depth and, under ``scale``, of the scale.

    Conditions without a readable answer, and scenes without a task, are left out.
    """
    facts, image = picture(seed)
    prompts = [q.sample.prompt for q in questions(seed, facts, 'val') if q.mode == 'think']
    found: dict[str, dict[str, list[float]]] = {}
    for condition in conditions if prompts else ():
        given = CONDITIONS[condition]
        pixels = pack_pixels(
            image.rgb,
            image.depth if 'depth' in given else None,
            facts.scene.camera if 'rays' in given else None,
            facts.scene.world_from_camera if 'pose' in given else None,
            width=decoder.image_width,
            height=decoder.image_height,
        )
        errors = _ways(decoder, pixels, prompts[0], facts.scale, image)
        if errors:
            found[condition] = errors
    return found


def _ways(
    decoder: Decoder, pixels: NDArray[np.float32], prompt: str, true: float, image: Rendering
) -> dict[str, list[float]]:
    question = decoder.encode(prompt)
    plain = decoder.greedy(pixels, [question], MAX_NEW['trace'])
    text = decoder.text(plain.tokens[0])
    points, parsed = read_points(text)
    steps = [s.value for s in parsed.reasoning if isinstance(s, Scale)] if parsed else []
    if not steps or steps[0] <= 0:
        return {}
    begun = [_begun(decoder, text, s) for s in (plain.scale, true)]
    forced = decoder.greedy(pixels, [question + b for b in begun], MAX_NEW['trace'])
    told = [
        read_points(decoder.text(b + t))[0] for b, t in zip(begun, forced.tokens, strict=True)
    ]
    answers = {
        'as written': (points, 1.0),
        'decoded, in the text': (told[0], 1.0),
        'decoded, ratio': (points, plain.scale / steps[0]),
        'true, in the text': (told[1], 1.0),
        'true, ratio': (points, true / steps[0]),
    }
    errors = {way: _start_error(p, factor, image) for way, (p, factor) in answers.items()}
    if any(e is None for e in errors.values()):
        return {}
    kept = {way: [e] for way, e in errors.items() if e is not None}
    return kept | {'scale': [math.log(plain.scale / true), math.log(steps[0] / true)]}


def _begun(decoder: Decoder, text: str, scale: float) -> list[int]:
    """Return the tokens of an answer up to the written scale, with another scale in its place."""
    head = text[: text.index(']: ') + 3]
    # encode() frames a question with <user> and <assistant>: what stands between them is the text.
    return decoder.encode(f'{head}{scale:.3f}')[1:-1]


def _start_error(points: NDArray[np.float64], factor: float, image: Rendering) -> float | None:
    """Return log(written depth / sensor's depth) at the first point; None when there is none."""
    if len(points) < 2 or not readable(points):
        return None
    h, w = image.depth.shape
    u, v = np.minimum(points[0, :2] / UV_RANGE * (w, h), (w - 1, h - 1))
    try:
        return math.log(points[0, 2] * factor / depth_at(image.depth, u, v))
    except InvalidDepthError:
        return None


def figures(errors: Sequence[Mapping[str, Sequence[float]] | None]) -> dict[str, Any]:
    """Return median and mean sizes of the log errors by way, and how each differs from the written one.

    ``difference`` is the mean of |error| minus |error as written| over the same answers with its 95 % bootstrap
    interval: below 0 throughout, the way helps.
    """
    lines = [e for e in errors if e]
    if not lines:
        return {'n': 0}
    rng = np.random.default_rng(_SEED)
    picks = rng.integers(0, len(lines), (_ROUNDS, len(lines)))
    written = np.abs([line['as written'][0] for line in lines])
    out: dict[str, Any] = {'n': len(lines)}
    for way in WAYS:
        sizes = np.abs([line[way][0] for line in lines])
        off = sizes - written
        low, high = np.percentile(off[picks].mean(1), [2.5, 97.5])
        out[way] = {
            'median': float(np.median(sizes)),
            'mean': float(sizes.mean()),
            'difference': [float(off.mean()), float(low), float(high)],
        }
    scales = np.abs([line['scale'] for line in lines])
    out['scale'] = dict(zip(('decoded', 'written'), np.median(scales, axis=0).tolist(), strict=True))
    return out


def tell(result: Mapping[str, Any], console: Console) -> None:
    """Print the figures as a table."""
    table = Table(title=f'depth of the first point, |log error|, {result["checkpoint"]}')
    for heading in ('inputs', 'depth', 'median', 'mean', 'mean difference [95 %]', 'n'):
        table.add_column(heading)
    for condition, found in result['figures'].items():
        if not found['n']:
            continue
        for way in WAYS:
            mean, low, high = found[way]['difference']
            table.add_row(
                condition,
                way,
                f'{found[way]["median"]:.4f}',
                f'{found[way]["mean"]:.4f}',
                '' if way == 'as written' else f'{mean:+.4f} [{low:+.4f}, {high:+.4f}]',
                str(found['n']),
            )
        scale = found['scale']
        table.add_row(condition, 'scale: decoded, written', f'{scale["decoded"]:.4f}, {scale["written"]:.4f}')
        table.add_section()
    console.print(table)
