# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the page holds after one trace or plan replaced another; test/browser looks at it."""

import numpy as np
import pytest

from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.trace import Referring, Trace
from robotracer_ros.viz.viewer import Viewer

CAMERA = CameraModel(320, 240, 380.0, 380.0, 159.5, 119.5)
EMPTY = np.zeros((0, 3))
LINE = np.array([(0.3, 0.0, 0.1), (0.4, 0.0, 0.2), (0.5, 0.1, 0.1)])


@pytest.fixture
def viewer():
    made = Viewer('127.0.0.1', 8797, lambda text: None, lambda: None)
    yield made
    made.close()


def shown(viewer, below):
    """Names of what the page's scene holds below a name."""
    return {n.rpartition('/')[2]: h for n, h in viewer._server.scene._handle_from_node_name.items()
            if n.startswith(f'/{below}/')}


def trace(points, *targets):
    return Trace(np.array(points), CAMERA, model='replay:test', reasoning=tuple(
        Referring(target, (500.0, 500.0, 0.8)) for target in targets))


def test_nothing_of_an_earlier_trace_stays(viewer):
    long = [(100, 500, 0.9), (300, 200, 0.8), (600, 300, 0.8), (900, 800, 1.0)]
    viewer.set_trace(trace(long, 'red mug', 'blue plate'), np.eye(4))
    assert set(shown(viewer, 'trace')) == {
        'path', 'point_0', 'point_1', 'point_2', 'point_3', 'label_0', 'label_1'}
    viewer.set_trace(trace(long[:2], 'lemon'), np.eye(4))
    now = shown(viewer, 'trace')
    assert set(now) == {'path', 'point_0', 'point_1', 'label_0'}
    assert now['label_0'].text == 'lemon'


def test_a_plan_shows_the_way_of_the_object(viewer):
    viewer.set_plan(LINE, LINE, LINE + 0.1, LINE)
    now = shown(viewer, 'plan')
    assert set(now) == {'tool', 'object', 'corrected', 'obstacles'}
    segments = np.stack([LINE[:-1], LINE[1:]], axis=1) + 0.1
    assert np.allclose(now['object'].points, segments, atol=1e-6)
    assert not now['obstacles'].visible


def test_nothing_of_an_earlier_plan_stays(viewer):
    viewer.set_plan(LINE, LINE, LINE, LINE)
    viewer.set_plan(LINE, EMPTY, EMPTY, EMPTY)
    assert set(shown(viewer, 'plan')) == {'tool'}
    viewer.set_plan(EMPTY, EMPTY, EMPTY, EMPTY)
    assert shown(viewer, 'plan') == {}
