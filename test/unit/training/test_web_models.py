# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Real ``transformers`` models of the classes that look at pictures, tiny and random: loading, shapes, refusals.

What they say is noise; that it has the right shape, unit and place is what is tested here. What is made of it is tested
in ``test/unit/data/test_web.py``.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import yaml
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from robotracer_ros.cli import app
from robotracer_ros.data.web.config import ModelNames
from robotracer_ros.errors import CheckpointError
from robotracer_ros.training.web_models import load_models, match_label

HEIGHT, WIDTH = 48, 80


@pytest.fixture(scope='module')
def names(tmp_path_factory: pytest.TempPathFactory) -> ModelNames:
    """Write one model of each class and name them."""
    root = tmp_path_factory.mktemp('models')
    return ModelNames(
        detector=str(tiny_models.owlv2(root / 'owlv2')),
        segmenter=str(tiny_models.sam(root / 'sam')),
        depth=str(tiny_models.depth_anything(root / 'depth')),
        captioner=str(tiny_models.blip(root / 'blip')),
        labels=('cup',),
        detector_threshold=0.0,
        text_threshold=0.0,
        caption_tokens=5,
        device='cpu',
    )


@pytest.fixture(scope='module')
def rgb() -> NDArray[np.uint8]:
    """Return a picture that is no square."""
    return np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.mark.parametrize('kind', ['owlv2', 'grounding_dino', 'detr'])
def test_detectors(
    kind: str, names: ModelNames, rgb: NDArray[np.uint8], tmp_path: Path
) -> None:
    """Zero-shot and fixed classes: boxes in pixels of the picture, names that were asked for."""
    folder = getattr(tiny_models, kind)(tmp_path / kind)
    found = load_models(replace(names, detector=str(folder))).detect(rgb)
    assert found
    for d in found:
        assert d.label in ('cup', 'bowl') if kind == 'detr' else d.label == 'cup'
        x0, y0, x1, y1 = d.box
        assert 0 <= x0 < x1 <= WIDTH and 0 <= y0 < y1 <= HEIGHT and 0 < d.score <= 1
    none = load_models(replace(names, detector=str(folder), detector_threshold=1.0)).detect(rgb)
    assert none == []


def test_the_other_models(names: ModelNames, rgb: NDArray[np.uint8]) -> None:
    """Masks of more boxes than fit at once, metres on the picture's grid, a caption, none without a captioner."""
    models = load_models(names)
    boxes = [(2.0 * k, 3.0, 2.0 * k + 20.0, 40.0) for k in range(19)]
    masks = models.segment(rgb, boxes)
    assert masks.shape == (19, HEIGHT, WIDTH) and masks.dtype == bool
    # Batches change nothing.
    np.testing.assert_array_equal(models.segment(rgb, boxes[17:18])[0], masks[17])
    assert models.segment(rgb, []).shape == (0, HEIGHT, WIDTH)
    estimate = models.depth(rgb)
    assert estimate.depth.shape == (HEIGHT, WIDTH) and estimate.depth.dtype == np.float32
    assert (estimate.depth > 0).all() and (estimate.depth <= 20).all() and estimate.focal_px is None
    assert isinstance(models.caption(rgb), str)
    assert load_models(replace(names, captioner='')).caption(rgb) == ''


def test_refusals(names: ModelNames, tmp_path: Path) -> None:
    """Relative depth, another class of model, a folder that is not there: named with its role."""
    relative = str(tiny_models.depth_anything(tmp_path / 'relative', 'relative'))
    with pytest.raises(CheckpointError, match='estimates relative depth: a metric one is needed'):
        load_models(replace(names, depth=relative))
    with pytest.raises(CheckpointError, match="is of type 'blip': must be one of sam, sam2"):
        load_models(replace(names, segmenter=names.captioner))
    with pytest.raises(CheckpointError, match=r"captioner '.*nowhere' cannot be loaded"):
        load_models(replace(names, captioner=str(tmp_path / 'nowhere')))
    with pytest.raises(CheckpointError, match=r"detector 'some/model-that-is-not-here'"):
        load_models(replace(names, detector='some/model-that-is-not-here'))


@pytest.mark.parametrize(
    ('words', 'label'),
    [
        ('red mug', 'red mug'),
        ('[CLS] red mug. [SEP]', 'red mug'),
        ('Mug', 'mug'),
        ('the mug on it', 'mug'),
        ('mug cup', ''),
        ('', ''),
        ('plate', ''),
    ],
)
def test_words_of_a_detector(words: str, label: str) -> None:
    """Pieces of the prompt become one of the labels or nothing."""
    assert match_label(words, ['mug', 'red mug', 'cup']) == label


def test_the_whole_pipeline_with_real_models(names: ModelNames, tmp_path: Path) -> None:
    """From a folder of pictures to a data set through all four models; noise makes no question, and it says why."""
    (tmp_path / 'in').mkdir()
    picture = np.random.default_rng(1).integers(0, 255, (60, 90, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / 'in' / 'noise.png')
    options = {k: getattr(names, k) for k in ('detector', 'segmenter', 'depth', 'captioner')}
    options |= {'labels': ['cup'], 'detector_threshold': 0.0, 'device': 'cpu'}
    (tmp_path / 'o.yaml').write_text(yaml.safe_dump({'models': options}))
    command = ['generate', 'web', str(tmp_path / 'in'), str(tmp_path / 'out')]
    result = CliRunner().invoke(app, [*command, '--config', str(tmp_path / 'o.yaml')])
    assert result.exit_code == 0, result.output
    assert 'of 0 images in 1 shards' in result.output
    (listed,) = (tmp_path / 'out' / 'rejections').glob('*.jsonl')
    reasons = {json.loads(line)['reason'] for line in listed.read_text().splitlines()}
    assert 'few things' in reasons
    assert reasons <= {'area', 'mask and box differ', 'double', 'few things'}
