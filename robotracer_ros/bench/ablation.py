# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""``robotracer bench ablation``: models that lack one part each, trained on alike and judged by the bench's rules.

Every variant begins with the weights of one checkpoint, as far as it has the parts, and gets the same seed,
pictures, steps and questions' types; what differs is in its own lines of the configuration.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from robotracer_ros.bench.figures import json_safe
from robotracer_ros.bench.tracer_figures import figures
from robotracer_ros.bench.tracer_questions import CONDITIONS, DEPLOYED
from robotracer_ros.data.facts import SceneFacts
from robotracer_ros.data.qa import Sample, sample_questions
from robotracer_ros.data.rates import Outcome
from robotracer_ros.data.score import Judge
from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.tracer.checkpoint import find_checkpoint
from robotracer_ros.training.config import SftConfig, settings_from
from robotracer_ros.training.settings import fill

_FIGURES = 'figures.json'
#: settings that only say where files lie
_PLACES = ('name', 'output', 'train_cache', 'val_cache', 'init_from', 'save_minutes')
#: tokens of an answer at most
_MAX_NEW = {'refer': 40, 'trace': 200}


@dataclass
class Ablation:
    """What is compared.

    Attributes:
        base: Settings of :class:`~robotracer_ros.training.config.SftConfig` of every variant.
        variants: Name to the settings that differ from ``base``; options of ``model`` are merged.
        start: Checkpoint that every variant begins with.
        scenes: Validation scenes that the variants are asked about.
        refers: Referring questions per scene; with them comes one simple task, with reasoning (unless the variant was
            never taught any) and without.
        seed: Of the questions.
    """

    base: dict[str, Any] = field(default_factory=dict)
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    start: str = 'robotracer-tiny'
    scenes: int = 60
    refers: int = 4
    seed: int = 0

    def settings(self, variant: str, out: Path) -> SftConfig:
        """Return the settings of a variant's run."""
        values = {**self.base, **self.variants[variant], 'name': variant}
        values['model'] = self.base.get('model', {}) | self.variants[variant].get('model', {})
        values['output'] = str(out / variant.replace(' ', '_'))
        return settings_from(values, f"variant '{variant}'")


def load(path: Path) -> Ablation:
    """Read what is compared.

    Raises:
        InvalidParameterError: a setting is unknown or of another type, or there is no variant.
    """
    values = yaml.safe_load(path.read_text(encoding='utf-8'))
    ablation = fill(Ablation, str(path), values)
    if not ablation.variants:
        raise InvalidParameterError(f'{path}: variants: must name at least one')
    return ablation


def main(
    config: Path, out: Path, *, only: Sequence[str] = (), json_output: bool = False
) -> int:
    """Train and score the variants that ``out`` has no figures of, print the table, return 0.

    Args:
        config: YAML with :class:`Ablation`.
        out: Folder of runs and figures; an interrupted variant goes on where it was saved.
        only: Names of variants; all when empty.
        json_output: Print one JSON document.

    Raises:
        InvalidParameterError: a setting or a name is unknown, or ``out`` holds figures of other settings.
    """
    ablation = load(config)
    unknown = [name for name in only if name not in ablation.variants]
    if unknown:
        raise InvalidParameterError(
            f"variants '{', '.join(unknown)}': must be of {', '.join(ablation.variants)}"
        )
    found = {name: run_variant(ablation, name, out) for name in only or ablation.variants}
    if json_output:
        result = {'bench': 'ablation', 'scenes': ablation.scenes, 'variants': found}
        print(json.dumps(json_safe(result), indent=1))
    else:
        print(table(found))
    return 0


def run_variant(ablation: Ablation, name: str, out: Path) -> dict[str, Any]:
    """Train a variant and score it, or return the figures that are there.

    Raises:
        InvalidParameterError: the folder holds figures of other settings.
    """
    config = ablation.settings(name, out)
    key = _digest(ablation, config)
    folder = Path(config.output)
    file = folder / _FIGURES
    if file.exists():
        figures_there: dict[str, Any] = json.loads(file.read_text(encoding='utf-8'))
        if figures_there['settings'] != key:
            raise InvalidParameterError(
                f'{file} holds figures of other settings: choose another folder'
            )
        return figures_there
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / 'log').open('a', encoding='utf-8') as log, contextlib.redirect_stdout(log):
        made = _train_and_score(ablation, config)
    made = json_safe({'settings': key, **made})
    file.write_text(json.dumps(made, indent=1) + '\n', encoding='utf-8')
    return made


def _digest(ablation: Ablation, config: SftConfig) -> str:
    values = {k: v for k, v in asdict(config).items() if k not in _PLACES}
    asked = {k: v for k, v in asdict(ablation).items() if k not in ('base', 'variants')}
    return hashlib.sha256(json.dumps([values, asked], sort_keys=True).encode()).hexdigest()


def _train_and_score(ablation: Ablation, config: SftConfig) -> dict[str, Any]:
    from robotracer_ros.training.sft import Run

    started = time.process_time()
    run = Run(replace(config, init_from=str(find_checkpoint(ablation.start))))
    # A run that is over already is left as it is.
    if not run.finished():
        run.loop()
    assert run.average is not None
    trained = time.process_time()
    made = score(ablation, config, run)
    seconds = {'training': trained - started, 'scoring': time.process_time() - trained}
    return {
        'steps': run.step,
        'weights': sum(p.numel() for p in run.average.model.parameters()),
        'cpu_s': {k: round(v, 1) for k, v in seconds.items()},
        'figures': made,
    }


def score(ablation: Ablation, config: SftConfig, run: Any) -> dict[str, Any]:
    """Ask about validation scenes with all inputs, and for the referring questions with the image alone.

    Inputs that the variant never saw in training are not given to it.
    """
    from robotracer_ros.tracer.model.decode import greedy, question_ids
    from robotracer_ros.tracer.model.images import pack_image
    from robotracer_ros.training.metric_text import in_picture

    dropped = {n for n in ('rays', 'depth', 'pose') if getattr(config, f'drop_{n}') >= 1}
    reasons = any(p.long.get('trace_3d_think') for p in config.phases)
    answers: dict[str, dict[str, list[tuple[Mapping[str, str], Outcome]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for i in range(min(ablation.scenes, len(run.val))):
        scene, image = run.val.scene(i), run.val.rendering(i)
        facts = SceneFacts(scene, image)
        judge = Judge(facts, image)
        for condition in (DEPLOYED, 'RGB'):
            given = CONDITIONS[condition] - dropped
            pixels = pack_image(
                image.rgb,
                image.depth if 'depth' in given else None,
                scene.camera if 'rays' in given else None,
                scene.world_from_camera if 'pose' in given else None,
            )
            asked = _questions(ablation, facts, i, reasons, traces=condition == DEPLOYED)
            for kind, of in asked.items():
                if not of:
                    continue
                prompts = [question_ids(run.tokenizer, s.prompt) for _, s in of]
                decoded = greedy(run.average.model, pixels, prompts, _MAX_NEW[kind])
                for (mode, sample), tokens in zip(of, decoded.tokens, strict=True):
                    text = str(run.tokenizer.decode(tokens))
                    if config.answer_form == 'xyz':
                        text = in_picture(text, scene.camera)
                    answers[condition][mode].append(({}, judge.score(sample, text)))
                if kind == 'refer':
                    off = abs(math.log(decoded.scale / facts.scale))
                    answers[condition]['scale'].append(({}, Outcome({}, {'log error': off})))
    return {condition: figures(by_mode) for condition, by_mode in answers.items()}


def _questions(
    ablation: Ablation, facts: SceneFacts, i: int, reasons: bool, traces: bool
) -> dict[str, list[tuple[str, Sample]]]:
    """Draw the questions about validation scene i, the same for every variant."""
    found: dict[str, list[tuple[str, Sample]]] = {'refer': [], 'trace': []}
    rng = np.random.default_rng([ablation.seed, i])
    asked = sample_questions(facts, rng, ablation.refers, 'val', {'refer': 1.0})
    found['refer'] = [('refer', s) for s in asked]
    modes = {'think': 'trace_3d_think', 'direct': 'trace_3d'}
    for mode in (['think'] if reasons else []) + ['direct'] if traces else []:
        rng = np.random.default_rng([ablation.seed, i, 1])
        tasks = sample_questions(facts, rng, 1, 'val', {modes[mode]: 1.0}, simple=True)
        found['trace'] += [(mode, s) for s in tasks]
    return found


#: rows of the table: heading, condition, mode, rate or median, name
ROWS = (
    ('named <3cm', DEPLOYED, 'refer', 'rates', 'named <3cm'),
    ('in mask', DEPLOYED, 'refer', 'rates', 'named in mask'),
    ('others (control)', DEPLOYED, 'refer', 'rates', 'other <50 (control)'),
    ('blind 1/n', DEPLOYED, 'refer', 'rates', 'name-blind 1/n'),
    ('depth error', DEPLOYED, 'refer', 'medians', 'depth error (m)'),
    ('start, think', DEPLOYED, 'think', 'rates', 'start <3cm'),
    ('start+end, think', DEPLOYED, 'think', 'rates', 'start+end'),
    ('start, direct', DEPLOYED, 'direct', 'rates', 'start <3cm'),
    ('start+end, direct', DEPLOYED, 'direct', 'rates', 'start+end'),
    ('parsed, direct', DEPLOYED, 'direct', 'rates', 'parsed'),
    ('scale error', DEPLOYED, 'scale', 'medians', 'log error'),
    ('RGB: named <3cm', 'RGB', 'refer', 'rates', 'named <3cm'),
    ('RGB: in mask', 'RGB', 'refer', 'rates', 'named in mask'),
    ('RGB: depth error', 'RGB', 'refer', 'medians', 'depth error (m)'),
    ('RGB: scale error', 'RGB', 'scale', 'medians', 'log error'),
)


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a Markdown table: rates in percent with 95 % intervals, medians in metres or of the logarithm."""
    rows = [['', *found], ['---'] * (1 + len(found))]
    for heading, condition, mode, kind, of in ROWS:
        cells = [
            _cell(v['figures'].get(condition, {}).get(mode, {}).get(kind, {}).get(of))
            for v in found.values()
        ]
        rows.append([heading, *cells])
    return '\n'.join(f'| {" | ".join(row)} |' for row in rows)


def _cell(entry: Mapping[str, float] | None) -> str:
    if entry is None:
        return ''
    if 'rate' in entry:
        low, high = 100 * entry['low'], 100 * entry['high']
        return f'{100 * entry["rate"]:.0f} [{low:.0f}, {high:.0f}] n={entry["n"]}'
    return f'{entry["median"]:.3f} n={entry["n"]}'
