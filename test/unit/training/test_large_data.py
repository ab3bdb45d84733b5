# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What assembled models learn from: settings, conversations of a data set, batches."""

from __future__ import annotations

import math
import pickle
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from tiny_models import assembled
from typer.testing import CliRunner

from robotracer_ros.cli import app
from robotracer_ros.data.generate import GenerateConfig
from robotracer_ros.data.generate import main as generate
from robotracer_ros.data.record import Record
from robotracer_ros.data.shards import read_records, shards_of
from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.resources import resource
from robotracer_ros.tracer.model.images import GEOMETRY_KEY
from robotracer_ros.tracer.model.processor import RoboTracerProcessor
from robotracer_ros.training.__main__ import main as launch_main
from robotracer_ros.training.collate import IGNORED, Collator
from robotracer_ros.training.conversations import Conversation, ConversationSet, EpochSampler
from robotracer_ros.training.large_config import (
    PARTS,
    DataPart,
    LargeConfig,
    Stage,
    accumulation,
    load_large_config,
)
from robotracer_ros.training.start import start

ACCELERATE = ('cpu', 'one_gpu', 'fsdp', 'deepspeed_zero3')


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set of three pictures in two shards, seven questions each."""
    folder = tmp_path_factory.mktemp('data')
    generate(folder, scenes=3, config=GenerateConfig(questions=7, shard_scenes=2))
    return folder


@pytest.fixture(scope='module')
def records(data: Path) -> dict[str, Record]:
    return {r.id: r for path in shards_of(data) for r in read_records(path)}


@pytest.fixture(scope='module')
def processor(tmp_path_factory: pytest.TempPathFactory) -> RoboTracerProcessor:
    return RoboTracerProcessor.from_pretrained(assembled(tmp_path_factory.mktemp('model')))


def stage(data: Path, **options: Any) -> Stage:
    return Stage(data=[DataPart(str(data))], **options)


def record_of(one: Conversation, records: dict[str, Record]) -> Record:
    return records[one.name.split("'")[1]]


def test_an_epoch_asks_every_question_once(data: Path, records: dict[str, Record]) -> None:
    found = ConversationSet(stage(data, questions=3), seed=5)
    asked = Counter[tuple[str, str, str]]()
    for i in EpochSampler(len(found), seed=5):
        one = found[i]
        record = record_of(one, records)
        assert np.array_equal(np.asarray(one.picture.convert('RGB')), record.rgb())
        assert record.scale is not None and one.log_scale == pytest.approx(math.log(record.scale))
        assert 1 <= len(one.turns) <= 3
        asked.update((record.id, *turn) for turn in one.turns)
    assert asked == Counter((r.id, s.prompt, s.answer) for r in records.values() for s in r.samples)


def test_what_is_drawn_follows_from_seed_epoch_and_number_alone(data: Path) -> None:
    one, other = (ConversationSet(stage(data, questions=2, rgb_share=0.5), seed=5) for _ in range(2))
    n = len(one)
    orders = []
    for epoch in (0, 1):
        sampler = EpochSampler(n, seed=5)
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
        assert sorted(orders[-1]) == list(range(epoch * n, (epoch + 1) * n))
    assert [i - n for i in orders[1]] != orders[0]
    # Read in another order, and by a copy as a worker has it.
    told = {i: one[i] for i in orders[0] + orders[1]}
    copy = pickle.loads(pickle.dumps(other))
    for i in sorted(told, reverse=True):
        again = copy[i]
        assert again.turns == told[i].turns
        theirs, mine = (c.picture.info[GEOMETRY_KEY] for c in (again, told[i]))
        assert theirs.keys() == mine.keys()
        assert all(np.array_equal(theirs[k], mine[k]) for k in mine)
    assert [told[i].turns for i in range(n)] != [told[i].turns for i in range(n, 2 * n)]


def test_geometry_comes_as_any_subset_and_as_the_record_has_it(
    data: Path, records: dict[str, Record]
) -> None:
    found = ConversationSet(stage(data, questions=1, rgb_share=0.3), seed=0)
    seen = Counter[tuple[str, ...]]()
    for i in range(8 * len(found)):
        one = found[i]
        given = one.picture.info[GEOMETRY_KEY]
        seen[tuple(sorted(given))] += 1
        record = record_of(one, records)
        assert record.camera is not None
        if 'K' in given:
            assert np.allclose(given['K'], record.camera.matrix)
        if 'depth' in given:
            assert np.array_equal(given['depth'], record.depth_metres())
        if 'pose' in given:
            assert np.allclose(given['pose'], record.world_from_camera)
    total = sum(seen.values())
    assert seen.pop(()) / total == pytest.approx(0.3, abs=0.1)
    assert len(seen) == 7
    assert max(seen.values()) < 3 * min(seen.values())
    kept = ConversationSet(stage(data, questions=1, inputs=['intrinsics', 'pose']), seed=0)
    subsets = {tuple(sorted(kept[i].picture.info[GEOMETRY_KEY])) for i in range(len(kept))}
    assert subsets == {('K',), ('pose',), ('K', 'pose')}


def test_data_sets_are_mixed_in_the_shares_asked_for(data: Path) -> None:
    def part(repeat: float) -> DataPart:
        return DataPart(str(data), sources=['sim'], repeat=repeat)

    whole = len(ConversationSet(Stage(data=[part(1)], questions=1), 0))
    mixed = ConversationSet(Stage(data=[part(0.5), part(2)], questions=1), 0)
    half = round(whole / 2)
    assert len(mixed) == half + 2 * whole
    texts = [mixed[i].turns for i in range(len(mixed))]
    assert len(set(texts[:half])) == half
    assert Counter(texts[half : half + whole]) == Counter(texts[half + whole :])
    later = [mixed[i].turns for i in range(len(mixed), len(mixed) + half)]
    assert set(later) != set(texts[:half]), 'another half in the next epoch'


@pytest.mark.parametrize(
    ('part', 'message'),
    [
        ({'folder': 'nowhere'}, "data set 'nowhere' has no shard of split 'train'; it holds nothing"),
        ({'split': 'val'}, "no shard of split 'val'; it holds train-sim"),
        ({'sources': ['scan', 'web']}, 'of scan, web; it holds train-sim'),
    ],
)
def test_a_data_set_that_is_not_there_is_named(data: Path, part: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidParameterError, match=message):
        ConversationSet(Stage(data=[DataPart(**{'folder': str(data), **part})]), 0)


def test_only_answers_are_learned(data: Path, processor: RoboTracerProcessor) -> None:
    found = ConversationSet(stage(data, questions=2), seed=1)
    conversations = [found[i] for i in range(3)]
    batch = Collator(processor, 4000)(conversations)
    assert batch['pixel_values'].shape[:2] == (3, 15)
    assert (batch['attention_mask'].sum(1) < batch['input_ids'].shape[1]).any(), 'padded'
    for ids, labels, scale, one in zip(
        batch['input_ids'], batch['labels'], batch['log_scale_labels'], conversations, strict=True
    ):
        learned = labels != IGNORED
        assert torch.equal(labels[learned], ids[learned])
        assert processor.decode(ids[learned]) == ''.join(f'{a}<|im_end|>\n' for _, a in one.turns)
        assert float(scale) == pytest.approx(one.log_scale)
    first = int((batch['labels'] != IGNORED).any(0).nonzero()[0])
    assert batch['input_ids'].shape[1] - batch['logits_to_keep'] == first - 1


def test_questions_that_do_not_fit_are_left_out(processor: RoboTracerProcessor) -> None:
    picture = Image.new('RGB', (32, 24))
    turns = (('short', 'yes'), ('long ' * 50, 'no'), ('again', 'yes'))
    batch = Collator(processor, 90)([Conversation('x', picture, turns, math.nan)])
    text = processor.decode(batch['input_ids'][0])
    assert 'short' in text and 'again' in text and 'long' not in text
    assert batch['input_ids'].shape[1] <= 90
    assert torch.isnan(batch['log_scale_labels']).all()
    with pytest.raises(InvalidParameterError, match=r'conversation x has \d+ tokens.* max_tokens is 60'):
        Collator(processor, 60)([Conversation('x', picture, turns[1:2], 0.0)])
    with pytest.raises(InvalidParameterError, match=r'one of x: .*<SCALE>'):
        Collator(processor, 60)([Conversation('x', picture, (('a <SCALE>', 'b'),), 0.0)])


@pytest.mark.parametrize(('size', 'batches'), [('2b', (7, 6)), ('8b', (3, 2))])
def test_the_shipped_settings_are_the_papers(size: str, batches: tuple[int, int]) -> None:
    config = load_large_config(resource(f'config/train/robotracer-{size}.yaml'))
    alignment, enhancement = config.stages
    assert (alignment.name, enhancement.name) == ('alignment', 'enhancement')
    assert (alignment.learning_rate, enhancement.learning_rate) == (1e-4, 5e-5)
    assert (alignment.batch, enhancement.batch) == batches
    for one in config.stages:
        assert (one.weight_decay, one.warmup_ratio, one.epochs) == (0, 0.03, 1)
        assert accumulation(one, 64) == 1
        assert accumulation(one, 8) == 8
    assert (alignment.rgb_share, enhancement.rgb_share) == (0, 0.5)
    assert {'language_model', 'vision_tower'}.isdisjoint(alignment.train)
    assert set(enhancement.train) == set(PARTS)


def test_stages_that_only_have_a_name_are_the_papers(tmp_path: Path) -> None:
    path = tmp_path / 'run.yaml'
    data = [{'folder': 'x'}]
    path.write_text(yaml.safe_dump({'stages': [{'name': n, 'data': data} for n in ('alignment', 'enhancement')]}))
    alignment, enhancement = load_large_config(path).stages
    assert alignment == Stage(data=[DataPart('x')])
    assert alignment.train == ['spatial_projector', 'scale_decoder']
    assert set(enhancement.train) == set(PARTS) - {'spatial_encoder'}
    assert replace(enhancement, name='alignment', train=alignment.train) == replace(
        alignment, rgb_share=0.5, learning_rate=5e-5, batch=6, global_batch=384
    )


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'learnig_rate': 1}, 'unknown setting.* learnig_rate; known: batch'),
        ({'train': ['head']}, "train 'head': must be one of vision_tower"),
        ({'train': []}, 'train and data must name something'),
        ({'data': [{'split': 'train'}]}, r'data\[0\].*folder'),
        ({'data': [{'folder': 'x', 'repeat': 0}]}, r'repeat 0.0: must be more than 0'),
        ({'data': 'x'}, 'data is a str: must be a list'),
        ({'rgb_share': 1.5}, 'rgb_share 1.5: must be in 0..1'),
        ({'inputs': []}, 'inputs is empty and rgb_share 0.0'),
        ({'inputs': ['lidar']}, "inputs 'lidar': must be one of intrinsics, depth, pose"),
        ({'batch': 0}, 'batch 0: must be at least 1'),
        ({'batch': 2.5}, 'batch is 2.5: must be int'),
        ({'learning_rate': 'fast'}, "learning_rate is 'fast': must be float"),
        ({'learning_rate': -1}, 'learning_rate -1.0: must be more than 0'),
        ({'warmup_ratio': 1}, 'warmup_ratio 1.0: must be in 0..1'),
        ({'lora': {'rank': 0, 'parts': []}}, 'lora.rank 0: must be at least 1'),
        ({'lora': {'parts': ['language_model']}}, "lora.parts 'language_model': must be one of spatial_projector"),
        ({'lora': {'parts': []}, 'train': ['visual_position']}, 'visual_position is no module'),
        ({'name': '../x'}, 'is no name of a folder'),
    ],
)
def test_settings_of_a_stage_that_do_not_fit_are_named(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / 'run.yaml'
    path.write_text(yaml.safe_dump({'stages': [{'data': [{'folder': 'x'}], **change}]}))
    with pytest.raises(InvalidParameterError, match=message):
        load_large_config(path)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'stages': []}, 'stages is empty'),
        ({'stages': [{'data': [{'folder': 'x'}]}] * 2}, 'stages alignment, alignment: names must differ'),
        ({'precision': 'fp8'}, "precision 'fp8': must be one of fp32, tf32, bf16"),
        ({'device': 'tpu'}, "device 'tpu': must be one of auto, cpu, cuda"),
        ({'save_steps': 0}, 'save_steps 0: must be at least 1'),
        ({'modle': 'x'}, r'unknown setting\(s\) modle'),
        ({'progress': 'yes'}, "progress is 'yes': must be bool"),
    ],
)
def test_settings_that_do_not_fit_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidParameterError, match=message):
        load_large_config(resource('config/train/robotracer-2b.yaml'), **change)
    assert asdict(LargeConfig())['trainer'] == 'transformers'


def test_a_batch_that_does_not_come_out_even_is_refused() -> None:
    with pytest.raises(InvalidParameterError, match=r'global_batch 448 is no multiple of 21 \(batch 7 x 3'):
        accumulation(Stage(), 3)
    assert accumulation(Stage(global_batch=None), 3) == 1


def test_one_command_chooses_the_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[str, dict[str, Any]]] = []
    for name in ('sft', 'stages'):
        monkeypatch.setattr(
            f'robotracer_ros.training.{name}.main',
            lambda path, _name=name, **settings: called.append((f'{_name} {Path(path).name}', settings)),
        )
    for name, options in (
        ('tiny', ['--output', 'x', '--set', 'seed=3']),
        ('robotracer-2b', ['--stage', 'enhancement', '--set', 'precision=fp32']),
    ):
        config = str(resource(f'config/train/{name}.yaml'))
        done = CliRunner().invoke(app, ['train', 'sft', '--config', config, *options])
        assert done.exit_code == 0, done.output
    assert called == [
        ('sft tiny.yaml', {'output': 'x', 'seed': 3}),
        ('stages robotracer-2b.yaml', {'stage': 'enhancement', 'precision': 'fp32'}),
    ]
    for text, message in (
        ('trainer: keras', "trainer 'keras': must be one of packed, transformers"),
        ('[1]', 'no mapping'),
        ('a: [', 'is no YAML'),
    ):
        (tmp_path / 'run.yaml').write_text(text)
        with pytest.raises(InvalidParameterError, match=message):
            start(tmp_path / 'run.yaml')
    for arguments, message in (([], 'usage'), (['x=1'], 'usage'), (['x', 'stage'], "'stage': must be KEY=VALUE")):
        with pytest.raises(InvalidParameterError, match=message):
            launch_main(arguments)
    with pytest.raises(InvalidParameterError, match='does not exist'):
        start(tmp_path / 'missing.yaml')
    with pytest.raises(InvalidParameterError, match=r"stage 'alignment': .* has no stages"):
        start(resource('config/train/tiny.yaml'), stage='alignment')


@pytest.mark.parametrize('name', ACCELERATE)
def test_accelerate_reads_the_shipped_launch_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``accelerate launch`` reads them: unknown keys are errors there."""
    from accelerate.commands import launch
    from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file

    path = str(resource(f'config/train/accelerate/{name}.yaml'))
    settings = load_config_from_file(path)
    assert isinstance(settings, ClusterConfig)
    # What a machine without GPUs and without DeepSpeed would stop at.
    monkeypatch.setattr(launch, 'is_deepspeed_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    arguments = ['--config_file', path, '-m', 'robotracer_ros.training', 'config.yaml']
    args, defaults, mixed = launch._validate_launch_command(
        launch.launch_command_parser().parse_args(arguments)
    )
    assert defaults.num_processes == args.num_processes == (8 if name in ('fsdp', 'deepspeed_zero3') else 1)
    assert args.use_fsdp == (name == 'fsdp')
    assert args.use_deepspeed == (name == 'deepspeed_zero3')
    assert args.use_cpu == (name == 'cpu')
    if name == 'fsdp':
        assert int(args.fsdp_version) == 2
        from transformers.models.qwen2 import modeling_qwen2
        from transformers.models.siglip import modeling_siglip

        for layer in args.fsdp_transformer_layer_cls_to_wrap.split(','):
            assert hasattr(modeling_qwen2, layer) or hasattr(modeling_siglip, layer)
    if name == 'deepspeed_zero3':
        assert int(args.zero_stage) == 3
    assert (args.mixed_precision or mixed) is not None
