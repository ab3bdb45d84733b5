# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Settings of supervised fine-tuning with ``transformers.Trainer``, read from YAML.

Defaults are the paper's where it gives a number (its 2B model on 64 GPUs), and say so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.training.settings import fill

#: what may be trained or frozen, and what of the model belongs to it
PARTS: Mapping[str, tuple[str, ...]] = {
    'vision_tower': ('model.vision_tower.',),
    'mm_projector': ('model.mm_projector.',),
    'spatial_encoder': ('model.spatial_encoder.',),
    'spatial_projector': ('model.spatial_projector.',),
    'visual_position': ('model.visual_position',),
    'language_model': ('model.language_model.', 'lm_head.'),
    'scale_decoder': ('scale_decoder.',),
}
#: geometry that may come with a picture
INPUTS = ('intrinsics', 'depth', 'pose')
PRECISIONS = ('fp32', 'tf32', 'bf16')


@dataclass
class DataPart:
    """A data set of the data engine, or a part of it.

    Attributes:
        folder: As ``robotracer generate`` writes it.
        split: Of its shards.
        sources: ``sim``, ``scan``, ``video``, ``web``; empty: all that are there.
        repeat: How often its conversations come in an epoch; 0.5 takes another half in each.
    """

    folder: str
    split: str = 'train'
    sources: list[str] = field(default_factory=list)
    repeat: float = 1.0


@dataclass
class Lora:
    """Low-rank adapters; merged into the weights when the stage is over.

    Attributes:
        rank: Of the adapters.
        alpha: They are multiplied by ``alpha / rank``.
        dropout: On their input.
        parts: Parts whose linear layers get adapters instead of being trained whole. Other parts in
            ``Stage.train`` are trained whole and saved beside the adapters.
    """

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.05
    parts: list[str] = field(default_factory=lambda: ['language_model'])


@dataclass
class Stage:
    """One of the paper's two steps; ``alignment`` and ``enhancement`` have defaults of their own.

    Attributes:
        name: Of its folder in ``output``.
        train: Parts that are trained, see ``PARTS``; everything else is frozen. Paper: alignment the
            spatial projector and the scale decoder with its projector (one module here),
            enhancement everything but the spatial encoder.
        data: Data sets; all of them are mixed.
        rgb_share: Share of the conversations whose picture comes without any geometry. Paper: none
            in alignment; in enhancement every sample as RGB and as RGB+X, so half.
        inputs: Geometry that the others may have. Each gets one of the non-empty subsets of what
            is allowed here and known of its picture, all equally likely.
        questions: Questions about a picture in one conversation at most. RoboRefer: 15.
        learning_rate: At its highest. Paper: 1e-4, then 5e-5.
        weight_decay: Paper: 0.
        warmup_ratio: Share of the steps with a linearly rising rate. Paper: 0.03.
        schedule: Of the rate after that, a name that ``transformers`` knows. NVILA: cosine.
        epochs: Paper: 1.
        max_steps: Stop there, or None for the epochs.
        batch: Conversations per process and pass. Paper: 7, then 6 (2B); 3, then 2 (8B).
        global_batch: Conversations per optimizer step, over all processes and passes: a multiple of
            ``batch`` times the number of processes; gradients are accumulated as it needs. Paper:
            ``batch`` on 64 GPUs. None: one pass of every process.
        lora: Adapters instead of whole parts, or None.
    """

    name: str = 'alignment'
    train: list[str] = field(default_factory=lambda: ['spatial_projector', 'scale_decoder'])
    data: list[DataPart] = field(default_factory=list)
    rgb_share: float = 0.0
    inputs: list[str] = field(default_factory=lambda: list(INPUTS))
    questions: int = 15
    learning_rate: float = 1e-4
    weight_decay: float = 0.0
    warmup_ratio: float = 0.03
    schedule: str = 'cosine'
    epochs: float = 1.0
    max_steps: int | None = None
    batch: int = 7
    global_batch: int | None = 448
    lora: Lora | None = None


#: what differs from the defaults above in stages of these names
STAGE_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    'alignment': {},
    'enhancement': {
        'train': [p for p in PARTS if p != 'spatial_encoder'],
        'rgb_share': 0.5,
        'learning_rate': 5e-5,
        'batch': 6,
        'global_batch': 384,
    },
}


@dataclass
class LargeConfig:
    """Everything that decides about a run.

    Attributes:
        trainer: ``transformers``; ``packed`` chooses
            :class:`~robotracer_ros.training.config.SftConfig` and its loop.
        name: Of the model, for logs.
        model: Checkpoint folder to start from, as ``robotracer assemble`` writes it.
        output: Folder of the run: a folder per stage with checkpoints and ``final``, TensorBoard
            figures, scores.
        seed: Of the order of the data, of what geometry is left out, of adapters.
        device: ``auto`` (CUDA where there is one), ``cpu``, ``cuda``.
        precision: ``fp32``, ``tf32`` or ``bf16`` (autocast; weights and optimizer stay in fp32).
        threads: Of torch on a CPU, per process; 0 leaves them.
        max_tokens: Of a conversation, visual tokens included; questions beyond it are left out.
        gradient_checkpointing: Keep no activations of the layers, compute them again: a third more
            time for a fraction of the memory.
        find_unused: Let DDP look for weights without gradient; ours all have one.
        workers: Processes per training process that read pictures.
        clip: Largest norm of the gradient.
        optimizer: A name that ``transformers`` knows.
        log_steps, save_steps, eval_steps: Optimizer steps between logs, checkpoints and scores;
            ``eval_steps`` 0: no scores.
        keep: Checkpoints that are kept per stage.
        val_cache, val_scenes: Folder of a scene cache and how many to render when it is missing
            (seeds from 0, never in training data).
        eval_scenes: How many of these are asked about.
        eval_tokens: Tokens per answer at most; nine steps of reasoning and a trace in single digits
            are the longest.
        progress: Show a bar.
        stages: One after the other.
    """

    trainer: str = 'transformers'
    name: str = 'robotracer-2b'
    model: str = 'runs/robotracer-2b/assembled'
    output: str = 'runs/robotracer-2b'
    seed: int = 0
    device: str = 'auto'
    precision: str = 'bf16'
    threads: int = 0
    max_tokens: int = 4096
    gradient_checkpointing: bool = True
    find_unused: bool = False
    workers: int = 4
    clip: float = 1.0
    optimizer: str = 'adamw_torch'
    log_steps: int = 10
    save_steps: int = 500
    eval_steps: int = 500
    keep: int = 2
    val_cache: str = 'runs/cache/val'
    val_scenes: int = 500
    eval_scenes: int = 40
    eval_tokens: int = 640
    progress: bool = True
    stages: list[Stage] = field(default_factory=list)




def load_large_config(path: str | Path, **overrides: Any) -> LargeConfig:
    """Read a run's settings; ``overrides`` win over the file.

    Raises:
        InvalidParameterError: a key is unknown or a value does not fit.
    """
    values = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
    if not isinstance(values, dict):
        raise InvalidParameterError(f"'{path}' is no mapping of settings")
    values = {**values, **overrides}
    stages = [_stage(f'{path}: stages[{i}]', s) for i, s in enumerate(_list(path, values, 'stages'))]
    config = fill(LargeConfig, str(path), {**values, 'stages': stages})
    check(config, str(path))
    return config


def _list(where: str | Path, values: Mapping[str, Any], key: str) -> list[Any]:
    found = values.get(key) or []
    if not isinstance(found, list):
        raise InvalidParameterError(f'{where}: {key} is a {type(found).__name__}: must be a list')
    return found


def _stage(where: str, values: Any) -> Stage:
    if not isinstance(values, dict):
        raise InvalidParameterError(f'{where} is a {type(values).__name__}: must be a mapping')
    values = {**STAGE_DEFAULTS.get(str(values.get('name', 'alignment')), {}), **values}
    parts = enumerate(_list(where, values, 'data'))
    values['data'] = [fill(DataPart, f'{where}.data[{i}]', part) for i, part in parts]
    if values.get('lora') is not None:
        values['lora'] = fill(Lora, f'{where}.lora', values['lora'])
    return fill(Stage, where, values)


def check(config: LargeConfig, where: str) -> None:
    """Refuse values that cannot be run.

    Raises:
        InvalidParameterError: names the setting, its value and what is allowed.
    """
    _one_of(where, 'trainer', config.trainer, ('transformers',))
    _one_of(where, 'device', config.device, ('auto', 'cpu', 'cuda'))
    _one_of(where, 'precision', config.precision, PRECISIONS)
    for key in ('max_tokens', 'log_steps', 'save_steps', 'keep', 'eval_tokens', 'eval_scenes'):
        _at_least(where, key, getattr(config, key), 1)
    for key in ('eval_steps', 'workers', 'clip', 'threads', 'seed'):
        _at_least(where, key, getattr(config, key), 0)
    if not config.stages:
        raise InvalidParameterError(f'{where}: stages is empty: name at least one')
    names = [s.name for s in config.stages]
    if len(set(names)) < len(names):
        raise InvalidParameterError(f'{where}: stages {", ".join(names)}: names must differ')
    for i, stage in enumerate(config.stages):
        _check_stage(f"{where}: stages[{i}] '{stage.name}'", stage)


def _check_stage(where: str, stage: Stage) -> None:
    if not stage.name or Path(stage.name).name != stage.name:
        raise InvalidParameterError(f'{where}: name is no name of a folder')
    if not stage.train or not stage.data:
        raise InvalidParameterError(f'{where}: train and data must name something each')
    for part in stage.train:
        _one_of(where, 'train', part, PARTS)
    for name in stage.inputs:
        _one_of(where, 'inputs', name, INPUTS)
    if not 0 <= stage.rgb_share <= 1:
        raise InvalidParameterError(f'{where}: rgb_share {stage.rgb_share}: must be in 0..1')
    if not stage.inputs and stage.rgb_share < 1:
        raise InvalidParameterError(
            f'{where}: inputs is empty and rgb_share {stage.rgb_share}: name inputs or set rgb_share to 1'
        )
    for key in ('questions', 'batch', 'global_batch', 'max_steps'):
        if getattr(stage, key) is not None:
            _at_least(where, key, getattr(stage, key), 1)
    for key in ('learning_rate', 'epochs'):
        if not (getattr(stage, key) > 0 and math.isfinite(getattr(stage, key))):
            raise InvalidParameterError(f'{where}: {key} {getattr(stage, key)}: must be more than 0')
    _at_least(where, 'weight_decay', stage.weight_decay, 0)
    if not 0 <= stage.warmup_ratio < 1:
        raise InvalidParameterError(f'{where}: warmup_ratio {stage.warmup_ratio}: must be in 0..1')
    for source in stage.data:
        if not (source.repeat > 0 and math.isfinite(source.repeat)):
            raise InvalidParameterError(f'{where}: repeat {source.repeat}: must be more than 0')
    if stage.lora is not None:
        _at_least(where, 'lora.rank', stage.lora.rank, 1)
        for name in stage.lora.parts:
            _one_of(where, 'lora.parts', name, stage.train)
        if 'visual_position' in stage.train:
            raise InvalidParameterError(
                f'{where}: visual_position is no module, so no adapter can hold it: leave it out of train'
            )


def accumulation(stage: Stage, processes: int) -> int:
    """Return how many passes make an optimizer step.

    Raises:
        InvalidParameterError: ``global_batch`` is no multiple of what one pass holds.
    """
    together = stage.batch * processes
    if stage.global_batch is None:
        return 1
    if stage.global_batch % together:
        raise InvalidParameterError(
            f"stage '{stage.name}': global_batch {stage.global_batch} is no multiple of {together} "
            f'(batch {stage.batch} x {processes} processes)'
        )
    return stage.global_batch // together


def _one_of(where: str, key: str, value: str, allowed: Any) -> None:
    if value not in allowed:
        raise InvalidParameterError(f"{where}: {key} '{value}': must be one of {', '.join(allowed)}")


def _at_least(where: str, key: str, value: float, least: float) -> None:
    if not value >= least:
        raise InvalidParameterError(f'{where}: {key} {value}: must be at least {least}')
