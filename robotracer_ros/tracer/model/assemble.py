# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Large models from published parts: a SigLIP, a Qwen decoder with its tokenizer, and the rest new.

The result is a checkpoint folder like any other, with projectors, spatial encoder and scale decoder still
to be trained (the paper's metric alignment).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    SiglipVisionModel,
)

from robotracer_ros.errors import CheckpointError, InvalidParameterError
from robotracer_ros.tracer.model.config import RoboTracerConfig, RoboTracerMapAnythingConfig
from robotracer_ros.tracer.model.modeling import RoboTracerForConditionalGeneration
from robotracer_ros.tracer.model.processor import (
    IMAGE_TOKEN,
    SCALE_TOKEN,
    SPATIAL_TOKEN,
    RoboTracerProcessor,
    turns_of,
)

#: decoders that the model was tried with
LANGUAGE_TYPES = ('qwen2', 'qwen3')
_DTYPES = ('float32', 'bfloat16', 'float16')
_MARKS = (IMAGE_TOKEN, SPATIAL_TOKEN, SCALE_TOKEN)


def load_model_config(path: str | Path, **overrides: Any) -> RoboTracerConfig:
    """Read a model configuration such as ``config/model/robotracer-2b.yaml``.

    Raises:
        InvalidParameterError: the file is no mapping or a value does not fit.
    """
    values = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
    if not isinstance(values, dict):
        raise InvalidParameterError(f"'{path}' is no mapping of settings")
    try:
        return RoboTracerConfig(**{**values, **overrides})
    except (TypeError, ValueError, KeyError) as error:
        raise InvalidParameterError(f"'{path}': {error}") from error


def assemble(
    vision: str | Path,
    language: str | Path,
    out: Path,
    *,
    config: str | Path,
    spatial: str | None = None,
    dtype: str = 'bfloat16',
) -> RoboTracerForConditionalGeneration:
    """Build a model from published parts and write it with its processor.

    Args:
        vision: Folder or hub name of a SigLIP (whole or its vision half), safetensors.
        language: Folder or hub name of a Qwen2, Qwen2.5 or Qwen3 decoder with its tokenizer, safetensors.
        out: Folder that is written; must be empty or absent.
        config: Everything that the parts do not say, e.g. ``config/model/robotracer-2b.yaml``.
        spatial: Folder or hub name of a MapAnything to use as frozen spatial encoder; None: our own.
        dtype: Of the weights.

    Raises:
        CheckpointError: a part is missing, is of another kind or has no safetensors.
        InvalidParameterError: ``out`` is not empty, or an option does not fit.
    """
    if dtype not in _DTYPES:
        raise InvalidParameterError(f"dtype '{dtype}': must be one of {', '.join(_DTYPES)}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InvalidParameterError(f"'{out}' exists and is not an empty folder")
    kind = getattr(torch, dtype)
    seeing = _vision_config(vision)
    with _part('language', language):
        speaking = AutoConfig.from_pretrained(**_where(language)).model_type
    if speaking not in LANGUAGE_TYPES:
        raise CheckpointError(
            f"language part '{language}' is a {speaking}: must be one of {', '.join(LANGUAGE_TYPES)}"
        )
    with _part('language', language):
        decoder = _weights(AutoModelForCausalLM, language, kind)
        tokenizer = AutoTokenizer.from_pretrained(**_where(language))
    _add_marks(tokenizer, decoder)
    composed = _composed(config, seeing, decoder.config, tokenizer, spatial)
    model = _new_parts(composed, kind)
    with _part('vision', vision):
        model.model.vision_tower = _weights(
            SiglipVisionModel, vision, kind, config=composed.vision_config
        )
    model.model.language_model = decoder.model
    model.lm_head = decoder.lm_head
    model.tie_weights()
    model.generation_config.pad_token_id = composed.pad_token_id
    model.generation_config.eos_token_id = composed.eos_token_id
    model.save_pretrained(out)
    RoboTracerProcessor.for_config(composed, tokenizer).save_pretrained(out)
    return model


def summary(model: RoboTracerForConditionalGeneration) -> str:
    """Return a table of the parts and their weights, counted once each."""
    parts = {
        'RGB encoder': model.model.vision_tower,
        'spatial encoder': model.model.spatial_encoder,
        'projectors': nn.ModuleList([model.model.mm_projector, model.model.spatial_projector]),
        'language model': model.model.language_model,
        'scale decoder': model.scale_decoder,
    }
    lines = [f'{name:16} {sum(p.numel() for p in part.parameters()):>13,}' for name, part in parts.items()]
    lines.append(f"{'all':16} {sum(p.numel() for p in model.parameters()):>13,}")
    return '\n'.join(lines)


def _where(source: str | Path) -> dict[str, Any]:
    """Return the loader's options for a folder (nothing is fetched) or a hub name.

    Raises:
        FileNotFoundError: it is a path, and there is no such folder.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return {'pretrained_model_name_or_path': path, 'local_files_only': True}
    if path.is_absolute() or str(source).startswith(('.', '~')) or len(path.parts) > 2:
        raise FileNotFoundError(f'there is no folder {path}')
    return {'pretrained_model_name_or_path': str(source)}


@contextmanager
def _part(name: str, source: str | Path) -> Iterator[None]:
    """Say which part could not be loaded."""
    try:
        yield
    except Exception as error:  # the loaders raise whatever a broken folder provokes
        raise CheckpointError(f"{name} part '{source}' cannot be loaded: {error}") from error


def _weights(kind: Any, source: str | Path, dtype: torch.dtype, **options: Any) -> Any:
    """Load a part from safetensors.

    Raises:
        CheckpointError: weights are missing; transformers would invent them with a warning.
    """
    model, info = kind.from_pretrained(
        **_where(source), dtype=dtype, use_safetensors=True, output_loading_info=True, **options
    )
    if info['missing_keys']:
        missing = sorted(info['missing_keys'])
        raise CheckpointError(f'{len(missing)} weights are missing, the first is {missing[0]}')
    return model


def _vision_config(source: str | Path) -> PreTrainedConfig:
    """Return the configuration of a SigLIP's vision half, without pooling."""
    with _part('vision', source):
        config = AutoConfig.from_pretrained(**_where(source))
    config = getattr(config, 'vision_config', config)
    if config.model_type != 'siglip_vision_model':
        raise CheckpointError(
            f"vision part '{source}' is a {config.model_type}: must be a SigLIP of fixed input size"
        )
    config.vision_use_head = False
    return config


def _add_marks(tokenizer: PreTrainedTokenizerBase, decoder: Any) -> None:
    """Teach tokenizer and decoder the placeholders and, where there are none, marks of turns."""
    marks = list(_MARKS)
    try:
        turns_of(tokenizer)
    except InvalidParameterError:
        marks += ['<user>', '<assistant>']
    tokenizer.add_tokens(marks, special_tokens=True)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if len(tokenizer) > decoder.config.vocab_size:
        decoder.resize_token_embeddings(-(-len(tokenizer) // 64) * 64, mean_resizing=False)
    # Rows that nothing was trained on begin as the mean of all: no direction of their own, usual size.
    ids = tokenizer.convert_tokens_to_ids(marks)
    with torch.no_grad():
        for weight in {decoder.get_input_embeddings().weight, decoder.get_output_embeddings().weight}:
            weight[ids] = weight[: min(ids)].float().mean(0).to(weight.dtype)


def _composed(
    path: str | Path,
    seeing: PreTrainedConfig,
    speaking: PreTrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
    spatial: str | None,
) -> RoboTracerConfig:
    """Return the configuration of the whole: parts as they are, the rest from a file."""
    base = load_model_config(path)
    side = seeing.image_size // seeing.patch_size
    knowing = base.spatial_config
    if spatial is not None:
        knowing = RoboTracerMapAnythingConfig(weights=spatial)
    knowing.image_height = knowing.image_width = side * knowing.patch_size
    merged = base.visual_downsample
    if side % merged:
        raise InvalidParameterError(
            f'visual_downsample {merged} does not divide the {side} patches per side of the vision part: '
            f"set it in a copy of '{path}'"
        )
    end = turns_of(tokenizer).end.strip()
    image, spatial_mark, scale = tokenizer.convert_tokens_to_ids(list(_MARKS))
    values = base.to_dict()
    values.update(
        vision_config=seeing,
        spatial_config=knowing,
        text_config=speaking,
        tie_word_embeddings=speaking.tie_word_embeddings,
        image_token_id=image,
        spatial_token_id=spatial_mark,
        scale_token_id=scale,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.convert_tokens_to_ids(end),
    )
    return RoboTracerConfig(**values)


def _new_parts(config: RoboTracerConfig, dtype: torch.dtype) -> RoboTracerForConditionalGeneration:
    """Return the model with everything new initialised and the published parts without layers.

    They are put in afterwards; to fill billions of weights with random numbers first would cost minutes
    and twice the memory.
    """
    small = RoboTracerConfig(**config.to_dict())
    for part in (small.vision_config, small.text_config):
        part.num_hidden_layers = 0
        if getattr(part, 'layer_types', None):
            part.layer_types = []
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        model = RoboTracerForConditionalGeneration(small)
    finally:
        torch.set_default_dtype(before)
    model.config = model.model.config = config
    return model
