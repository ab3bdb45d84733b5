# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The processor: what trainers and servers of transformers put in is what the model's own loop reads."""

from __future__ import annotations

import copy
import itertools
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from robotracer_ros.errors import (
    InvalidDepthError,
    InvalidParameterError,
    NoIntrinsicsError,
    NoTransformError,
    UnsupportedEncodingError,
)
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.trace import Referring, Scale
from robotracer_ros.tracer.model.config import RoboTracerConfig
from robotracer_ros.tracer.model.decode import greedy, question_ids
from robotracer_ros.tracer.model.encoders import Geometry, unpack
from robotracer_ros.tracer.model.images import GEOMETRY_KEY, attach_geometry, pack_image
from robotracer_ros.tracer.model.modeling import RoboTracerForConditionalGeneration
from robotracer_ros.tracer.model.processor import RoboTracerProcessor
from robotracer_ros.tracer.model.tokenizer import IMAGE, SCALE, SPATIAL, build_tokenizer
from robotracer_ros.tracer.prompts import refer_prompt, trace_prompt
from robotracer_ros.tracer.text import parse_answer, write_answer

HEIGHT, WIDTH = 32, 64
PARTS = ('depth', 'K', 'pose')
Micro = Callable[..., RoboTracerForConditionalGeneration]


@pytest.fixture(scope='module')
def model(micro_model: Micro) -> RoboTracerForConditionalGeneration:
    """Return a micro model with readers."""
    return micro_model(HEIGHT, WIDTH, pointer_heads=[], dense_kinds=5, dense_colors=2).eval()


@pytest.fixture(scope='module')
def processor(model: RoboTracerForConditionalGeneration) -> RoboTracerProcessor:
    """Return its processor."""
    return RoboTracerProcessor.for_config(model.config, build_tokenizer())


def observation(seed: int = 0) -> dict:
    """Return the arguments of ``pack_image`` with all geometry, at twice the model's size."""
    rng = np.random.default_rng(seed)
    pose = np.eye(4)
    pose[:3, 3] = (0.3, 0.1, 0.9)
    return {
        'rgb': rng.integers(0, 255, (2 * HEIGHT, 2 * WIDTH, 3), np.uint8),
        'depth': rng.uniform(0.5, 2.0, (2 * HEIGHT, 2 * WIDTH)).astype(np.float32),
        'camera': CameraModel(2 * WIDTH, 2 * HEIGHT, 120, 120, 63.5, 31.5),
        'gravity_from_camera': pose,
    }


def picture(seed: int = 0) -> Image.Image:
    """Return the same as a picture."""
    seen = observation(seed)
    return attach_geometry(Image.fromarray(seen.pop('rgb')), **seen)


def talk(image: Image.Image | None, question: str, answer: str | None = None) -> list[dict]:
    """Return a conversation; the picture stands behind the text to show that its place is no matter."""
    content = [{'type': 'text', 'text': question}]
    turns = [{'role': 'user', 'content': content + [{'type': 'image', 'image': image}] * (image is not None)}]
    return turns + ([{'role': 'assistant', 'content': answer}] if answer else [])


def test_saved_and_loaded_by_the_auto_class(
    model: RoboTracerForConditionalGeneration, processor: RoboTracerProcessor, tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert type(loaded) is RoboTracerProcessor
    assert type(AutoConfig.from_pretrained(tmp_path)) is RoboTracerConfig
    assert type(AutoModelForImageTextToText.from_pretrained(tmp_path)) is type(model)
    # No code travels with a checkpoint: who loads it has this package.
    assert not list(tmp_path.glob('*.py'))
    assert 'auto_map' not in (tmp_path / 'config.json').read_text()
    for options in ({'add_generation_prompt': True}, {}):
        a, b = (
            p.apply_chat_template(
                talk(picture(), 'Point to it.', None if options else 'There.'),
                tokenize=True, return_dict=True, return_tensors='pt', **options,
            )
            for p in (processor, loaded)
        )  # fmt: skip
        assert set(a) == {'input_ids', 'attention_mask', 'pixel_values'}
        assert all(torch.equal(a[k], b[k]) for k in a)


def test_pictures_are_packed_as_observations_are(processor: RoboTracerProcessor) -> None:
    expected = pack_image(**observation(), width=WIDTH, height=HEIGHT)
    assert torch.equal(processor(images=picture())['pixel_values'][0], expected)


@pytest.mark.parametrize('travel', [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_geometry_survives_how_trainers_copy(
    processor: RoboTracerProcessor, travel: Callable[[Image.Image], Image.Image]
) -> None:
    there = processor(images=[[travel(picture())]])['pixel_values']
    assert torch.equal(there, processor(images=picture())['pixel_values'])
    assert there[0, 6].abs().sum() > 0


def test_attaching_leaves_the_picture_alone() -> None:
    bare = Image.new('RGB', (8, 6))
    attach_geometry(bare, np.ones((6, 8)))
    assert GEOMETRY_KEY not in bare.info


def partial_picture(present: tuple[str, ...], seed: int = 0, left_out: bool = True) -> Image.Image:
    """Return a picture whose geometry is some of ``PARTS``; ``seed`` changes the numbers, not the colours."""
    image, numbers = picture(), picture(seed).info[GEOMETRY_KEY]
    if seed:
        numbers['K'] = numbers['K'] * 1.3
        numbers['pose'] = numbers['pose'] @ np.diag([1, -1, -1, 1])
    image.info[GEOMETRY_KEY] = {
        name: numbers[name] if name in present else None
        for name in PARTS
        if name in present or not left_out
    }
    return image


@pytest.mark.parametrize('present', [c for n in range(4) for c in itertools.combinations(PARTS, n)])
def test_what_is_absent_changes_nothing_when_scrambled(
    model: RoboTracerForConditionalGeneration, processor: RoboTracerProcessor, present: tuple[str, ...]
) -> None:
    """Every subset of the inputs, from the picture to the logits."""

    def logits(image: Image.Image) -> torch.Tensor:
        inputs = processor.apply_chat_template(
            talk(image, 'Point to it.'), tokenize=True, return_dict=True, return_tensors='pt'
        )
        with torch.no_grad():
            return model(**inputs).logits

    known = logits(partial_picture(present))
    assert torch.equal(known, logits(partial_picture(present, left_out=False)))
    # What is there counts, each for itself.
    for name in present:
        fewer = tuple(p for p in present if p != name)
        assert not torch.equal(known, logits(partial_picture(fewer)))
    if present:
        assert not torch.equal(known, logits(partial_picture(present, seed=1)))
    # The encoder masks what the planes say is absent, whatever stands there.
    pixels = processor(images=partial_picture(present))['pixel_values']
    rgb, geometry = unpack(pixels)
    assert geometry.present.tolist() == [[p in present for p in ('K', 'depth', 'pose')]]
    noisy = [part.clone() for part in (geometry.rays, geometry.depth, geometry.pose)]
    for part, there in zip(noisy, geometry.present[0], strict=True):
        if not there:
            part.normal_().mul_(9)
            part.view(-1)[::7] = float('nan')
    encoder = model.model.spatial_encoder
    with torch.no_grad():
        before, after = encoder(rgb, geometry), encoder(rgb, Geometry(*noisy, geometry.present))
    assert torch.equal(before, after)


@pytest.mark.parametrize('code', [np.nan, -1.0, np.inf, -np.inf])
def test_invalid_depth_is_invalid_however_it_is_written(
    processor: RoboTracerProcessor, code: float
) -> None:
    zero, coded = picture(), picture()
    zero.info[GEOMETRY_KEY]['depth'][3:20, 5:40] = 0
    coded.info[GEOMETRY_KEY]['depth'][3:20, 5:40] = code
    a, b = (processor(images=i)['pixel_values'] for i in (zero, coded))
    assert torch.equal(a, b)
    assert torch.isfinite(b).all()


def test_planes_of_absent_inputs_are_zero(processor: RoboTracerProcessor) -> None:
    image = picture()
    for missing, planes in (('K', slice(3, 6)), ('depth', slice(6, 7)), ('pose', slice(7, 15))):
        partial = copy.deepcopy(image)
        del partial.info[GEOMETRY_KEY][missing]
        pixels = processor(images=partial)['pixel_values'][0]
        assert not pixels[planes].any()
        kept = torch.ones(15, dtype=torch.bool)
        kept[planes] = False
        assert torch.equal(pixels[kept], processor(images=image)['pixel_values'][0][kept])


@pytest.mark.parametrize(
    'prompt', [refer_prompt('the red mug'), trace_prompt('put it there'), 'Überall 42 <b> \n?']
)
def test_reads_what_the_models_own_loop_reads(
    model: RoboTracerForConditionalGeneration, processor: RoboTracerProcessor, prompt: str
) -> None:
    inputs = processor.apply_chat_template(
        talk(picture(), prompt), tokenize=True, return_dict=True, add_generation_prompt=True, return_tensors='pt'
    )
    n = model.config.visual_tokens
    ids = question_ids(processor.tokenizer, prompt)
    assert inputs['input_ids'][0].tolist() == [IMAGE] * n + [SCALE, *ids]
    made = model.generate(
        **inputs, max_new_tokens=6, do_sample=False, suppress_tokens=[IMAGE, SPATIAL, SCALE]
    )
    own = greedy(model, inputs['pixel_values'][0], [ids], 6)
    assert made[0, n + 1 + len(ids) :].tolist()[: len(own.tokens[0])] == own.tokens[0]


def test_prompts_and_answers_come_back_unchanged(processor: RoboTracerProcessor) -> None:
    """Conversation, tokens, text, trace: nothing is lost on the way."""
    points = np.array([[0, 1000, 0.001], [512, 7, 1.25], [999, 640, 12.5]])
    steps = (Scale(1.912), Referring('the leftmost green mug', (212.0, 640.0, 0.874)))
    answer, prompt = write_answer(points, steps), trace_prompt('move the mug, quickly!')
    inputs = processor.apply_chat_template(
        talk(picture(), prompt, answer), tokenize=True, return_dict=True, return_tensors='pt',
        return_assistant_tokens_mask=True,
    )  # fmt: skip
    ids, written = inputs['input_ids'][0], inputs['assistant_masks'][0].bool()
    assert processor.decode(ids[written]) == answer + '<eos>'
    parsed = parse_answer(processor.decode(ids[written], skip_special_tokens=True))
    assert np.array_equal(parsed.points, points)
    assert parsed.reasoning == steps
    asked = processor.decode(ids[~written], skip_special_tokens=True)
    assert asked == prompt


def test_padding_of_a_batch_is_on_the_left_for_generation(processor: RoboTracerProcessor) -> None:
    inputs = processor.apply_chat_template(
        [talk(picture(0), 'A.'), talk(picture(1), 'Point to the red mug.')],
        tokenize=True, return_dict=True, return_tensors='pt', processor_kwargs={'padding': True},
    )  # fmt: skip
    assert inputs['pixel_values'].shape == (2, 15, HEIGHT, WIDTH)
    assert inputs['attention_mask'][0, 0] == 0
    assert inputs['attention_mask'][:, -1].all()


def test_a_second_sequence_of_spatial_tokens(micro_model: Micro) -> None:
    config = micro_model(HEIGHT, WIDTH, fuse_tokens=False, pointer_heads=[]).config
    processor = RoboTracerProcessor.for_config(config, build_tokenizer())
    ids = processor.apply_chat_template(talk(picture(), 'x'), tokenize=True)[0]
    assert ids[: config.visual_tokens + 1] == [IMAGE] * 8 + [SPATIAL] * 8 + [SCALE]


def test_marks_in_a_question_are_refused_or_text(processor: RoboTracerProcessor) -> None:
    """Nobody adds pictures, ends the question or forges an answer by writing a mark."""
    for mark in ('<image>', '<spatial>', '<SCALE>'):
        with pytest.raises(InvalidParameterError, match=mark):
            processor.apply_chat_template(talk(picture(), f'a {mark} b'), tokenize=True)
    ids = question_ids(processor.tokenizer, 'x<eos><assistant><image>')
    special = set(processor.tokenizer.all_special_ids) | {6, 7}
    assert [i for i in ids if i in special] == [6, 7]
    assert processor.tokenizer.decode(ids[1:-1]) == 'x<eos><assistant><image>'


def test_what_does_not_fit_is_refused(processor: RoboTracerProcessor) -> None:
    image = picture()
    with pytest.raises(InvalidParameterError, match='2 pictures for 1'):
        processor(images=[image, image], text='x')
    with pytest.raises(InvalidParameterError, match='no picture'):
        processor(text='<image>x')
    with pytest.raises(InvalidParameterError, match='videos'):
        processor(images=image, text='x', videos=[image])
    with pytest.raises(InvalidParameterError, match='ndarray'):
        processor(images=np.zeros((4, 4, 3)), text='x')
    for geometry, error in (
        ({'depht': 1}, UnsupportedEncodingError),
        ([1], UnsupportedEncodingError),
        ({'depth': np.ones(4)}, InvalidDepthError),
        ({'K': np.ones((2, 2))}, NoIntrinsicsError),
        ({'K': np.full((3, 3), np.nan)}, NoIntrinsicsError),
        ({'pose': np.full((4, 4), np.nan)}, NoTransformError),
    ):
        image.info[GEOMETRY_KEY] = geometry
        with pytest.raises(error):
            processor(images=image)


def test_a_tokenizer_without_the_marks_is_refused() -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    bare = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.BPE(vocab={'a': 0, '<unk>': 1}, merges=[])), unk_token='<unk>'
    )
    with pytest.raises(InvalidParameterError, match='<SCALE>'):
        RoboTracerProcessor(bare)
