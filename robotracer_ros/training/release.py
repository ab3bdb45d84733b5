# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Turn a run into a checkpoint to ship: half-precision safetensors, tokenizer, ONNX graphs, scores, model card."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerFast

from robotracer_ros.tracer.model.modeling import RoboTracerForConditionalGeneration
from robotracer_ros.tracer.onnx_export import export_beside
from robotracer_ros.training.evaluate import Scores, evaluate
from robotracer_ros.training.scene_cache import SceneCache


def export(run: Path, destination: Path) -> None:
    """Write the average weights of a run in float16 with configuration, tokenizer and ONNX graphs."""
    source = run / 'average'
    model = RoboTracerForConditionalGeneration.from_pretrained(
        source, dtype=torch.float16, use_safetensors=True
    )
    destination.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(destination)
    PreTrainedTokenizerFast.from_pretrained(source).save_pretrained(destination)
    export_beside(str(destination))


def score(folder: Path, cache: SceneCache, scenes: range, threads: int = 1) -> dict[str, Scores]:
    """Score a shipped checkpoint exactly as it is shipped, with every input and with fewer."""
    torch.set_num_threads(threads)
    model = RoboTracerForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    few = range(scenes.start, scenes.start + max(1, len(scenes) // 4))
    return {
        'RGB+I+D+pose': evaluate(model, tokenizer, cache, scenes, refer=4, traces=1, measures=2),
        'RGB+I+D': evaluate(
            model, tokenizer, cache, few, refer=4, traces=1, measures=0, inputs={'pose': False}
        ),
        'RGB+I': evaluate(
            model,
            tokenizer,
            cache,
            few,
            refer=4,
            traces=0,
            measures=0,
            inputs={'pose': False, 'depth': False},
        ),
        'RGB': evaluate(
            model,
            tokenizer,
            cache,
            few,
            refer=4,
            traces=0,
            measures=0,
            inputs={'pose': False, 'depth': False, 'rays': False},
        ),
    }


CARD = """# {name}

A tiny RoboTracer: {millions:.1f} million weights, safetensors, float16. It reads an instruction and an
RGB-D image of the simulated table and answers with points, lengths or traces in the paper's text
format. For the demo, for tests and as a starting point; **not for real scenes**: it has seen nothing
but the pictures of `robotracer_ros.sim`.

## Data and training

* Data: procedural scenes of `sim/scenes.py`, seeds from 10000 ({scenes} pictures at 320x240), questions of
  `data/qa.py` (split `train`) made while training. No other data, no other weights.
* Recipe: `robotracer train sft --config config/train/tiny.yaml`. {history}
* The last run: step {step}, {hours} hours of it.
* Export and scores: `python -m robotracer_ros.training.release RUN FOLDER`.

## Measured

Greedy decoding of this file on validation scenes (seeds {seeds}, never trained on), 95 % Wilson intervals.
"Name-blind 1/n" is what a perfect localiser reaches that ignores the name; "control" scores every other
visible object of the scene against the same answer. `think` asks for reasoning steps first, `direct` does
not. `start+end` is start within 3 cm of the named object's surface and end inside the goal region.

{tables}
## Limits

{limits}* Traces are not checked for collisions here; the planner does that.
* Held-out wordings and compositions are not in these figures.
* Answers to names of things that are not in the scene are arbitrary.
"""


def card(
    name: str,
    figures: dict[str, Any],
    weights: int,
    seeds: str,
    scenes: int,
    history: str,
    limits: Sequence[str] = (),
) -> str:
    """Write the model card from the figures of :func:`main`."""
    tables = ''
    for inputs, rates in figures['scores'].items():
        rows = '\n'.join(f'| {k} | {v} |' for k, v in rates.items())
        tables += f'### {inputs}\n\n| what | rate or median |\n|---|---|\n{rows}\n\n'
    return CARD.format(
        name=name,
        millions=weights / 1e6,
        scenes=scenes,
        step=figures['step'],
        hours=figures['hours'],
        seeds=seeds,
        tables=tables,
        history=history,
        limits=''.join(f'* {limit}\n' for limit in limits),
    )


def main() -> None:
    """Export a run and score it: ``python -m robotracer_ros.training.release RUN FOLDER``."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument('run', type=Path)
    parser.add_argument('destination', type=Path)
    parser.add_argument('--cache', default='runs/cache/val')
    parser.add_argument('--scenes', type=int, default=300)
    parser.add_argument('--first', type=int, default=40, help='the first 40 steered the training')
    parser.add_argument('--history', default='', help='what went before, for the card')
    parser.add_argument('--limit', action='append', default=[], help='a known limit, for the card')
    parser.add_argument('--train-scenes', type=int, default=8000)
    args = parser.parse_args()
    export(args.run, args.destination)
    saved = torch.load(args.run / 'state.pt', weights_only=True, map_location='cpu')
    found = score(
        args.destination, SceneCache(args.cache), range(args.first, args.first + args.scenes)
    )
    figures: dict[str, Any] = {
        'step': saved['step'],
        'hours': round(saved['seconds'] / 3600, 2),
        'scores': {name: scores.summary() for name, scores in found.items()},
    }
    (args.destination / 'scores.json').write_text(json.dumps(figures, indent=1) + '\n')
    weights = sum(t.numel() for t in load_file(args.destination / 'model.safetensors').values())
    seeds = f'{args.first} to {args.first + args.scenes - 1}'
    (args.destination / 'README.md').write_text(
        card(
            args.destination.name,
            figures,
            weights,
            seeds,
            args.train_scenes,
            args.history,
            args.limit,
        )
    )
    failures = '\n'.join(found['RGB+I+D+pose'].failures)
    (args.run / 'failures.txt').write_text(failures + '\n')
    if (args.run / 'scores.jsonl').exists():
        shutil.copy(args.run / 'scores.jsonl', args.run / f'scores-{saved["step"]}.jsonl')
    print(json.dumps(figures, indent=1))


if __name__ == '__main__':
    main()
