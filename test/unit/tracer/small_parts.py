# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Published parts in small: a SigLIP and a Qwen of random weights, saved as ``transformers`` saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    SiglipConfig,
    SiglipModel,
    SiglipVisionModel,
)

from robotracer_ros.resources import resource

LARGE = resource('config/model/robotracer-2b.yaml')

#: options of a ``RoboTracerConfig`` that trains a step in a moment, for ``SftConfig.model``
SMALL = {
    'vision_config': {'hidden_size': 16, 'stem_channels': [8, 8]},
    'spatial_config': {
        'hidden_size': 16, 'stem_channels': [8, 8], 'num_hidden_layers': 1,
        'num_attention_heads': 2, 'intermediate_size': 16, 'position_bands': 4,
    },
    'text_config': {
        'model_type': 'qwen2', 'hidden_size': 32, 'intermediate_size': 32, 'num_hidden_layers': 2,
        'num_attention_heads': 2, 'num_key_value_heads': 2, 'max_position_embeddings': 1024,
        'tie_word_embeddings': True,
    },
    'pointer_heads': [[1, 0]],
}


def make_vision(folder: Path, whole: bool) -> None:
    """Save a SigLIP of random weights as it is published: whole, or the vision half."""
    torch.manual_seed(2)
    small = {'hidden_size': 24, 'intermediate_size': 48, 'num_hidden_layers': 2, 'num_attention_heads': 2}
    config = SiglipConfig(
        text_config={**small, 'vocab_size': 32}, vision_config={**small, 'image_size': 32, 'patch_size': 8}
    )
    model = SiglipModel(config)
    if whole:
        model.save_pretrained(folder)
    else:
        SiglipVisionModel(config.vision_config).save_pretrained(folder)


def make_tokenizer(chatml: bool) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer on a few words."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    special = ['<|endoftext|>'] + (['<|im_start|>', '<|im_end|>'] if chatml else [])
    trainer = trainers.BpeTrainer(
        vocab_size=280,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=special,
        show_progress=False,
    )
    backend.train_from_iterator(['point to the red mug'] * 9, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token=special[-1], pad_token='<|endoftext|>', padding_side='left'
    )


def make_language(
    folder: Path, chatml: bool = True, qwen3: bool = False, tied: bool = True, vocabulary: int = 300
) -> None:
    """Save a Qwen of random weights with its tokenizer."""
    torch.manual_seed(3)
    tokenizer = make_tokenizer(chatml)
    options: dict[str, Any] = {
        'hidden_size': 32,
        'intermediate_size': 48,
        'num_hidden_layers': 2,
        'num_attention_heads': 4,
        'num_key_value_heads': 2,
        'vocab_size': vocabulary,
        'max_position_embeddings': 512,
        'tie_word_embeddings': tied,
    }
    if qwen3:
        model = Qwen3ForCausalLM(Qwen3Config(**options, head_dim=8))
    else:
        model = Qwen2ForCausalLM(Qwen2Config(**options))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def small_config(path: Path) -> Path:
    """Write the 2B's settings with a spatial encoder that a test can afford."""
    text = LARGE.read_text()
    for old, new in (
        ('hidden_size: 768', 'hidden_size: 16'),
        ('[128, 256]', '[8, 8]'),
        ('num_hidden_layers: 8', 'num_hidden_layers: 1'),
        ('num_attention_heads: 12\n  intermediate_size: 3072', 'num_attention_heads: 2\n  intermediate_size: 16'),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)
    return path
