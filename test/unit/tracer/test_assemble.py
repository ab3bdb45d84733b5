# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Large models: the shipped sizes on the meta device, and the same classes, shrunk, from saved parts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from small_parts import make_language, make_vision, small_config
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    Qwen2ForCausalLM,
    Qwen3ForCausalLM,
    SiglipVisionModel,
)
from typer.testing import CliRunner

from robotracer_ros.cli import app
from robotracer_ros.errors import CheckpointError, InvalidParameterError, TraceParseError
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.resources import resource
from robotracer_ros.tracer.base import Observation
from robotracer_ros.tracer.local import LocalTracer
from robotracer_ros.tracer.model.assemble import assemble, load_model_config
from robotracer_ros.tracer.model.decode import greedy
from robotracer_ros.tracer.model.images import attach_geometry
from robotracer_ros.tracer.model.modeling import RoboTracerForConditionalGeneration
from robotracer_ros.tracer.model.processor import RoboTracerProcessor, question_ids

#: weights of the published parts, from their model cards
QWEN = {'2b': 1_543_714_304, '8b': 7_615_616_512}
MARKS = ['<image>', '<spatial>', '<SCALE>']


def siglip_weights(c: Any) -> int:
    """Count the weights of a SigLIP's vision half without pooling, from its sizes."""
    d, f = c.hidden_size, c.intermediate_size
    patches = 3 * c.patch_size**2 * d + d
    layer = 4 * (d * d + d) + (d * f + f) + (f * d + d) + 4 * d
    return patches + (c.image_size // c.patch_size) ** 2 * d + c.num_hidden_layers * layer + 2 * d


@pytest.mark.parametrize(('size', 'total'), [('2b', 2_042_843_121), ('8b', 8_199_211_505)])
def test_the_large_sizes(size: str, total: int) -> None:
    config = load_model_config(resource(f'config/model/robotracer-{size}.yaml'))
    with torch.device('meta'):
        model = RoboTracerForConditionalGeneration(config)

    def count(module: torch.nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    speaking = count(model.model.language_model)
    tied = model.lm_head.weight is model.model.language_model.get_input_embeddings().weight
    assert tied == (size == '2b')
    assert speaking + (0 if tied else count(model.lm_head)) == QWEN[size]
    assert count(model.model.vision_tower) == siglip_weights(config.vision_config) == 413_327_088
    assert count(model) == total
    assert config.visual_tokens == 512
    # Both encoders see the same patches.
    side = config.vision_config.image_size // config.vision_config.patch_size
    assert config.grid == (side // 2, side // 2) == (16, 16)
    # All that the readers, the patch head and packed training need stays at home.
    assert not any('reader' in n or 'dense_head' in n for n, _ in model.named_parameters())


@pytest.fixture
def parts(tmp_path: Path) -> tuple[Path, Path]:
    """Return the folders of a vision and a language part."""
    make_vision(tmp_path / 'vision', whole=True)
    make_language(tmp_path / 'language')
    return tmp_path / 'vision', tmp_path / 'language'


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """Return the 2B's settings with a spatial encoder that a test can afford."""
    return small_config(tmp_path / 'model.yaml')


def picture(seed: int = 0) -> Image.Image:
    """Return a picture with depth and intrinsics."""
    rng = np.random.default_rng(seed)
    return attach_geometry(
        Image.fromarray(rng.integers(0, 255, (48, 64, 3), np.uint8)),
        rng.uniform(0.5, 2, (48, 64)),
        CameraModel(64, 48, 60, 60, 31.5, 23.5),
    )


def talk(seed: int, question: str, answer: str | None = None) -> list[dict]:
    """Return a conversation about a picture."""
    content = [{'type': 'image', 'image': picture(seed)}, {'type': 'text', 'text': question}]
    turns: list[dict] = [{'role': 'user', 'content': content}]
    return turns + ([{'role': 'assistant', 'content': answer}] if answer else [])


def read(processor: RoboTracerProcessor, talks: list[list[dict]], ask: bool = True) -> dict:
    """Return model inputs."""
    return processor.apply_chat_template(
        talks, tokenize=True, return_dict=True, return_tensors='pt', add_generation_prompt=ask,
        processor_kwargs={'padding': True},
    )  # fmt: skip


@pytest.mark.parametrize(
    ('whole', 'chatml', 'qwen3', 'tied', 'vocabulary'),
    [(True, True, False, True, 300), (False, False, True, False, 281)],
)
def test_assembled_trained_saved_and_loaded(
    tmp_path: Path, settings: Path, whole: bool, chatml: bool, qwen3: bool, tied: bool, vocabulary: int
) -> None:
    """Every published weight arrives; a step learns; cache, batch and reloading change nothing."""
    vision, language, out = tmp_path / 'vision', tmp_path / 'language', tmp_path / 'out'
    make_vision(vision, whole)
    make_language(language, chatml, qwen3, tied, vocabulary)
    assemble(vision, language, out, config=settings, dtype='float32')
    assert not list(out.glob('*.bin'))
    model = AutoModelForImageTextToText.from_pretrained(out)
    processor = AutoProcessor.from_pretrained(out)
    assert processor.tokenizer.convert_tokens_to_ids(MARKS) == [
        model.config.image_token_id,
        model.config.spatial_token_id,
        model.config.scale_token_id,
    ]
    seen = SiglipVisionModel.from_pretrained(vision).state_dict()
    for name, weight in model.model.vision_tower.state_dict().items():
        assert torch.equal(weight, seen[name]), name
    published = (Qwen3ForCausalLM if qwen3 else Qwen2ForCausalLM).from_pretrained(language)
    new = set(processor.tokenizer.convert_tokens_to_ids(MARKS + (['<user>', '<assistant>'] if not chatml else [])))
    known = [i for i in range(vocabulary) if i not in new]
    for name, weight in model.model.language_model.state_dict().items():
        there = published.model.state_dict()[name]
        kept = weight[known] if 'embed_tokens' in name else weight
        assert torch.equal(kept, there[known] if 'embed_tokens' in name else there), name
    assert torch.equal(model.lm_head.weight[known], published.lm_head.weight[known])
    assert (model.lm_head.weight is model.model.language_model.embed_tokens.weight) == tied
    assert all(torch.isfinite(p).all() for p in model.parameters())

    talks = [talk(0, 'point to the red mug', '(1, 2, 0.5)'), talk(1, 'mug?', '(3, 4, 0.6)')]
    batch = read(processor, talks, ask=False)
    assert batch['input_ids'].shape[1] > model.config.visual_tokens == 8
    batch['labels'] = batch['input_ids'].masked_fill(batch['attention_mask'] == 0, -100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(4):
        loss = model(**batch, log_scale_labels=torch.tensor([0.1, 0.2])).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert model.model.spatial_projector[1].weight.grad.abs().sum() > 0
    assert model.scale_decoder[0].weight.grad.abs().sum() > 0

    model.eval()
    asked = read(processor, [talk(0, 'point to the red mug'), talk(1, 'mug?')])
    options = {'max_new_tokens': 6, 'do_sample': False, 'eos_token_id': None}
    together = model.generate(**asked, **options)
    assert torch.equal(together, model.generate(**asked, **options, use_cache=False))
    for i, question in enumerate(('point to the red mug', 'mug?')):
        alone = model.generate(**read(processor, [talk(i, question)]), **options)
        assert torch.equal(alone[0, -6:], together[i, -6:])
    # The local backend's own loop, which stops at the end token.
    prompts = [question_ids(processor.tokenizer, q) for q in ('point to the red mug', 'mug?')]
    pixels = asked['pixel_values']
    placeholders = processor.tokenizer.convert_tokens_to_ids(MARKS)
    for i, prompt in enumerate(prompts):
        made = model.generate(
            **read(processor, [talk(i, ('point to the red mug', 'mug?')[i])]),
            max_new_tokens=6, do_sample=False, suppress_tokens=placeholders,
        )[0, -6:].tolist()  # fmt: skip
        own = greedy(model, pixels[i], [prompt], 6).tokens[0]
        assert own == made[: len(own)]
    model.save_pretrained(tmp_path / 'again')
    again = AutoModelForImageTextToText.from_pretrained(tmp_path / 'again').eval()
    assert torch.equal(again.generate(**asked, **options), together)


def test_a_question_reaches_the_model_as_its_chat_template_says(
    tmp_path: Path, settings: Path, parts: tuple[Path, Path]
) -> None:
    """The local backend and the processor read the same tokens, with ChatML too."""
    assemble(*parts, tmp_path / 'out', config=settings)
    processor = AutoProcessor.from_pretrained(tmp_path / 'out')
    assert processor.apply_chat_template(talk(0, 'hi'), add_generation_prompt=True) == (
        '<image><|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n'
    )
    ids = read(processor, [talk(0, 'point to it')])['input_ids'][0].tolist()
    own = question_ids(processor.tokenizer, 'point to it')
    assert ids[-len(own) :] == own
    tracer = LocalTracer(str(tmp_path / 'out'), device='cpu')
    tracer.load()
    seen = Observation(np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(TraceParseError):  # random weights: text, but no point in it
        tracer.refer(seen, 'the mug')


def test_by_command_in_half_precision_and_safetensors_only(
    tmp_path: Path, settings: Path, parts: tuple[Path, Path]
) -> None:
    vision, language, out = (str(p) for p in (*parts, tmp_path / 'out'))
    done = CliRunner().invoke(
        app, ['assemble', '--vision', vision, '--language', language, '--out', out, '--config', str(settings)]
    )
    assert done.exit_code == 0, done.output
    assert re.search(r'language model +[0-9,]+\n', done.output)
    model = RoboTracerForConditionalGeneration.from_pretrained(out)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    loaded = AutoModelForImageTextToText.from_pretrained(tmp_path / 'out', use_safetensors=True)
    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, loaded.state_dict()[name])
    asked = read(AutoProcessor.from_pretrained(tmp_path / 'out'), [talk(0, 'mug?')])
    with torch.no_grad():
        assert torch.isfinite(loaded(**asked).logits).all()


def test_what_does_not_fit_is_refused(
    tmp_path: Path, settings: Path, parts: tuple[Path, Path]
) -> None:
    vision, language = parts
    out = tmp_path / 'out'
    with pytest.raises(CheckpointError, match=r"vision part '.*nowhere'"):
        assemble(tmp_path / 'nowhere', language, out, config=settings)
    with pytest.raises(CheckpointError, match='there is no folder'):
        assemble(vision, './nowhere', out, config=settings)
    with pytest.raises(CheckpointError, match='is a qwen2'):
        assemble(language, language, out, config=settings)
    with pytest.raises(CheckpointError, match='is a siglip'):
        assemble(vision, vision, out, config=settings)
    with pytest.raises(InvalidParameterError, match='float8'):
        assemble(vision, language, out, config=settings, dtype='float8')
    with pytest.raises(InvalidParameterError, match='not an empty folder'):
        assemble(vision, language, language, config=settings)
    settings.write_text(settings.read_text().replace('visual_downsample: 2', 'visual_downsample: 3'))
    with pytest.raises(InvalidParameterError, match='does not divide the 4 patches'):
        assemble(vision, language, out, config=settings)
    assert not out.exists()
    # Weights that are not there are not invented.
    weights = load_file(language / 'model.safetensors')
    del weights['model.layers.1.mlp.up_proj.weight']
    save_file(weights, language / 'model.safetensors', {'format': 'pt'})
    with pytest.raises(CheckpointError, match='1 weights are missing'):
        assemble(vision, language, out, config=settings)
    torch.save(weights, language / 'pytorch_model.bin')
    (language / 'model.safetensors').unlink()
    with pytest.raises(CheckpointError, match='language part'):
        assemble(vision, language, out, config=settings)
