# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""MapAnything as the universal spatial encoder, frozen, behind the interface of our own encoder.

What the paper uses: MapAnything without its dense and pose heads. The package and its weights are the
user's (``pip install git+https://github.com/facebookresearch/map-anything``, Apache-2.0). The weights of
``facebook/map-anything-apache`` are Apache-2.0, those of ``facebook/map-anything`` CC-BY-NC-4.0. They are
loaded at the first use, stay outside of our checkpoints and never learn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel

from robotracer_ros.errors import CheckpointError, MissingPackageError
from robotracer_ros.tracer.model.config import RoboTracerMapAnythingConfig
from robotracer_ros.tracer.model.encoders import Geometry


@dataclass(frozen=True)
class _Parts:
    """The foreign model and what is needed to call it."""

    model: Any
    normalizations: Any
    transformer_input: Any
    validate: Any
    preprocess: Any


class RoboTracerMapAnything(PreTrainedModel):
    """RGB and any subset of rays, depth and pose to tokens (B, N, hidden).

    Absent inputs are left out of what MapAnything gets, sample by sample. Depth without rays is left
    out too, because MapAnything measures it along rays. Its poses are relative to the first of several
    views, so that nothing is left of the pose of one view: the pose in the gravity frame enters through
    a small perceptron of our own, which learns, and a learned vector stands for its absence.
    """

    config_class = RoboTracerMapAnythingConfig
    main_input_name = 'rgb'
    base_model_prefix = 'spatial'
    _supports_sdpa = True

    def __init__(self, config: RoboTracerMapAnythingConfig) -> None:
        super().__init__(config)
        d = config.hidden_size
        self.pose = nn.Sequential(nn.Linear(8, d), nn.GELU(), nn.Linear(d, d))
        self.missing_pose = nn.Parameter(torch.zeros(d))
        # In a list, which torch does not look into: no weights of it in our checkpoints or optimizers.
        self._loaded: list[_Parts] = []
        self.post_init()

    def forward(self, rgb: Tensor, geometry: Geometry) -> Tensor:
        """Encode RGB (B, 3, H, W) in -1..1 with what geometry is present.

        Raises:
            MissingPackageError: ``mapanything`` is not installed.
            CheckpointError: its weights cannot be loaded or have another width.
        """
        config, parts = self.config, self._parts(rgb.device)
        grid = config.image_height // config.patch_size, config.image_width // config.patch_size
        subsets = geometry.present[:, :2] & geometry.present[:, :1]
        tokens = rgb.new_zeros(len(rgb), config.hidden_size, *grid, dtype=torch.float32)
        # MapAnything takes or leaves an input for a whole batch.
        for subset in subsets.unique(dim=0):
            rows = (subsets == subset).all(1)
            features = self._features(parts, rgb[rows], geometry, rows, *subset.tolist())
            tokens[rows] = F.interpolate(features, grid, mode='bilinear', antialias=True)
        x = tokens.flatten(2).transpose(1, 2).to(self.missing_pose.dtype)
        has = geometry.present[:, 2:]
        pose = torch.where(has, geometry.pose, 0.0).to(x.dtype)
        return x + torch.where(has, self.pose(pose), self.missing_pose)[:, None]

    @torch.no_grad()
    def _features(
        self,
        parts: _Parts,
        rgb: Tensor,
        geometry: Geometry,
        rows: Tensor,
        with_rays: bool,
        with_depth: bool,
    ) -> Tensor:
        """Return the features (b, hidden, h, w) of samples that have the same inputs."""
        model, size = parts.model, (self.config.input_height, self.config.input_width)
        kind = model.encoder.data_norm_type
        norm = parts.normalizations[kind]
        mean, std = (v.to(rgb.device).view(1, 3, 1, 1) for v in (norm.mean, norm.std))
        image = F.interpolate(rgb.float(), size, mode='bilinear', antialias=True)
        view: dict[str, Any] = {'img': ((image + 1) / 2 - mean) / std, 'data_norm_type': [kind]}
        if with_rays:
            rays = F.interpolate(geometry.rays[rows].float(), size, mode='bilinear')
            view['ray_directions'] = F.normalize(rays, dim=1).permute(0, 2, 3, 1)
        if with_depth:
            depth = geometry.depth[rows].float()
            depth = torch.where(torch.isfinite(depth) & (depth > 0), depth, 0.0)
            # Never blended: between two surfaces there is none.
            view['depth_z'] = F.interpolate(depth, size, mode='nearest-exact')[:, 0]
            view['is_metric_scale'] = torch.ones(len(rgb), dtype=torch.bool, device=rgb.device)
        views = parts.preprocess(parts.validate([view]))
        cuda = rgb.device.type == 'cuda'
        with torch.autocast(rgb.device.type, dtype=torch.bfloat16, enabled=cuda):
            seen, registers = model._encode_n_views(views)
            with torch.autocast(rgb.device.type, enabled=False):
                fused = model._encode_and_fuse_optional_geometric_inputs(views, seen)
            scale = model.scale_token[None, :, None].expand(len(rgb), -1, 1)
            out = model.info_sharing(
                parts.transformer_input(
                    features=fused,
                    additional_input_tokens_per_view=registers,
                    additional_input_tokens=scale,
                )
            )
        if model.info_sharing_return_type == 'intermediate_features':
            out = out[0]
        features = out.features[0].float()
        if features.shape[1] != self.config.hidden_size:
            raise CheckpointError(
                f"'{self.config.weights}' has tokens of width {features.shape[1]}: the configuration says "
                f'{self.config.hidden_size}'
            )
        return features

    def _parts(self, device: torch.device) -> _Parts:
        """Return the foreign model on a device, loaded at the first call."""
        if not self._loaded:
            self._loaded.append(_load(self.config.weights))
        self._loaded[0].model.to(device)
        return self._loaded[0]


def _load(weights: str) -> _Parts:
    try:
        from mapanything.models import MapAnything
        from mapanything.utils.inference import (
            preprocess_input_views_for_inference,
            validate_input_views_for_inference,
        )
        from uniception.models.encoders.image_normalizations import IMAGE_NORMALIZATION_DICT
        from uniception.models.info_sharing.base import MultiViewTransformerInput
    except ImportError as error:
        raise MissingPackageError(
            f'the spatial encoder robotracer_map_anything needs the package mapanything ({error}): '
            'pip install git+https://github.com/facebookresearch/map-anything'
        ) from error
    try:
        model = MapAnything.from_pretrained(weights)
    except Exception as error:  # whatever the loader of another package raises
        raise CheckpointError(f"MapAnything '{weights}' cannot be loaded: {error}") from error
    model.eval().requires_grad_(False)
    # Outside of `infer` it drops inputs at random, as in its training.
    model._configure_geometric_input_config(
        use_calibration=True, use_depth=True, use_pose=True, use_depth_scale=True, use_pose_scale=True
    )
    return _Parts(
        model,
        IMAGE_NORMALIZATION_DICT,
        MultiViewTransformerInput,
        validate_input_views_for_inference,
        preprocess_input_views_for_inference,
    )


AutoModel.register(RoboTracerMapAnythingConfig, RoboTracerMapAnything)
