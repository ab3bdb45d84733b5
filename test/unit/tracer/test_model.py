# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The model's promises: caches, packing, saving and masking change nothing that they should not change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.tracer.model.config import RoboTracerConfig
from robotracer_ros.tracer.model.decode import greedy
from robotracer_ros.tracer.model.encoders import Geometry, metric_scale, unpack, up_in_camera
from robotracer_ros.tracer.model.images import pack_image
from robotracer_ros.tracer.model.modeling import RoboTracerForConditionalGeneration
from robotracer_ros.tracer.model.packed import packed_forward
from robotracer_ros.tracer.model.tokenizer import IMAGE, SCALE, SPATIAL
from robotracer_ros.tracer.pixels import pose_vector, quaternion_xyzw

HEIGHT, WIDTH, N = 48, 64, 12


Micro = Callable[..., RoboTracerForConditionalGeneration]


@pytest.fixture
def micro(micro_model: Micro) -> Micro:
    """Return a maker of models in which every head and group counts."""
    text = {
        'num_hidden_layers': 3,
        'num_attention_heads': 4,
        'num_key_value_heads': 2,
        'vocab_size': 64,
    }

    def make(**options: object) -> RoboTracerForConditionalGeneration:
        options = {'pointer_heads': [[1, 0], [1, 2]], **options}
        model = micro_model(HEIGHT, WIDTH, text, **options).eval()
        with torch.no_grad():  # larger than the usual initialisation, so that a wrong mask shows
            for p in model.model.language_model.parameters():
                if p.dim() == 2:
                    p.mul_(8)
        return model

    return make


def image(seed: int = 0) -> torch.Tensor:
    """Return packed pixels with everything present."""
    rng = np.random.default_rng(seed)
    pose = np.eye(4)
    pose[:3, 3] = (0.3, 0.1, 0.9)
    return pack_image(
        rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8),
        rng.uniform(0.5, 2.0, (HEIGHT, WIDTH)),
        CameraModel(WIDTH, HEIGHT, 60, 60, 31.5, 23.5),
        pose,
        width=WIDTH,
        height=HEIGHT,
    )


def whole(questions: torch.Tensor) -> torch.Tensor:
    """Return (Q, T) questions behind placeholders and ``<SCALE>``."""
    q = len(questions)
    return torch.cat([torch.full((q, N), IMAGE), torch.full((q, 1), SCALE), questions], 1)


@pytest.mark.parametrize('kinds', [0, 5])
def test_packed_questions_equal_plain_forward(micro: Micro, kinds: int) -> None:
    model = micro(dense_kinds=kinds, dense_colors=2)
    pixels = torch.stack([image(0), image(1)])
    questions = torch.randint(6, 64, (2, 5, 7))
    with torch.no_grad():
        packed = packed_forward(model, pixels, questions)
        assert packed.hidden is not None
        for b in range(2):
            plain = model(
                input_ids=whole(questions[b]), pixel_values=pixels[b : b + 1].expand(5, -1, -1, -1)
            )
            assert torch.allclose(packed.hidden[b], plain.last_hidden_state[:, N + 1 :], atol=1e-4)
            assert torch.allclose(packed.log_scale[b], plain.log_scale, atol=1e-5)


def test_pointer_logits_are_the_attention_of_the_named_heads(micro: Micro) -> None:
    model = micro(attn_implementation='eager')
    questions = torch.randint(6, 64, (1, 3, 5))
    with torch.no_grad():
        packed = packed_forward(model, image()[None], questions)
        plain = model(
            input_ids=whole(questions[0]),
            pixel_values=image()[None].expand(3, -1, -1, -1),
            output_attentions=True,
        )
    for (scores, total), head in zip(packed.pointers, (0, 2), strict=True):
        seen = (scores - total[..., None]).exp().view(3, 5, N)
        assert torch.allclose(seen, plain.attentions[1][:, head, N + 1 :, :N], atol=1e-5)


def test_visual_tokens_see_each_other_and_text_is_causal(micro: Micro) -> None:
    model = micro()
    ids = whole(torch.randint(6, 64, (1, 6)))
    with torch.no_grad():
        before = model(input_ids=ids, pixel_values=image()[None]).last_hidden_state
        later = ids.clone()
        later[0, -1] = 7 if int(ids[0, -1]) != 7 else 8
        after = model(input_ids=later, pixel_values=image()[None]).last_hidden_state
        changed = image().clone()
        changed[:3, -16:, -16:] *= -1
        other = model(input_ids=ids, pixel_values=changed[None]).last_hidden_state
    assert torch.equal(before[:, :-1], after[:, :-1])
    assert not torch.allclose(before[:, 0], other[:, 0], atol=1e-3)


@pytest.mark.parametrize('kinds', [0, 5])
def test_generation_with_and_without_cache_and_by_own_loop(micro: Micro, kinds: int) -> None:
    model = micro(dense_kinds=kinds, dense_colors=2)
    pixels = image()[None]
    prompt = torch.randint(6, 64, (1, 5))
    options = {
        'input_ids': whole(prompt),
        'pixel_values': pixels,
        'max_new_tokens': 12,
        'do_sample': False,
        'suppress_tokens': [IMAGE, SPATIAL, SCALE],
    }
    cached, plain = model.generate(**options), model.generate(**options, use_cache=False)
    assert torch.equal(cached, plain)
    own = greedy(model, pixels[0], [prompt[0].tolist()], 12).tokens[0]
    expected = cached[0, N + 6 :].tolist()
    assert own == (expected[: expected.index(1)] if 1 in expected else expected)


def test_what_was_said_counts_from_then_on(micro: Micro) -> None:
    model = micro(dense_kinds=5, dense_colors=2)
    ids = whole(torch.tensor([[10, 7, 10, 13, 12, 12]]))  # 13 is a unit: "10 u", ends at the fourth
    with torch.no_grad():
        before = model(input_ids=ids, pixel_values=image()[None]).last_hidden_state
        model.model.said.table[0, 10] += 5
        after = model(input_ids=ids, pixel_values=image()[None]).last_hidden_state
    differs = (before - after).abs().amax(-1)[0, N + 1 :] > 1e-3
    assert differs.tolist() == [False, True, True, True, True, True]


def test_answers_do_not_depend_on_the_other_questions(micro: Micro) -> None:
    model = micro(dense_kinds=5, dense_colors=2)
    prompts = [[9, 10, 11], [12, 13, 14, 15, 16, 17, 18], [20]]
    together = greedy(model, image(), prompts, 8).tokens
    assert together == [greedy(model, image(), [p], 8).tokens[0] for p in prompts]


def test_save_and_load(micro: Micro, tmp_path: Path) -> None:
    model = micro(dense_kinds=3, dense_colors=2)
    model.save_pretrained(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix != '.json') == [
        'model.safetensors'
    ]
    assert isinstance(AutoConfig.from_pretrained(tmp_path), RoboTracerConfig)
    loaded = AutoModelForImageTextToText.from_pretrained(tmp_path)
    ids = whole(torch.randint(6, 64, (1, 6)))
    with torch.no_grad():
        a, b = (m.eval()(input_ids=ids, pixel_values=image()[None]) for m in (model, loaded))
    assert torch.allclose(a.logits, b.logits, atol=1e-5)


@pytest.mark.parametrize('absent', [0, 1, 2])
def test_absent_input_changes_nothing_when_scrambled(micro: Micro, absent: int) -> None:
    model = micro()
    rgb, geometry = unpack(image()[None])
    present = torch.ones(1, 3, dtype=torch.bool)
    present[0, absent] = False
    parts = [geometry.rays.clone(), geometry.depth.clone(), geometry.pose.clone()]
    encoder = model.model.spatial_encoder
    with torch.no_grad():
        before = encoder(rgb, Geometry(*parts, present))
        parts[absent] = torch.randn_like(parts[absent]) * 5
        parts[absent].view(-1)[0] = float('nan')
        after = encoder(rgb, Geometry(*parts, present))
        used = encoder(rgb, geometry)
    assert torch.equal(before, after)
    assert not torch.allclose(before, used, atol=1e-4)


def test_scale_is_the_mean_distance_of_valid_points() -> None:
    camera = CameraModel(WIDTH, HEIGHT, 60, 60, 31.5, 23.5)
    depth = np.zeros((HEIGHT, WIDTH), np.float32)
    depth[10, 20], depth[30, 50] = 1.0, 2.0
    _, geometry = unpack(
        pack_image(
            np.zeros((HEIGHT, WIDTH, 3), np.uint8), depth, camera, width=WIDTH, height=HEIGHT
        )[None]
    )
    points = camera.depth_to_points(depth)
    expected = np.nanmean(np.linalg.norm(points, axis=-1))
    assert float(metric_scale(geometry)[0]) == pytest.approx(expected, rel=1e-5)


def test_pose_vector_keeps_gravity() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        rotation = q * np.sign(np.linalg.det(q))
        pose = np.eye(4)
        pose[:3, :3] = rotation
        assert np.linalg.norm(quaternion_xyzw(rotation)) == pytest.approx(1.0)
        up = up_in_camera(torch.from_numpy(pose_vector(pose))[None])[0].numpy()
        assert np.allclose(up, rotation.T @ (0, 0, 1), atol=1e-5)


def test_any_resolution_is_the_same_view() -> None:
    camera = CameraModel(2 * WIDTH, 2 * HEIGHT, 120, 120, 63.5, 47.5)
    depth = np.full((2 * HEIGHT, 2 * WIDTH), 1.5, np.float32)
    big = pack_image(
        np.full((2 * HEIGHT, 2 * WIDTH, 3), 90, np.uint8), depth, camera, width=WIDTH, height=HEIGHT
    )
    small = pack_image(
        np.full((HEIGHT, WIDTH, 3), 90, np.uint8),
        depth[::2, ::2],
        camera.resized(WIDTH, HEIGHT),
        width=WIDTH,
        height=HEIGHT,
    )
    assert torch.allclose(big, small, atol=1e-6)


def test_wrong_number_of_placeholders_is_refused(micro: Micro) -> None:
    with pytest.raises(ValueError, match='placeholders'):
        micro()(input_ids=torch.full((1, 5), IMAGE), pixel_values=image()[None])


def test_reader_writes_the_place_of_what_it_looks_at() -> None:
    """A state that matches one token gets that token's place in the code of the numbers."""
    from robotracer_ros.tracer.model.reader import READINGS, PlaceReader, number_waves

    torch.manual_seed(0)
    reader = PlaceReader(32)
    with torch.no_grad():
        reader.content.weight.zero_()
        reader.query.weight.copy_(reader.key.weight * 40)
        reader.query.bias.zero_()
        reader.key.bias.zero_()
        reader.gate.weight.zero_()
        reader.gate.bias.fill_(-30.0)
        reader.gate.bias[0] = 30.0
    visual = torch.randn(1, 6, 32)
    places = torch.rand(1, 6, READINGS)
    hidden = torch.nn.functional.layer_norm(visual[:, 4:5], (32,))
    new, scores, anchor = reader(hidden, reader.view(visual, places))
    assert int(scores.argmax()) == 4
    added = (new - hidden)[0, 0, :16]
    assert torch.allclose(added, number_waves(places[0, 4, :1], 8)[0], atol=0.02)
    assert torch.allclose(anchor[0, 0], places[0, 4], atol=0.02)


def test_readers_keep_single_precision_under_autocast(micro: Micro) -> None:
    """Large logits rounded to half precision have gradients of noise."""
    model = micro(dense_kinds=5, dense_colors=2)
    core = model.model
    with torch.no_grad():
        core.reader.query.weight.mul_(400)
    hidden, pixels = torch.randn(1, 4, core.reader.norm.weight.shape[0]), image()[None]
    visual = core.visual_tokens(pixels).detach()
    said = core.said(torch.full((1, 4), 10))

    def gradient(half: bool) -> torch.Tensor:
        with torch.autocast('cpu', torch.bfloat16, enabled=half):
            read = core.read(hidden, said, *core.views(visual, pixels))
            loss = read.pointer.log_softmax(-1)[..., 0].mean()
        loss.backward()
        found = core.reader.key.weight.grad.clone()
        model.zero_grad()
        return found

    assert torch.equal(gradient(True), gradient(False))
