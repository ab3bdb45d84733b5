# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Variants lack what they are said to lack, are trained and judged alike, and are not done twice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from small_parts import SMALL

from robotracer_ros.bench import ablation
from robotracer_ros.data.facts import SceneFacts
from robotracer_ros.data.qa import sample_questions
from robotracer_ros.data.score import Judge
from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.tracer.model.decode import greedy, question_ids
from robotracer_ros.tracer.model.encoders import unpack
from robotracer_ros.tracer.model.images import pack_image
from robotracer_ros.tracer.model.reader import number_waves
from robotracer_ros.tracer.model.said import Said
from robotracer_ros.tracer.model.support import support_frame
from robotracer_ros.tracer.model.tokenizer import NumberTokens, build_tokenizer
from robotracer_ros.training.config import Phase, SftConfig
from robotracer_ros.training.metric_text import encode_metric, in_metres, in_picture
from robotracer_ros.training.samples import text_pair
from robotracer_ros.training.scene_cache import SceneCache
from robotracer_ros.training.sft import Run, make_model
from robotracer_ros.training.variants import metric_readings, model_class


@pytest.fixture(scope='module')
def cache(tmp_path_factory: pytest.TempPathFactory) -> SceneCache:
    made = SceneCache(tmp_path_factory.mktemp('cache'), first=40, capacity=2)
    made.fill()
    return made


def small_model(**settings: object) -> torch.nn.Module:
    torch.manual_seed(3)
    return make_model(SftConfig(model=SMALL, **settings), build_tokenizer()).eval()  # type: ignore[arg-type]


def test_without_the_spatial_encoder_its_tokens_never_enter(cache: SceneCache) -> None:
    full, flat = small_model(), small_model(spatial_encoder=False)
    names = dict(flat.named_parameters())
    assert not any('spatial' in name for name in names)
    lost = [n for n, _ in full.named_parameters() if n not in names]
    assert lost and all('spatial' in n for n in lost)
    for name, weight in full.named_parameters():
        if name in names:
            assert torch.equal(weight, names[name]), f'{name} begins otherwise'
    scene, image = cache.scene(0), cache.rendering(0)
    seen = [
        pack_image(image.rgb, depth, scene.camera, scene.world_from_camera)[None]
        for depth in (image.depth, image.depth * 1.5, None)
    ]
    with torch.no_grad():
        blind = [flat.model.visual_tokens(x) for x in seen]
        tokens = [full.model.visual_tokens(x) for x in seen]
    assert torch.equal(blind[0], blind[1]) and torch.equal(blind[0], blind[2])
    assert not torch.equal(tokens[0], tokens[1])


def test_answers_in_metres_say_the_same(cache: SceneCache) -> None:
    scene, image = cache.scene(0), cache.rendering(0)
    facts = SceneFacts(scene, image)
    tokenizer = build_tokenizer()
    numbers = NumberTokens(tokenizer)
    judge = Judge(facts, image)
    rng = np.random.default_rng(4)
    kinds = {'refer': 2.0, 'measure': 1.0, 'trace_3d_think': 1.0, 'trace_3d': 1.0}
    asked = sample_questions(facts, rng, 12, 'train', kinds, simple=True)
    assert {s.task_type for s in asked} == set(kinds)
    for sample in asked:
        metric = in_metres(sample.answer, scene.camera)
        assert (metric != sample.answer) == bool(sample.mentions)
        back = judge.score(sample, in_picture(metric, scene.camera))
        for name, hit in judge.score(sample, sample.answer).hits.items():
            assert back.hits[name] == pytest.approx(hit, abs=0.3 if 'control' in name else 0.01), name
        pair = text_pair(sample, facts)
        made = encode_metric(tokenizer, numbers, pair, scene.camera)
        assert tokenizer.decode(made.ids[made.start : -1]) == metric
        assert len(made.places) == 6 * len(sample.mentions)
        for k, target in zip(range(0, len(made.places), 6), pair.targets, strict=False):
            at = made.places[k][0]
            assert tokenizer.decode([made.ids[at + 1]]) in '+-', 'before the sign of x'
            assert target is None or (at, target) in made.pointers
        decimals = [r for r in made.roles if r in 'fd' and r]
        assert len(made.numbers) == len(decimals)


def test_points_behind_the_camera_miss(cache: SceneCache) -> None:
    camera = cache.scene(0).camera
    assert in_picture('[(+0.100, -0.200, 0.000)]', camera) == '[(-1, -1, 0.000)]'
    assert in_picture('[(1, 2, 0.500)]', camera) == '[(1, 2, 0.500)]', 'no metres: as written'


def test_metric_readers_write_metres(cache: SceneCache) -> None:
    camera = cache.scene(0).camera
    uvd = np.array([[300.0, 700.0, 1.25], [900.0, 100.0, 2.5]])
    image = cache.rendering(0)
    frame = support_frame(unpack(pack_image(image.rgb, image.depth, camera)[None])[1]).expanded()
    place = torch.tensor(uvd / (1000, 1000, 1))[None].float()
    told = metric_readings(place, frame)[0]
    xyz = np.abs(camera.lift(uvd))
    np.testing.assert_allclose(told[:, :2], xyz[:, :2] % 1, atol=1e-3)
    np.testing.assert_allclose(told[:, 2], xyz[:, 2] % 1, atol=1e-5)
    unknown = frame._replace(known=torch.zeros(1, 1, dtype=torch.bool))
    np.testing.assert_allclose(metric_readings(place, unknown)[0, :, :2], uvd[:, :2] / 1000, atol=1e-6)


def test_metric_models_are_trained_and_answer(cache: SceneCache, tmp_path: Path) -> None:
    lesson = Phase(10**9, short={'refer': 1.0}, long={'trace_3d_think': 1.0}, long_share=0.5, simple_share=1.0)
    run = Run(SftConfig(
        output=str(tmp_path), train_cache=str(cache.folder), val_cache=str(cache.folder), model=SMALL,
        phases=[lesson], short_questions=2, long_questions=1, answer_form='xyz', device='cpu',
    ))  # fmt: skip
    step = run.model.model.step_reader.metres[2].weight
    before = step.detach().clone()
    for _ in range(2):
        figures = run.one_step()
    assert not torch.equal(step, before)
    assert np.isfinite(figures['norm']) and figures['norm'] > 0
    scene, image = cache.scene(0), cache.rendering(0)
    assert run.average is not None
    pixels = pack_image(image.rgb, image.depth, scene.camera, scene.world_from_camera)
    ids = [question_ids(run.tokenizer, 'Point to the cup. Answer [(x, y, d)]')]
    assert len(greedy(run.average.model, pixels, ids, 3).tokens[0]) <= 3


def test_switches_are_checked() -> None:
    with pytest.raises(InvalidParameterError, match="answer_form 'xy': must be uvd or xyz"):
        model_class(SftConfig(answer_form='xy'))
    with pytest.raises(InvalidParameterError, match='needs the spatial encoder'):
        model_class(SftConfig(answer_form='xyz', spatial_encoder=False))


def test_a_table_is_made_once(
    cache: SceneCache, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, start = str(cache.folder), tmp_path / 'start'
    small_model().save_pretrained(start)
    lesson = {'until': 10**9, 'short': {'refer': 1.0}, 'long': {'trace_3d': 1.0}, 'long_share': 0.5}
    settings = {
        'start': str(start), 'scenes': 1, 'refers': 2,
        'base': {
            'train_cache': folder, 'val_cache': folder, 'model': SMALL, 'phases': [lesson],
            'short_questions': 2, 'long_questions': 1, 'max_steps': 2, 'eval_scenes': 0, 'device': 'cpu',
        },
        'variants': {
            'full': {}, 'colours': {'spatial_encoder': False, 'drop_rays': 1, 'drop_depth': 1, 'drop_pose': 1},
            'no scale loss': {'model': {'scale_loss_weight': 0.0}},
        },
    }  # fmt: skip
    config, out = tmp_path / 'a.yaml', tmp_path / 'out'
    config.write_text(yaml.safe_dump(settings, sort_keys=False))
    assert ablation.main(config, out, json_output=True) == 0
    said = capsys.readouterr().out
    found = json.loads(said)['variants']
    assert list(found) == ['full', 'colours', 'no scale loss']
    for variant in found.values():
        shown = variant['figures']
        assert shown['RGB+I+D+pose']['refer']['rates']['parsed']['n'] == 2
        assert shown['RGB+I+D+pose']['direct']['rates']['parsed']['n'] == 1
        assert 'think' not in shown['RGB+I+D+pose'], 'no reasoning was taught'
        assert set(shown['RGB']) == {'refer', 'scale'}
    assert found['colours']['weights'] < found['full']['weights'] == found['no scale loss']['weights']
    scales = {k: [v['figures'][c]['scale'] for c in ('RGB', 'RGB+I+D+pose')] for k, v in found.items()}
    assert scales['colours'][0] == scales['colours'][1], 'it is given colours only'
    assert scales['full'][0] != scales['full'][1]
    for variant in found:
        log = (out / variant.replace(' ', '_') / 'log').read_text()
        assert f' tensors from {start / "model.safetensors"}' in log
    assert ablation.main(config, out) == 0
    assert 'named <3cm' in capsys.readouterr().out
    with pytest.raises(InvalidParameterError, match="variants 'half': must be of full"):
        ablation.main(config, out, only=['half'])
    settings['scenes'] = 2
    config.write_text(yaml.safe_dump(settings, sort_keys=False))
    with pytest.raises(InvalidParameterError, match='figures of other settings'):
        ablation.main(config, out)
    config.write_text(yaml.safe_dump(settings | {'sceens': 2}))
    with pytest.raises(InvalidParameterError, match=r'unknown setting\(s\) sceens'):
        ablation.load(config)


def test_only_u_and_v_of_a_step_are_written_otherwise(cache: SceneCache) -> None:
    scene, image = cache.scene(0), cache.rendering(0)
    shipped, metric = small_model(), small_model(answer_form='xyz')
    reader, ours = shipped.model.step_reader, metric.model.step_reader
    ours.load_state_dict(reader.state_dict())
    pixels = pack_image(image.rgb, image.depth, scene.camera, scene.world_from_camera)[None]
    with torch.no_grad():
        view, frame, _ = shipped.model.views(shipped.model.visual_tokens(pixels), pixels)
        hidden, anchor = torch.randn(1, 1, 32), view.places[:, 150:151]
        for gate, same in ((-99.0, True), (99.0, False)):
            for each in (reader, ours):
                each.gate.bias[:2] = gate  # of u and v
            said = Said(torch.zeros(1, 1), torch.zeros(1, 1, 6, 3), torch.zeros(1, 1, 6, dtype=torch.bool))
            a, steps = reader(hidden, anchor, frame, said)
            b, as_well = ours(hidden, anchor, frame, said)
            place = steps.place
            assert torch.equal(place, as_well.place)
            assert torch.allclose(a, b, atol=1e-5) == same
    xyz = scene.camera.lift(place[0].numpy() * (1000, 1000, 1))
    codes = number_waves(torch.tensor(np.abs(xyz[:, :2]) % 1).float(), 8) - number_waves(place[0, :, :2], 8)
    np.testing.assert_allclose((b - a)[0, 0, :16], codes[0].sum(0), atol=2e-3)
