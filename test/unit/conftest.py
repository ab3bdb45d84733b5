# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""One micro model for all tests of the tracer and its training."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from robotracer_ros.tracer.model.modeling import RoboTracerForConditionalGeneration


@pytest.fixture(scope='session')
def micro_model() -> Callable[..., RoboTracerForConditionalGeneration]:
    """Return a maker of models of a few thousand weights.

    Arguments: ``height`` and ``width`` of the image in pixels, ``text`` options of the decoder, and any
    option of ``RoboTracerConfig``. The vocabulary is that of the shipped tokenizer unless ``text`` says
    otherwise.
    """
    import torch

    from robotracer_ros.tracer.model.config import RoboTracerConfig
    from robotracer_ros.tracer.model.modeling import RoboTracerForConditionalGeneration
    from robotracer_ros.tracer.model.tokenizer import (
        EOS,
        IMAGE,
        PAD,
        SCALE,
        SPATIAL,
        build_tokenizer,
    )

    words = 64 * (len(build_tokenizer()) // 64 + 1)

    def make(
        height: int = 32, width: int = 64, text: dict[str, Any] | None = None, **options: Any
    ) -> RoboTracerForConditionalGeneration:
        torch.manual_seed(1)
        encoder = {
            'hidden_size': 16,
            'stem_channels': [8, 8],
            'image_height': height,
            'image_width': width,
        }
        decoder = {
            'model_type': 'qwen2',
            'hidden_size': 32,
            'intermediate_size': 32,
            'num_hidden_layers': 2,
            'num_attention_heads': 2,
            'num_key_value_heads': 2,
            'vocab_size': words,
            'max_position_embeddings': 512,
        }
        config = RoboTracerConfig(
            vision_config=encoder,
            spatial_config=encoder
            | {'num_hidden_layers': 1, 'num_attention_heads': 2, 'intermediate_size': 16},
            text_config=decoder | (text or {}),
            image_token_id=IMAGE,
            spatial_token_id=SPATIAL,
            scale_token_id=SCALE,
            pad_token_id=PAD,
            eos_token_id=EOS,
            **options,
        )
        model = RoboTracerForConditionalGeneration(config)
        if config.dense_kinds:
            with torch.no_grad():  # every other token a number, the rest units: any text says lengths
                table = model.model.said.table
                table.zero_()
                table[[0, 1, 4]] = -1
                table[0, 6::2] = torch.arange(table[0, 6::2].numel()) % 50
                table[2, 7::2] = 0.01
                model.model.step_reader.gate.bias[-1] = 6.0
        return model

    return make
