# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The MapAnything adapter against a stand-in with the interface of mapanything 1.1 and uniception 0.1.7.

The package needs a hub and torch.hub to load; neither is reachable in CI. The stand-in has the members
that the adapter calls, with their names, shapes, conventions and checks, and the same random dropping of
inputs outside of ``infer``; its weights are random and small.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText

from robotracer_ros.errors import CheckpointError, MissingPackageError
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.tracer.model.config import RoboTracerMapAnythingConfig
from robotracer_ros.tracer.model.encoders import Geometry, unpack
from robotracer_ros.tracer.model.images import pack_image
from robotracer_ros.tracer.model.map_anything import RoboTracerMapAnything
from robotracer_ros.tracer.model.modeling import RoboTracerForConditionalGeneration
from robotracer_ros.tracer.model.tokenizer import IMAGE, SCALE, SPATIAL

WIDTH, PATCH = 12, 14
ALLOWED = {'img', 'data_norm_type', 'ray_directions', 'intrinsics', 'depth_z', 'camera_poses', 'is_metric_scale'}
Micro = Callable[..., RoboTracerForConditionalGeneration]


@dataclass
class TransformerInput:
    """As ``uniception.models.info_sharing.base.MultiViewTransformerInput``."""

    features: list[Tensor]
    additional_input_tokens: Tensor | None = None
    additional_input_tokens_per_view: list[Tensor] | None = None


def validate(views: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Refuse what ``validate_input_views_for_inference`` refuses."""
    for view in views:
        if set(view) - ALLOWED or not {'img', 'data_norm_type'} <= set(view):
            raise ValueError(f'keys {sorted(view)}')
        if 'depth_z' in view and not {'intrinsics', 'ray_directions'} & set(view):
            raise ValueError('depth_z without calibration')
    return views


def preprocess(views: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rename and convert as ``preprocess_input_views_for_inference`` does."""
    done = []
    for view in views:
        new = {'img': view['img'], 'data_norm_type': view['data_norm_type']}
        new['is_metric_scale'] = view.get('is_metric_scale', torch.ones(len(view['img']), dtype=torch.bool))
        if 'ray_directions' in view:
            new['ray_directions_cam'] = view['ray_directions']
            if 'depth_z' in view:
                per_z = view['ray_directions'] / view['ray_directions'][..., 2:3]
                new['depth_along_ray'] = (view['depth_z'][..., None] * per_z).norm(dim=-1, keepdim=True)
        done.append(new)
    return done


class InfoSharing(nn.Module):
    """Mixes all tokens of a view with the scale token; returns (final, intermediate)."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(WIDTH, WIDTH)

    def forward(self, given: TransformerInput) -> tuple[SimpleNamespace, list[SimpleNamespace]]:
        """Return features (b, WIDTH, h, w) per view."""
        assert given.additional_input_tokens is not None
        assert given.additional_input_tokens.shape[1:] == (WIDTH, 1)
        out = []
        for x in given.features:
            y = x + given.additional_input_tokens[..., None]
            y = y + y.mean((2, 3), keepdim=True)
            out.append(self.mix(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
        return SimpleNamespace(features=out), []


class MapAnything(nn.Module):
    """The members of ``mapanything.models.MapAnything`` that an encoder without heads needs."""

    loads = 0

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.encoder = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.encoder.data_norm_type = 'dinov2'
        self.rays = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.depth = nn.Conv2d(1, WIDTH, PATCH, PATCH)
        self.scale_token = nn.Parameter(torch.randn(WIDTH))
        self.info_sharing = InfoSharing()
        self.info_sharing_return_type = 'intermediate_features'
        self.keep = {'rays': 0.5, 'depth': 0.5}
        self.seen: list[dict[str, Any]] = []

    @classmethod
    def from_pretrained(cls, source: str) -> MapAnything:
        """Make it; the name of the weights decides whether that works."""
        if 'broken' in source:
            raise OSError('no such weights')
        cls.loads += 1
        return cls()

    def _configure_geometric_input_config(
        self, use_calibration: bool, use_depth: bool, use_pose: bool, use_depth_scale: bool, use_pose_scale: bool
    ) -> None:
        self.keep = {'rays': float(use_calibration), 'depth': float(use_depth)}

    def _encode_n_views(self, views: list[dict[str, Any]]) -> tuple[list[Tensor], None]:
        self.seen += views
        assert views[0]['data_norm_type'] == ['dinov2']
        return [self.encoder(view['img']) for view in views], None

    def _encode_and_fuse_optional_geometric_inputs(
        self, views: list[dict[str, Any]], features: list[Tensor]
    ) -> list[Tensor]:
        done = []
        for view, x in zip(views, features, strict=True):
            for key, module, name in (
                ('ray_directions_cam', self.rays, 'rays'),
                ('depth_along_ray', self.depth, 'depth'),
            ):
                if key in view and float(torch.rand(1)) < self.keep[name]:
                    x = x + module(view[key].permute(0, 3, 1, 2))
            done.append(x)
        return done


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> type[MapAnything]:
    """Install the stand-in as packages."""
    norm = SimpleNamespace(mean=torch.tensor([0.485, 0.456, 0.406]), std=torch.tensor([0.229, 0.224, 0.225]))
    for name, members in {
        'mapanything': {},
        'mapanything.models': {'MapAnything': MapAnything},
        'mapanything.utils': {},
        'mapanything.utils.inference': {
            'validate_input_views_for_inference': validate,
            'preprocess_input_views_for_inference': preprocess,
        },
        'uniception': {},
        'uniception.models': {},
        'uniception.models.encoders': {},
        'uniception.models.encoders.image_normalizations': {'IMAGE_NORMALIZATION_DICT': {'dinov2': norm}},
        'uniception.models.info_sharing': {},
        'uniception.models.info_sharing.base': {'MultiViewTransformerInput': TransformerInput},
    }.items():
        module = ModuleType(name)
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(MapAnything, 'loads', 0)
    return MapAnything


def adapter(**options: Any) -> RoboTracerMapAnything:
    """Return an adapter with a grid of 3 rows and 4 columns."""
    torch.manual_seed(0)
    config = RoboTracerMapAnythingConfig(
        hidden_size=WIDTH, input_height=2 * PATCH, input_width=3 * PATCH, image_height=48, image_width=64, **options
    )
    made = RoboTracerMapAnything(config)
    with torch.no_grad():
        made.missing_pose.normal_()
        for module in made.pose:
            if isinstance(module, nn.Linear):
                module.weight.normal_()
    return made


def pixels(seed: int = 0) -> Tensor:
    """Return packed pixels (1, 15, 48, 64) with everything."""
    rng = np.random.default_rng(seed)
    pose = np.eye(4)
    pose[:3, 3] = (0.3, 0.1, 0.9)
    return pack_image(
        rng.integers(0, 255, (48, 64, 3), np.uint8),
        rng.uniform(0.5, 2, (48, 64)),
        CameraModel(64, 48, 60, 60, 31.5, 23.5),
        pose,
        width=64,
        height=48,
    )[None]


def test_missing_package_is_named() -> None:
    if 'mapanything' in sys.modules:
        pytest.fail('the stand-in of another test is still installed')
    with pytest.raises(MissingPackageError, match=r'mapanything.*pip install git'):
        adapter()(*unpack(pixels()))


def test_weights_that_do_not_load_or_fit(installed: type[MapAnything]) -> None:
    with pytest.raises(CheckpointError, match='broken'):
        adapter(weights='broken')(*unpack(pixels()))
    model = RoboTracerMapAnything(
        RoboTracerMapAnythingConfig(hidden_size=8, input_height=PATCH, input_width=PATCH)
    )
    with pytest.raises(CheckpointError, match='width 12'):
        model(*unpack(pixels()))


def test_what_map_anything_is_given(installed: type[MapAnything]) -> None:
    """Normalised colours, unit rays of the same view, depth of the nearest pixel along them."""
    model = adapter()
    packed = pixels()
    packed[:, 6, :, :32] = 0
    tokens = model(*unpack(packed))
    assert tokens.shape == (1, 12, WIDTH)
    (view,) = model._loaded[0].model.seen
    assert view['img'].shape == (1, 3, 28, 42)
    low, high = (0 - 0.485) / 0.229, (1 - 0.485) / 0.229
    assert low - 1e-5 <= view['img'][0, 0].min() < view['img'][0, 0].max() <= high + 1e-5
    rays, depth = view['ray_directions_cam'][0], view['depth_along_ray'][0, ..., 0]
    assert torch.allclose(rays.norm(dim=-1), torch.ones(28, 42), atol=1e-5)
    expected = torch.from_numpy(CameraModel(64, 48, 60, 60, 31.5, 23.5).resized(42, 28).rays())
    assert torch.allclose(rays, expected, atol=0.02)
    assert not depth[:, :20].any()
    z = depth[:, 22:] * rays[:, 22:, 2]
    assert set(z.flatten().round(decimals=4).tolist()) <= set(packed[0, 6].flatten().round(decimals=4).tolist())
    assert view['is_metric_scale'].tolist() == [True]


@pytest.mark.parametrize('present', list(itertools.product([True, False], repeat=3)))
def test_absent_inputs_change_nothing_and_present_ones_do(
    installed: type[MapAnything], present: tuple[bool, bool, bool]
) -> None:
    """Every subset; without rays there is no depth either."""
    model = adapter()
    rgb, full = unpack(pixels())
    mask = torch.tensor([present])
    parts = [full.rays, full.depth, full.pose]
    with torch.no_grad():
        known = model(rgb, Geometry(*parts, mask))
        assert torch.equal(known, model(rgb, Geometry(*parts, mask)))  # nothing is dropped at random
        for i, part in enumerate(parts):
            noisy = part.abs() + torch.rand_like(part)
            changed = model(rgb, Geometry(*parts[:i], noisy, *parts[i + 1 :], mask))
            used = present[i] and (i != 1 or present[0])
            assert torch.equal(known, changed) != used
            if not used:
                nan = torch.full_like(part, float('nan'))
                assert torch.equal(known, model(rgb, Geometry(*parts[:i], nan, *parts[i + 1 :], mask)))


def test_samples_of_a_batch_keep_their_own_inputs(installed: type[MapAnything]) -> None:
    model = adapter()
    batch = torch.cat([pixels(0), pixels(1), pixels(2), pixels(3)])
    batch[1, 3:6], batch[2, 6], batch[3, 3:] = 0, 0, 0
    with torch.no_grad():
        together = model(*unpack(batch))
        alone = torch.cat([model(*unpack(batch[i : i + 1])) for i in range(4)])
    assert torch.allclose(together, alone, atol=1e-5)
    assert installed.loads == 1


def test_as_part_of_the_model(installed: type[MapAnything], micro_model: Micro, tmp_path: Path) -> None:
    """Frozen, in no checkpoint and no optimizer; the rest learns; saved and loaded by name."""
    spatial = adapter().config
    spatial.image_height, spatial.image_width = 32, 64
    config = micro_model(pointer_heads=[], fuse_tokens=False).config
    config.spatial_config = spatial
    model = RoboTracerForConditionalGeneration(config)
    ids = torch.tensor([[IMAGE] * 8 + [SPATIAL] * 8 + [SCALE, 9, 10, 11]])
    inputs = {'input_ids': ids, 'pixel_values': pixels()[:, :, :32]}
    model.train()
    model(**inputs, labels=ids).loss.backward()
    foreign = model.model.spatial_encoder._loaded[0].model
    assert not foreign.training
    assert all(p.grad is None and not p.requires_grad for p in foreign.parameters())
    assert not {id(p) for p in model.parameters()} & {id(p) for p in foreign.parameters()}
    assert model.model.spatial_projector[1].weight.grad.abs().sum() > 0
    assert model.model.spatial_encoder.pose[0].weight.grad.abs().sum() > 0
    model.eval().save_pretrained(tmp_path)
    assert type(AutoConfig.from_pretrained(tmp_path).spatial_config) is RoboTracerMapAnythingConfig
    loaded = AutoModelForImageTextToText.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        assert torch.equal(model(**inputs).logits, loaded(**inputs).logits)
    assert isinstance(AutoModel.from_config(spatial), RoboTracerMapAnything)
