# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The report as a person sees it: Chromium shows tables, bars and every picture."""

from pathlib import Path

import pytest
from chromium import Page

from robotracer_ros.bench.tracespatial.command import main as bench
from robotracer_ros.bench.tracespatial.pages import main as report

SMOKE = Path(__file__).parents[1] / 'data' / 'tracespatial_sim'


@pytest.mark.browser
def test_the_report_shows_tables_bars_and_pictures(tmp_path):
    bench(SMOKE, (), model='straight', answers_folder=tmp_path)
    report(SMOKE, [tmp_path / 'straight_3D.jsonl'], tmp_path / 'report')
    profile = tmp_path / 'profile'
    profile.mkdir()
    page = Page(profile, f'file://{tmp_path}/report/report.html')
    try:
        page.wait_for("document.readyState === 'complete' && document.images.length === 8")
        assert page.evaluate('[...document.images].every(i => i.complete && i.naturalWidth === 480)')
        wide = page.evaluate('[...document.images].map(i => i.getBoundingClientRect().width)')
        assert all(200 < w <= 480 for w in wide)
        assert 'mended rules' in page.evaluate("document.querySelector('table').innerText")
        bars = "[...document.querySelectorAll('svg rect')].map(r => r.getBoundingClientRect().width)"
        assert max(page.evaluate(bars)) > 100
        text = page.evaluate("document.querySelector('svg').getBoundingClientRect().right")
        assert text <= page.evaluate('document.documentElement.clientWidth'), 'nothing is cut off'
        assert page.evaluate('document.scripts.length') == 0
    finally:
        page.close()
