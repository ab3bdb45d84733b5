# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The report stands alone, escapes other people's text, begins with the worst and shows answers where they are."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import tracespatial_folder as made
from PIL import Image

from robotracer_ros.bench.tracespatial.pages import main, worst_first
from robotracer_ros.bench.tracespatial.picture import ANSWER_RGB, TRUTH_RGB, from_the_side, overlay
from robotracer_ros.bench.tracespatial.samples import load_dataset
from robotracer_ros.errors import InvalidParameterError

GOOD = made.text_of(made.sample()['trajectory'])
NASTY = '<script>alert("x")</script> | `code` [(1, 2, 3)]'


class Page(HTMLParser):
    """What a page holds: tags, links to other places, texts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.articles, self.texts = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in ('src', 'href')]
        self.articles += [v for k, v in attrs if tag == 'article' and k == 'id']

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture
def bench(tmp_path):
    entries = [made.sample(i, prompt=f'task {i} {NASTY if i == 2 else ""}') for i in range(4)]
    folder = made.write(tmp_path / 'bench', entries)
    through = made.text_of([[0, 0, 1.2], [0.5, 0, 2.6], [0.4, 0, 1.2]])
    texts = [GOOD, through, NASTY, 'sorry']
    lines = [
        {**entry, 'question_id': i, 'model_prediction': t}
        for i, (entry, t) in enumerate(zip(entries, texts, strict=True))
    ]
    return folder, made.answers(tmp_path / 'RoboTracer_3D.jsonl', lines)


def test_the_page_stands_alone_and_begins_with_the_worst(bench, tmp_path, capsys):
    folder, path = bench
    out = tmp_path / 'report'
    assert main(folder, [path], out) == 0
    assert str(out / 'report.html') in capsys.readouterr().out
    text = (out / 'report.html').read_text()
    page = Page(text)
    assert page.articles == ['sample-2', 'sample-3', 'sample-1', 'sample-0']
    assert len(page.links) == 8 and all(x.startswith('data:image/jpeg;base64,') for x in page.links)
    for link in page.links:
        with Image.open(io.BytesIO(base64.b64decode(link.split(',')[1]))) as image:
            assert image.size == (480, 360)
    assert 'script' not in page.tags and not re.search(r'https?://', text)
    assert any(NASTY in t for t in page.texts)  # shown as it is
    assert 'svg' in page.tags and page.tags.count('rect') > 8


def test_markdown_keeps_its_tables_whole(bench, tmp_path):
    folder, path = bench
    main(folder, [path], tmp_path / 'r', worst=3)
    lines = (tmp_path / 'r' / 'report.md').read_text().splitlines()
    gallery = [x for x in lines if re.match(r'\| \d+ \|', x)]
    assert [x.split(' | ')[0] for x in gallery] == ['| 2', '| 3', '| 1']
    for line in gallery:
        assert len(re.findall(r'(?<!\\)\|', line)) == 5, line
    assert '<script>' not in '\n'.join(lines) and '`' not in gallery[0]
    assert any(x.startswith('| overall | ') for x in lines)


def test_without_pictures_there_are_tables_only(bench, tmp_path):
    _, path = bench
    small, known = '[150.0, 0.0, 80.0], [0.0, 150.0, 60.0]', '[150.0, 0.0, 160.0], [0.0, 150.0, 120.0]'
    path.write_text(path.read_text().replace(small, known))
    main(None, [path], tmp_path / 'r')
    page = Page((tmp_path / 'r' / 'report.html').read_text())
    assert not page.links and 'table' in page.tags and len(page.articles) == 4


def test_two_dimensions_have_their_page_too(bench, tmp_path):
    folder, path = bench
    flat = path.with_name('RoboTracer_2D.jsonl')
    flat.write_text(path.read_text())
    main(folder, [path, flat], tmp_path / 'r', worst=0)
    page = Page((tmp_path / 'r' / 'report.html').read_text())
    assert page.tags.count('h2') == 2 and not page.articles


def test_wrong_arguments_are_named(bench, tmp_path):
    folder, path = bench
    with pytest.raises(InvalidParameterError, match='worst -1'):
        main(folder, [path], tmp_path, worst=-1)
    with pytest.raises(InvalidParameterError, match='nothing to report'):
        main(folder, [], tmp_path)


def test_worst_first():
    def scored(parsed, overall, dfd=None):
        errors = {} if dfd is None else {'DFD': dfd}
        return {'mended': {'hits': {'parsed': parsed, 'overall': overall}, 'errors': errors}}

    samples = [scored(1, 1, 0.1), scored(1, 0, 0.1), scored(0, 0), scored(1, 0, 0.9), scored(1, 1, 0.3)]
    assert worst_first(samples) == [2, 3, 1, 4, 0]


def near(image, place, rgb):
    """Tell whether a colour is found within 6 pixels of a place."""
    x, y = (round(float(v)) for v in place)
    patch = np.asarray(image)[max(0, y - 6) : y + 7, max(0, x - 6) : x + 7].reshape(-1, 3)
    return bool((np.abs(patch.astype(int) - rgb).max(axis=1) < 10).any())


def test_pictures_show_reference_and_answer_where_they_are(bench):
    data = load_dataset(bench[0])
    sample = data.samples[0]
    pixels = np.array([[20.0, 20.0], [20.0, 100.0]])
    image = overlay(data.rgb(sample), sample, pixels)
    assert near(image, pixels[0] * 3, ANSWER_RGB) and near(image, pixels[1] * 3, ANSWER_RGB)
    truth = sample.project(sample.trajectory) * 3
    assert all(near(image, p, TRUTH_RGB) for p in truth)
    assert not near(overlay(data.rgb(sample), sample, None), pixels[0] * 3, ANSWER_RGB)
    side = from_the_side(data.rgb(sample), data.depth(sample), sample, sample.trajectory + 0.05)
    without = from_the_side(data.rgb(sample), data.depth(sample), sample, None)
    red = (np.abs(np.asarray(side).astype(int) - ANSWER_RGB).max(axis=2) < 10).sum()
    assert red > 200 > (np.abs(np.asarray(without).astype(int) - ANSWER_RGB).max(axis=2) < 10).sum()
    # nothing seen at all, and an answer far away
    empty = np.zeros_like(data.depth(sample))
    from_the_side(data.rgb(sample), empty, sample, np.full((2, 3), 1e9))
