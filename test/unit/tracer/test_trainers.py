# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the usual training libraries need of a model: PEFT, TRL, checkpointing, batches, half precision."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText

from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.tracer.model.config import RoboTracerConfig
from robotracer_ros.tracer.model.images import attach_geometry
from robotracer_ros.tracer.model.modeling import RoboTracerForConditionalGeneration
from robotracer_ros.tracer.model.processor import RoboTracerProcessor
from robotracer_ros.tracer.model.tokenizer import IMAGE, SCALE, SPATIAL, build_tokenizer
from robotracer_ros.tracer.text import parse_answer

HEIGHT, WIDTH = 32, 64
QUESTIONS = ('Point to the red mug. Answer [(x, y, d)]', 'Measure it.', 'Point to a free place behind the bowl.')
ANSWERS = ('<answer>[(1, 2, 0.500)]</answer>', '9.500 centimeters', '<answer>[(999, 7, 1.250)]</answer>')
Model = RoboTracerForConditionalGeneration
Micro = Callable[..., Model]


@pytest.fixture
def model(micro_model: Micro) -> Model:
    """Return a micro model with readers whose embeddings are large enough for a mistake to show."""
    made = micro_model(HEIGHT, WIDTH, pointer_heads=[], dense_kinds=5, dense_colors=2)
    with torch.no_grad():
        for p in made.model.language_model.parameters():
            if p.dim() == 2:
                p.mul_(6)
    return made.eval()


@pytest.fixture
def processor(model: Model) -> RoboTracerProcessor:
    """Return its processor."""
    return RoboTracerProcessor.for_config(model.config, build_tokenizer())


def picture(seed: int) -> Image.Image:
    """Return a picture with depth, and with intrinsics if the seed is even."""
    rng = np.random.default_rng(seed)
    return attach_geometry(
        Image.fromarray(rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)),
        rng.uniform(0.5, 2, (HEIGHT, WIDTH)),
        CameraModel(WIDTH, HEIGHT, 60, 60, 31.5, 15.5) if seed % 2 == 0 else None,
    )


def batch(
    processor: RoboTracerProcessor, which: tuple[int, ...] = (0, 1, 2), answered: bool = False
) -> dict[str, torch.Tensor]:
    """Return inputs of questions about pictures, padded."""
    talks: list[list[dict[str, Any]]] = []
    for i in which:
        content = [{'type': 'image', 'image': picture(i)}, {'type': 'text', 'text': QUESTIONS[i]}]
        talks.append([{'role': 'user', 'content': content}])
        if answered:
            talks[-1].append({'role': 'assistant', 'content': ANSWERS[i]})
    inputs = processor.apply_chat_template(
        talks, tokenize=True, return_dict=True, return_tensors='pt', add_generation_prompt=not answered,
        processor_kwargs={'padding': True},
    )  # fmt: skip
    if answered:
        inputs['labels'] = inputs['input_ids'].masked_fill(inputs['attention_mask'] == 0, -100)
        inputs['labels'] = inputs['labels'].masked_fill(inputs['labels'] == IMAGE, -100)
        inputs['log_scale_labels'] = torch.tensor([0.1 * i for i in which])
    return dict(inputs)


def greedy(model: Any, inputs: dict[str, torch.Tensor], **options: Any) -> torch.Tensor:
    """Return the next 8 tokens of every row; an end does not stop it."""
    made = model.generate(
        **inputs, max_new_tokens=8, do_sample=False, suppress_tokens=[IMAGE, SPATIAL, SCALE], eos_token_id=None,
        **options,
    )  # fmt: skip
    return made[:, -8:]


def train(model: Any, inputs: dict[str, torch.Tensor], steps: int) -> list[float]:
    """Train on one batch; return the losses."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-3)
    losses = []
    for _ in range(steps):
        loss = model(**inputs).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_a_padded_batch_of_different_questions_answers_as_each_alone(
    model: Model, processor: RoboTracerProcessor
) -> None:
    together = batch(processor)
    assert (together['attention_mask'][:, 0] == 0).any()
    cached = greedy(model, together)
    assert torch.equal(cached, greedy(model, together, use_cache=False))
    for i in range(3):
        assert torch.equal(cached[i : i + 1], greedy(model, batch(processor, (i,))))
    assert len({tuple(row) for row in cached.tolist()}) > 1


def test_padding_side_does_not_change_the_loss(model: Model, processor: RoboTracerProcessor) -> None:
    left = batch(processor, answered=True)
    processor.tokenizer.padding_side = 'right'
    right = batch(processor, answered=True)
    assert not torch.equal(left['input_ids'], right['input_ids'])
    with torch.no_grad():
        a, b = model(**left), model(**right)
    assert torch.allclose(a.loss, b.loss, atol=1e-5)
    assert torch.allclose(a.log_scale, b.log_scale, atol=1e-5)


def test_gradient_checkpointing_gives_the_same_gradients(
    model: Model, processor: RoboTracerProcessor
) -> None:
    inputs = batch(processor, answered=True)
    model.train()
    saving = copy.deepcopy(model)
    saving.gradient_checkpointing_enable(gradient_checkpointing_kwargs={'use_reentrant': False})
    assert saving.is_gradient_checkpointing
    calls = []
    saving.model.language_model.layers[0].mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    for m in (model, saving):
        m(**inputs).loss.backward()
    assert len(calls) == 2  # once forward, once again for the gradient
    for (name, a), b in zip(model.named_parameters(), saving.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None), name
        if a.grad is not None:
            assert torch.allclose(a.grad, b.grad, atol=1e-5), name


def test_half_precision_is_saved_and_loaded_bit_by_bit(
    model: Model, processor: RoboTracerProcessor, tmp_path: Path
) -> None:
    model.to(torch.bfloat16).save_pretrained(tmp_path)
    assert [p.name for p in tmp_path.iterdir() if p.suffix != '.json'] == ['model.safetensors']
    loaded = AutoModelForImageTextToText.from_pretrained(tmp_path).eval()
    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}
    assert all(torch.equal(w, loaded.state_dict()[n]) for n, w in model.state_dict().items())
    inputs = batch(processor)
    with torch.no_grad():
        assert torch.isfinite(loaded(**inputs).logits).all()
    assert torch.equal(greedy(model, inputs), greedy(loaded, inputs))


def test_lora_is_trained_saved_loaded_and_merged(
    model: Model, processor: RoboTracerProcessor, tmp_path: Path
) -> None:
    from peft import LoraConfig, PeftModel, get_peft_model

    untouched = copy.deepcopy(model)
    config = LoraConfig(
        r=4,
        target_modules=r'.*language_model.*\.(q_proj|v_proj|down_proj)',
        modules_to_save=['scale_decoder', 'spatial_projector'],
    )
    adapted = get_peft_model(model, config)
    inputs = batch(processor, answered=True)
    losses = train(adapted, inputs, 6)
    assert losses[-1] < losses[0]
    adapted.eval().save_pretrained(tmp_path / 'adapter')
    assert (tmp_path / 'adapter' / 'adapter_model.safetensors').is_file()
    assert not list((tmp_path / 'adapter').glob('*.bin'))

    asked = batch(processor)
    with torch.no_grad():
        expected, before = adapted(**inputs), untouched(**inputs)
        tokens = greedy(adapted, asked)
        assert not torch.allclose(expected.logits, before.logits, atol=1e-2)
        assert not torch.allclose(expected.log_scale, before.log_scale, atol=1e-4)
        loaded = PeftModel.from_pretrained(copy.deepcopy(untouched), tmp_path / 'adapter').eval()
        assert torch.allclose(loaded(**inputs).logits, expected.logits, atol=1e-5)
        assert torch.equal(greedy(loaded, asked), tokens)
        merged = loaded.merge_and_unload()
        assert isinstance(merged, Model)
        merged.save_pretrained(tmp_path / 'merged')
        again = AutoModelForImageTextToText.from_pretrained(tmp_path / 'merged').eval()
        assert set(again.state_dict()) == set(untouched.state_dict())
        out = again(**inputs)
        assert torch.allclose(out.logits, expected.logits, atol=1e-3)
        assert torch.allclose(out.log_scale, expected.log_scale, atol=1e-5)
        assert torch.equal(greedy(again, asked), tokens)


def dataset(answered: bool) -> Any:
    """Return a data set whose pictures come at access time, as real ones do."""
    from datasets import Dataset

    rows = []
    for i in range(4):
        row: dict[str, Any] = {'seed': i, 'prompt': [{'role': 'user', 'content': QUESTIONS[i % 3]}]}
        if answered:
            row['completion'] = [{'role': 'assistant', 'content': ANSWERS[i % 3]}]
        rows.append(row)

    def with_pictures(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return {**rows, 'images': [[picture(i)] for i in rows['seed']]}

    return Dataset.from_list(rows).with_transform(with_pictures)


class Watch:
    """Records which geometry reaches the model."""

    def __init__(self, model: Model) -> None:
        self.seen: set[tuple[bool, ...]] = set()
        model.model.spatial_encoder.register_forward_pre_hook(self)

    def __call__(self, _: object, args: tuple) -> None:
        """Note the flags of rays, depth and pose."""
        self.seen |= {tuple(row) for row in args[1].present.tolist()}


#: pictures with and without intrinsics, all with depth, none with a pose
GEOMETRY = {(True, True, False), (False, True, False)}


def common(folder: Path) -> dict[str, Any]:
    """Return settings of a short run on the CPU."""
    return {
        'output_dir': str(folder),
        'max_steps': 2,
        'learning_rate': 1e-2,
        'report_to': [],
        'use_cpu': True,
        'bf16': False,
        'logging_steps': 1,
        'save_strategy': 'no',
        'remove_unused_columns': False,
        'disable_tqdm': True,
    }


def changed(model: Model, before: dict[str, torch.Tensor]) -> set[str]:
    """Return which parts of the model a training has changed."""
    after = model.state_dict()
    return {name.split('.')[1] for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.slow
def test_trl_sft_accepts_the_model(model: Model, processor: RoboTracerProcessor, tmp_path: Path) -> None:
    from trl import SFTConfig, SFTTrainer

    watch, before = Watch(model), copy.deepcopy(model.state_dict())
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(**common(tmp_path), per_device_train_batch_size=2, max_length=None),
        train_dataset=dataset(answered=True),
        processing_class=processor,
    )
    trainer.train()
    losses = [entry['loss'] for entry in trainer.state.log_history if 'loss' in entry]
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    assert watch.seen == GEOMETRY
    assert {'vision_tower', 'spatial_encoder', 'mm_projector', 'spatial_projector', 'language_model'} <= changed(
        model, before
    )


@pytest.mark.slow
@pytest.mark.parametrize('lora', [False, True])
def test_trl_grpo_accepts_the_model(
    model: Model, processor: RoboTracerProcessor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lora: bool
) -> None:
    """With the penalty for leaving the reference model: a second model, or the model without its adapter."""
    from peft import LoraConfig
    from trl import GRPOConfig, GRPOTrainer

    # TRL loads its reference by the class that this names; the class is registered, no code is fetched.
    monkeypatch.setattr(RoboTracerConfig, 'auto_map', {'AutoModelForImageTextToText': 'robotracer_ros'}, raising=False)
    model.save_pretrained(tmp_path / 'start')
    model = Model.from_pretrained(tmp_path / 'start')
    watch, before = Watch(model), copy.deepcopy(model.state_dict())
    rewarded: list[str] = []

    def reward(completions: list[Any], seed: list[int], **_: Any) -> list[float]:
        texts = [c[0]['content'] for c in completions]
        rewarded.extend(texts)
        return [len(parse_answer(t).points) + len(set(t)) / 50 + s for t, s in zip(texts, seed, strict=True)]

    trainer = GRPOTrainer(
        model=model,
        reward_funcs=[reward],
        args=GRPOConfig(
            **common(tmp_path), per_device_train_batch_size=4, num_generations=4, max_completion_length=8, beta=0.04
        ),
        train_dataset=dataset(answered=False),
        processing_class=processor,
        peft_config=LoraConfig(r=4, target_modules=r'.*language_model.*\.(q_proj|v_proj)') if lora else None,
    )
    trainer.train()
    steps = [entry for entry in trainer.state.log_history if 'kl' in entry]
    assert len(steps) == 2
    assert all(np.isfinite([s['loss'], s['kl'], s['reward'], s['grad_norm']]).all() for s in steps)
    assert max(s['grad_norm'] for s in steps) > 0
    assert len(rewarded) == 8
    assert watch.seen <= GEOMETRY
    assert watch.seen
    if not lora:
        assert 'language_model' in changed(model, before)
