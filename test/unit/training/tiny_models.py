# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Tiny, randomly initialised models of the classes that look at pictures, written as ``save_pretrained`` does."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers as tf
from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '.', 'cup', 'mug', 'bowl', 'a', 'red', 'on', '[DEC]', '[ENC]')


def _tokenizer() -> Tokenizer:
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token='[UNK]'))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single='[CLS] $A [SEP]', special_tokens=[('[CLS]', 2), ('[SEP]', 3)]
    )
    return made


def _bert() -> tf.PreTrainedTokenizerFast:
    return tf.BertTokenizer(tokenizer_object=_tokenizer(), vocab={w: i for i, w in enumerate(WORDS)})


def owlv2(folder: Path) -> Path:
    """Write an OWLv2 detector of 64x64 pixels."""
    torch.manual_seed(0)
    text = {
        'vocab_size': len(WORDS),
        'hidden_size': 16,
        'intermediate_size': 16,
        'num_hidden_layers': 1,
        'num_attention_heads': 2,
        'max_position_embeddings': 16,
        'pad_token_id': 0,
        'bos_token_id': 2,
        'eos_token_id': 3,
    }
    vision = {
        'hidden_size': 16,
        'intermediate_size': 16,
        'num_hidden_layers': 1,
        'num_attention_heads': 2,
        'image_size': 64,
        'patch_size': 16,
    }
    config = tf.Owlv2Config(text_config=text, vision_config=vision, projection_dim=16)
    model = tf.Owlv2ForObjectDetection(config)
    # Random heads say boxes of no size; without weights the last layer leaves the grid that they start from.
    torch.nn.init.zeros_(model.box_head.dense2.weight)
    torch.nn.init.zeros_(model.box_head.dense2.bias)
    model.save_pretrained(folder)
    words = tf.PreTrainedTokenizerFast(
        tokenizer_object=_tokenizer(), pad_token='[PAD]', unk_token='[UNK]', model_max_length=16
    )
    image = tf.Owlv2ImageProcessorPil(size={'height': 64, 'width': 64})
    tf.Owlv2Processor(image, words).save_pretrained(folder)
    return folder


def grounding_dino(folder: Path) -> Path:
    """Write a GroundingDINO detector with a tiny Swin backbone."""
    torch.manual_seed(0)
    backbone = tf.SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1], window_size=4,
        out_features=['stage2', 'stage3', 'stage4'],
    )  # fmt: skip
    text = tf.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=64,
    )  # fmt: skip
    config = tf.GroundingDinoConfig(
        backbone_config=backbone, text_config=text, d_model=32, encoder_layers=1, decoder_layers=2,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16,
        num_queries=20, num_feature_levels=4, encoder_n_points=2, decoder_n_points=2, max_text_len=64,
    )  # fmt: skip
    tf.GroundingDinoForObjectDetection(config).save_pretrained(folder)
    image = tf.GroundingDinoImageProcessorPil(size={'shortest_edge': 64, 'longest_edge': 96})
    tf.GroundingDinoProcessor(image, _bert()).save_pretrained(folder)
    return folder


def detr(folder: Path) -> Path:
    """Write a DETR-class detector with fixed classes: YOLOS of 64x64 pixels."""
    torch.manual_seed(0)
    config = tf.YolosConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        image_size=[64, 64], patch_size=16, num_detection_tokens=12,
        id2label={0: 'cup', 1: 'bowl', 2: 'N/A'}, label2id={'cup': 0, 'bowl': 1, 'N/A': 2},
    )  # fmt: skip
    tf.YolosForObjectDetection(config).save_pretrained(folder)
    tf.YolosImageProcessorPil(size={'shortest_edge': 64, 'longest_edge': 96}).save_pretrained(folder)
    return folder


def sam(folder: Path) -> Path:
    """Write a SAM segmenter of 64x64 pixels."""
    torch.manual_seed(0)
    config = tf.SamConfig(
        vision_config={
            'hidden_size': 16, 'output_channels': 16, 'num_hidden_layers': 1, 'num_attention_heads': 2,
            'image_size': 64, 'patch_size': 16, 'window_size': 2, 'global_attn_indexes': [0],
            'num_pos_feats': 8, 'mlp_dim': 16,
        },
        prompt_encoder_config={
            'hidden_size': 16, 'image_size': 64, 'patch_size': 16, 'mask_input_channels': 4,
        },
        mask_decoder_config={
            'hidden_size': 16, 'mlp_dim': 16, 'num_hidden_layers': 1, 'num_attention_heads': 2,
            'iou_head_hidden_dim': 16,
        },
    )  # fmt: skip
    tf.SamModel(config).save_pretrained(folder)
    image = tf.SamImageProcessorPil(
        size={'longest_edge': 64}, pad_size={'height': 64, 'width': 64},
        mask_size={'longest_edge': 16}, mask_pad_size={'height': 16, 'width': 16},
    )  # fmt: skip
    tf.SamProcessor(image).save_pretrained(folder)
    return folder


def depth_anything(folder: Path, kind: str = 'metric') -> Path:
    """Write a Depth Anything model that tells metres up to 20, or relative depth."""
    torch.manual_seed(0)
    backbone = tf.Dinov2Config(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, mlp_ratio=1, image_size=56,
        patch_size=14, out_indices=[1, 2, 3, 4], apply_layernorm=True, reshape_hidden_states=False,
    )  # fmt: skip
    config = tf.DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=16, patch_size=14,
        neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8, head_hidden_size=8,
        reassemble_factors=[4, 2, 1, 0.5], depth_estimation_type=kind, max_depth=20,
    )  # fmt: skip
    tf.DepthAnythingForDepthEstimation(config).save_pretrained(folder)
    tf.DPTImageProcessorPil(
        size={'height': 56, 'width': 56}, keep_aspect_ratio=True, ensure_multiple_of=14
    ).save_pretrained(folder)
    return folder


def blip(folder: Path) -> Path:
    """Write a BLIP captioner of 32x32 pixels."""
    torch.manual_seed(0)
    config = tf.BlipConfig(
        text_config={
            'vocab_size': len(WORDS), 'hidden_size': 16, 'encoder_hidden_size': 16,
            'intermediate_size': 16, 'projection_dim': 16, 'num_hidden_layers': 1,
            'num_attention_heads': 2, 'max_position_embeddings': 32, 'bos_token_id': 11,
            'pad_token_id': 0, 'sep_token_id': 3, 'eos_token_id': 2,
        },
        vision_config={
            'hidden_size': 16, 'intermediate_size': 16, 'projection_dim': 16, 'num_hidden_layers': 1,
            'num_attention_heads': 2, 'image_size': 32, 'patch_size': 16,
        },
    )  # fmt: skip
    tf.BlipForConditionalGeneration(config).save_pretrained(folder)
    image = tf.BlipImageProcessorPil(size={'height': 32, 'width': 32})
    tf.BlipProcessor(image, _bert()).save_pretrained(folder)
    return folder


def assembled(folder: Path) -> Path:
    """Write a RoboTracer that ``assemble`` puts together of a tiny SigLIP and a tiny Qwen2."""
    from small_parts import make_language, make_vision, small_config

    from robotracer_ros.tracer.model.assemble import assemble

    make_vision(folder / 'vision', whole=False)
    make_language(folder / 'language')
    config = small_config(folder / 'model.yaml')
    assemble(folder / 'vision', folder / 'language', folder / 'out', config=config, dtype='float32')
    return folder / 'out'
