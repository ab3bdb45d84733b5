# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Losses mean what they say, and a micro model learns what it is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.sim.render import Renderer
from robotracer_ros.sim.scenes import generate_scene
from robotracer_ros.sim.spec import Rendering
from robotracer_ros.tracer.model.decode import greedy, question_ids
from robotracer_ros.tracer.model.modeling import RoboTracerForConditionalGeneration
from robotracer_ros.tracer.model.packed import packed_forward
from robotracer_ros.tracer.model.reader import NEVER, Steps
from robotracer_ros.tracer.model.tokenizer import NumberTokens, build_tokenizer
from robotracer_ros.training.config import load_config
from robotracer_ros.training.dense import COLOR_CLASSES, KIND_CLASSES, dense_loss, dense_targets
from robotracer_ros.training.evaluate import Rate
from robotracer_ros.training.examples import (
    DECISIVE,
    END,
    SoftLabels,
    TextPair,
    collate,
    encode,
    pointer_distribution,
    spot_distribution,
)
from robotracer_ros.training.initial import focus_text_heads
from robotracer_ros.training.losses import step_loss
from robotracer_ros.training.samples import dense_tensors
from robotracer_ros.training.scene_cache import SceneCache

TOKENIZER = build_tokenizer()
NUMBERS = NumberTokens(TOKENIZER)


def test_pointers_stand_before_the_first_coordinate() -> None:
    pair = TextPair(
        'Point to it', '<answer>[(100, 200, 0.500), (300, 400, 1.500)]</answer>', (2, None)
    )
    example = encode(TOKENIZER, NUMBERS, pair)
    assert {target for _, target in example.pointers} == {2}
    position = example.pointers[0][0]
    assert TOKENIZER.decode([example.ids[position + 1]]) == '100'
    assert '100' not in TOKENIZER.decode(example.ids[: position + 1])


def test_targets_must_match_the_tuples() -> None:
    with pytest.raises(ValueError, match='1 tuples but 2 targets'):
        encode(TOKENIZER, NUMBERS, TextPair('?', '<answer>[(1, 2, 0.500)]</answer>', (0, 1)))


def test_soft_labels_prefer_near_numbers_and_cost_nothing_when_matched() -> None:
    labels = SoftLabels(NUMBERS, sigma_uv=3.0)
    ids = NUMBERS.integers
    answer = ids[torch.tensor([500])]
    size = len(TOKENIZER)

    def loss(mean: float) -> float:
        logits = torch.full((1, size), -30.0)
        logits[0, ids] = -0.5 * ((torch.arange(1001.0) - mean) / 3.0) ** 2
        return float(labels.loss(logits, answer, ['u'])[0])

    assert abs(loss(500)) < 1e-3
    assert loss(500) < loss(503) < loss(520)
    hard = labels.loss(torch.zeros(1, size), answer, [''])
    assert float(hard[0]) == pytest.approx(np.log(size), rel=1e-5)


def test_pointer_distribution_is_the_mask() -> None:
    share = np.zeros((2, 12), np.float32)
    share[1, 3], share[1, 4] = 0.75, 0.25
    mask = pointer_distribution(1, share)
    assert mask is not None and mask[3] == pytest.approx(0.75) and mask.sum() == pytest.approx(1)
    assert pointer_distribution(0, share) is None


def test_dense_targets_follow_the_segmentation() -> None:
    scene = generate_scene(3)
    segmentation = np.full((240, 320), -2, np.int16)
    segmentation[32:64, 48:80] = 1
    image = Rendering(
        np.zeros((240, 320, 3), np.uint8), np.full((240, 320), 1.2, np.float32), segmentation
    )
    t = dense_targets(scene, image)
    own = [2 * 20 + 3, 2 * 20 + 4, 3 * 20 + 3, 3 * 20 + 4]
    assert np.flatnonzero(t.color >= 0).tolist() == own
    assert all(KIND_CLASSES[k] == scene.objects[1].kind for k in t.kind[own])
    assert KIND_CLASSES[t.kind[0]] == 'table'
    # The middle of the mask is the corner shared by the four patches: half a patch away from each centre.
    assert t.values[own[0], :2] == pytest.approx([0.23, 0.32], abs=0.02)
    assert t.centroid[1] == pytest.approx([63.5 / 320 * 1000, 47.5 / 240 * 1000, 1.2], abs=0.01)
    perfect = torch.full((1, 300, len(KIND_CLASSES) + len(COLOR_CLASSES) + 3 + 6), -20.0)
    k, c = len(KIND_CLASSES), len(COLOR_CLASSES)
    perfect[0, torch.arange(300), torch.from_numpy(t.kind)] = 20
    for i in own:
        perfect[0, i, k + t.color[i]] = perfect[0, i, k + c + t.size[i]] = 20
        perfect[0, i, k + c + 3 :] = torch.from_numpy(t.values[i])
    loss, figures = dense_loss(perfect, *dense_tensors(t))
    assert float(loss) < 1e-4 and figures['both'] == 1.0


def test_the_end_of_a_trace_counts_more_wherever_it_is_written() -> None:
    text = (
        '<think>\n[Referring] [it]: [(1, 2, 0.500)]\n[Referring] [the place]: [(8, 9, 0.700)]\n</think>\n'
        '<answer>[(1, 2, 0.500), (4, 5, 0.600), (8, 9, 0.700)]</answer>'
    )
    example = encode(TOKENIZER, NUMBERS, TextPair('?', text, decisive=('the place',), goals=(1, 4)))
    tokens = [TOKENIZER.decode([i]) for i in example.ids[example.start :]]
    heavy = [t for t, weight in zip(tokens, example.emphasis, strict=True) if weight == END]
    assert heavy == ['8', '9', '8', '9']
    words = [t for t, weight in zip(tokens, example.emphasis, strict=True) if weight == DECISIVE]
    assert words == ['the', ' place']
    assert sum(point == (8, 9) for _, point in example.spots) == 2 * 2 * END
    single = encode(TOKENIZER, NUMBERS, TextPair('?', '<answer>[(8, 9, 0.700)]</answer>'))
    assert set(single.emphasis) == {1.0}


def test_spots_stand_before_u_and_v_and_their_mean_is_the_point() -> None:
    example = encode(TOKENIZER, NUMBERS, TextPair('?', '<answer>[(130, 655, 1.234)]</answer>'))
    assert [point for _, point in example.spots] == [(130, 655), (130, 655)]
    at = [TOKENIZER.decode([example.ids[position + 1]]) for position, _ in example.spots]
    assert at == ['130', '655']
    assert [value for _, value in example.numbers] == [0.130, 0.655, 0.234]
    centres = np.stack(
        np.meshgrid((np.arange(20) + 0.5) / 20, (np.arange(15) + 0.5) / 15), -1
    ).reshape(-1, 2)
    for point in ((130, 655), (500, 500), (970, 40)):
        share = spot_distribution(point, 15, 20)
        assert share.sum() == pytest.approx(1) and (share > 0).sum() <= 4
        assert share @ centres == pytest.approx(np.array(point) / 1000, abs=1e-6)
    outermost = spot_distribution((0, 1000), 15, 20)
    assert outermost.argmax() == 14 * 20 and outermost.max() == pytest.approx(1)


def test_scene_cache_gives_back_what_it_rendered(tmp_path: Path) -> None:
    made = SceneCache(tmp_path, first=40, capacity=2)
    assert len(made) == 0
    made.fill()
    read = SceneCache(tmp_path)
    assert (len(read), read.seed(1)) == (2, 41)
    scene, again = generate_scene(41), read.scene(1)
    assert [o.id for o in again.objects] == [o.id for o in scene.objects]
    assert np.array_equal(again.objects[0].pose, scene.objects[0].pose)
    image, stored = Renderer().render(scene), read.rendering(1)
    assert np.array_equal(stored.rgb, image.rgb)
    assert np.abs(stored.depth - image.depth).max() <= 0.5e-4 + 1e-6
    with pytest.raises(IndexError, match='holds 2 pictures, no picture 2'):
        read.scene(2)
    with (tmp_path / 'scenes.jsonl').open('a') as file:
        file.write('{"half a line')
    assert len(SceneCache(tmp_path)) == 2


def test_wilson_interval() -> None:
    rate = Rate(80, 100)
    low, high = rate.interval
    assert (low, high) == pytest.approx((0.711, 0.867), abs=2e-3)


def test_unknown_setting_is_named(tmp_path: pytest.TempPathFactory) -> None:
    path = tmp_path / 'x.yaml'  # type: ignore[operator]
    path.write_text('learning_rat: 0.1')
    with pytest.raises(InvalidParameterError, match='learning_rat'):
        load_config(path)
    path.write_text('warmup: soon')
    with pytest.raises(InvalidParameterError, match=r"x.yaml: warmup is 'soon': must be int"):
        load_config(path)
    path.write_text('phases: [{until: 5}, {untl: 5}]')
    with pytest.raises(InvalidParameterError, match=r'phases\[1\]: unknown setting\(s\) untl'):
        load_config(path)
    path.write_text('learning_rate: 1e-4\nphases: [{until: 5, short: {refer: 1}}]')
    assert load_config(path).learning_rate == 1e-4


def test_micro_model_learns_to_point_by_name(
    micro_model: Callable[..., RoboTracerForConditionalGeneration],
) -> None:
    """Two names, two places in one picture: after training, greedy decoding answers each with its own place."""
    model = micro_model(pointer_heads=[[1, 0]])
    focus_text_heads(model)
    pixels = torch.zeros(15, 32, 64)
    pixels[0, :16, :16], pixels[2, 16:, 48:] = 1, 1
    share = np.zeros((2, 8), np.float32)
    share[0, 0], share[1, 7] = 1, 1
    pairs = [
        TextPair('Point to the red mug', '<answer>[(125, 250, 0.500)]</answer>', (0,)),
        TextPair('Point to the blue box', '<answer>[(875, 750, 1.250)]</answer>', (1,)),
    ]
    batch = collate([encode(TOKENIZER, NUMBERS, p) for p in pairs], share, 2, 4)
    labels = SoftLabels(NUMBERS, sigma_uv=0.3, sigma_d=0.3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(240):
        out = packed_forward(model, pixels[None], batch.ids[None])
        assert out.hidden is not None
        logits = model.lm_head(out.hidden.flatten(0, 2)[batch.rows])
        scores, total = out.pointers[0]
        log_p = (
            scores.flatten(0, 1)[batch.pointer_rows] - total.flatten()[batch.pointer_rows][:, None]
        )
        pointer = -(batch.pointer_target * log_p).sum(1).mean()
        loss = labels.loss(logits, batch.labels, batch.roles).mean() + pointer
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    answers = greedy(model, pixels, [question_ids(TOKENIZER, p.prompt) for p in pairs], 20).tokens
    assert [TOKENIZER.decode(a) for a in answers] == [p.answer for p in pairs]
    assert float(pointer.detach()) < 0.3


def test_the_nearest_origin_is_taught_and_its_step() -> None:
    """What comes near is chosen; an origin that is not there neither gets nor takes anything."""
    places = torch.tensor([[0.5, 0.5, 1.0], [0.2, 0.3, 0.8]])
    arrivals = places[:, None].repeat(1, 3, 1)
    arrivals[0, 0] += 0.05  # the thing's step is off by 5 %, a said place is right
    arrivals[0, 2] -= 0.2
    arrivals[1, 1:] = 9.0
    arrivals.requires_grad_()
    origin = torch.tensor([[1.0, 0.0, 0.0], [1.0, NEVER, NEVER]], requires_grad=True)
    steps = Steps(arrivals[:, 0], arrivals, origin)
    step_loss(steps, places, torch.tensor([1.0, 1.0]), 6.0).backward()
    assert origin.grad is not None and arrivals.grad is not None
    assert origin.grad[0, 1] < 0 < origin.grad[0, 0], 'the said place is the better one'
    assert not origin.grad[1, 1:].any() and not arrivals.grad[1, 1:].any()
    assert arrivals.grad[0, 0].abs().sum() > 0, 'the step from the thing is taught nevertheless'
    assert arrivals.grad[0, 2].abs().sum() < 1e-6
    perfect = Steps(places, places[:, None].repeat(1, 3, 1), torch.tensor([[0.0, NEVER, NEVER]] * 2))
    assert float(step_loss(perfect, places, torch.ones(2), 6.0)) < 1e-6
