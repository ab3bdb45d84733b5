# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from PIL import Image

from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.trace import Referring, Trace
from robotracer_ros.viz.animation import save_animation
from robotracer_ros.viz.overlay import END_RGB, START_RGB, draw_trace
from robotracer_ros.viz.picture import save_picture

CAMERA = CameraModel(320, 240, 380.0, 380.0, 159.5, 119.5)
POINTS = [(100, 500, 0.9), (300, 200, 0.8), (900, 800, 1.0)]


def make_trace(**kwargs):
    return Trace(np.array(POINTS), CAMERA, **kwargs)


def test_keypoints_are_drawn_where_they_are():
    drawn = draw_trace(np.full((240, 320, 3), 90, np.uint8), make_trace(), labels=False)
    height, width, _ = drawn.shape
    assert width / height == pytest.approx(320 / 240, abs=0.01)
    for (u, v, _), color in ((POINTS[0], START_RGB), (POINTS[2], END_RGB)):
        assert np.allclose(drawn[int(v / 1000 * height), int(u / 1000 * width)], color, atol=3)


def test_a_caption_is_added_below_and_long_words_at_the_edge_stay_inside():
    plain = draw_trace(np.zeros((240, 320, 3), np.uint8), make_trace())
    trace = make_trace(
        instruction='move it ' * 40,
        reasoning=(Referring('the big red mug on the very right edge', (999.0, 999.0, 0.5)),),
    )
    assert draw_trace(np.zeros((240, 320, 3), np.uint8), trace).shape[0] > plain.shape[0] + 50


def test_a_large_image_is_not_enlarged():
    assert draw_trace(np.zeros((960, 1280, 3), np.uint8), make_trace()).shape == (960, 1280, 3)


def test_the_picture_is_written_and_not_empty(tmp_path):
    rng = np.random.default_rng(0)
    cloud = rng.uniform(0, 1, (5000, 3))
    cloud[:100] = np.nan
    save_picture(
        tmp_path / 'a.png',
        cloud,
        rng.integers(0, 255, (5000, 3), dtype=np.uint8),
        cloud[200:206],
        cloud[200:206],
        cloud[300:340],
        title='x',
    )
    pixels = np.asarray(Image.open(tmp_path / 'a.png').convert('RGB'))
    assert pixels.shape[1] > 1000
    assert pixels.std() > 5


def test_the_picture_shows_the_whole_way_of_the_tool(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        'robotracer_ros.viz.picture.Figure.savefig', lambda figure, path: drawn.extend(figure.axes)
    )
    flat = np.column_stack([np.random.default_rng(0).uniform(0, 1, (500, 2)), np.zeros(500)])
    arc = np.column_stack([np.linspace(0.2, 0.8, 30), np.full(30, 0.5), np.linspace(0.1, 0.9, 30)])
    save_picture(tmp_path / 'a.png', flat, np.zeros((500, 3), np.uint8), arc[:3], None, arc)
    assert len(drawn) == 2
    for axes in drawn:
        assert axes.get_zlim()[0] <= 0.0 and axes.get_zlim()[1] >= 0.9


def test_the_animation_has_its_frames(tmp_path):
    frames = [np.full((240, 320, 3), 40 * i, np.uint8) for i in range(5)]
    save_animation(tmp_path / 'a.gif', frames, fps=10, width=160)
    with Image.open(tmp_path / 'a.gif') as gif:
        assert (gif.n_frames, gif.size, gif.info['duration']) == (5, (160, 120), 100)
        gif.seek(3)
        assert abs(int(gif.convert('RGB').getpixel((80, 60))[0]) - 120) < 12


@pytest.mark.parametrize(
    ('frames', 'fps', 'words'), [([], 10, 'got 0'), ([np.zeros((4, 4, 3), np.uint8)], 0, 'fps=0')]
)
def test_bad_animations_are_refused(tmp_path, frames, fps, words):
    with pytest.raises(ValueError, match=words):
        save_animation(tmp_path / 'a.gif', frames, fps=fps)
