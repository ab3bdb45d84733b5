# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Configuration of RoboTracer: tiny, 2B and 8B differ only in these numbers."""

from __future__ import annotations

from typing import Any, ClassVar

from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig


class RoboTracerVisionConfig(PreTrainedConfig):
    """Small convolutional RGB encoder of the tiny model; large models put a SigLIP here.

    Attributes:
        hidden_size: Width of the output tokens.
        stem_channels: Channels at stride 4 and 8.
        patch_size: Stride of the output tokens, always 16.
        image_height, image_width: Input size in pixels, multiples of 16.
    """

    model_type = 'robotracer_vision'
    hidden_size: int = 192
    stem_channels: tuple[int, ...] | list[int] = (48, 96)
    patch_size: int = 16
    image_height: int = 240
    image_width: int = 320


class RoboTracerSpatialConfig(PreTrainedConfig):
    """Universal spatial encoder: RGB with any subset of intrinsics, metric depth and pose.

    Attributes:
        hidden_size: Width of the output tokens.
        stem_channels: Channels at stride 4 and 8.
        num_hidden_layers, num_attention_heads, intermediate_size: Transformer blocks on the tokens.
        patch_size: Stride of the output tokens, always 16.
        image_height, image_width: Input size in pixels, multiples of 16.
        position_bands: Octaves of the Fourier features of (u, v, log d).
    """

    model_type = 'robotracer_spatial'
    hidden_size: int = 256
    stem_channels: tuple[int, ...] | list[int] = (64, 128)
    num_hidden_layers: int = 2
    num_attention_heads: int = 8
    intermediate_size: int = 512
    patch_size: int = 16
    image_height: int = 240
    image_width: int = 320
    position_bands: int = 8


class RoboTracerMapAnythingConfig(PreTrainedConfig):
    """MapAnything as spatial encoder, see :mod:`robotracer_ros.tracer.model.map_anything`.

    Attributes:
        weights: Folder or hub name that ``MapAnything.from_pretrained`` understands.
        hidden_size: Width of its tokens, 1536 in the published models.
        input_height, input_width: Pixels that it is shown, multiples of its patch size; 4:3 like most
            cameras, although the packed planes may be square.
        patch_size, image_height, image_width: Our grid: tokens are resampled to
            ``image_height / patch_size`` rows.
    """

    model_type = 'robotracer_map_anything'
    weights: str = 'facebook/map-anything-apache'
    hidden_size: int = 1536
    input_height: int = 392
    input_width: int = 518
    patch_size: int = 16
    image_height: int = 512
    image_width: int = 512


class RoboTracerConfig(PreTrainedConfig):
    """Composition: vision encoder, spatial encoder, two projectors, Qwen2-class decoder, scale
    decoder.

    Attributes:
        vision_config, spatial_config, text_config: Parts; dictionaries choose the class by
            ``model_type``.
        image_token_id, spatial_token_id, scale_token_id: Placeholders in the token sequence.
        fuse_tokens: One token per patch position, the sum of both projections (tiny); False: an
            image sequence and a
            spatial sequence, as in the paper.
        shared_image_position: All visual tokens take rotary position 0, so that their order says
            nothing and matching is
            by content and by the Fourier features of (u, v, d).
        bidirectional_prefix: Visual tokens and ``<SCALE>`` see each other both ways.
        scale_loss_weight: Weight of ``(log s - log s*)^2``.
        pointer_heads: (layer, head) pairs whose attention is supervised during training.
        dense_kinds, dense_colors: Classes of the auxiliary per-patch heads; 0 leaves the heads out.
    """

    model_type = 'robotracer'
    sub_configs: ClassVar[dict[str, Any]] = {
        'vision_config': AutoConfig,
        'spatial_config': AutoConfig,
        'text_config': AutoConfig,
    }
    vision_config: Any = None
    spatial_config: Any = None
    text_config: Any = None
    image_token_id: int = 3
    spatial_token_id: int = 4
    scale_token_id: int = 5
    fuse_tokens: bool = True
    visual_downsample: int = 1
    shared_image_position: bool = True
    bidirectional_prefix: bool = True
    scale_loss_weight: float = 0.1
    pointer_heads: tuple[tuple[int, int], ...] | list[list[int]] = ((3, 0), (4, 0))
    dense_kinds: int = 0
    dense_colors: int = 0
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        def make(value: dict[str, Any] | PreTrainedConfig | None, default: str) -> PreTrainedConfig:
            if isinstance(value, PreTrainedConfig):
                return value
            options = dict(value or {})
            return CONFIG_MAPPING[options.pop('model_type', default)](**options)

        self.vision_config = make(self.vision_config, 'robotracer_vision')
        self.spatial_config = make(self.spatial_config, 'robotracer_spatial')
        self.text_config = make(self.text_config, 'qwen2')
        super().__post_init__(**kwargs)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the visual tokens of one encoder."""
        c, k = self.spatial_config, self.visual_downsample
        return c.image_height // c.patch_size // k, c.image_width // c.patch_size // k

    @property
    def visual_tokens(self) -> int:
        """Placeholder tokens of one image."""
        rows, cols = self.grid
        return rows * cols if self.fuse_tokens else 2 * rows * cols


AutoConfig.register('robotracer_vision', RoboTracerVisionConfig)
AutoConfig.register('robotracer_spatial', RoboTracerSpatialConfig)
AutoConfig.register('robotracer_map_anything', RoboTracerMapAnythingConfig)
AutoConfig.register('robotracer', RoboTracerConfig)
