# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The workcell's RGB-D camera: pictures of frozen views, in this process or in one of its own.

Rendering keeps Python's interpreter lock busy for most of a frame. Beside a 125 Hz loop in the same
process it delays that loop by tens of milliseconds (measured), hence :class:`RemoteCamera`.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.errors import RobotracerError
from robotracer_ros.sim.noise import DepthNoise, add_noise
from robotracer_ros.sim.render import Renderer
from robotracer_ros.sim.spec import Rendering, Scene


@dataclass(frozen=True)
class View:
    """Everything that a picture is made of, frozen: may be rendered by another thread.

    Attributes:
        base: The scene as it was loaded.
        poses: (4, 4) world_from_object at ``time`` by object id.
        robot_q: (6,) joint positions of the arm, rad.
        opening: Full opening of the jaws, metres.
        time: Seconds since the last reset.
        index: Counts the views since the last reset; with the seed it fixes the depth noise.
    """

    base: Scene
    poses: Mapping[str, NDArray[np.float64]]
    robot_q: NDArray[np.float64]
    opening: float
    time: float
    index: int

    @property
    def scene(self) -> Scene:
        """The scene with objects and arm where they were at ``time``."""
        return replace(self.base.with_poses(dict(self.poses)), robot_q=self.robot_q)


class Camera:
    """Makes images of views; use one instance per thread.

    Args:
        noise: Errors of the depth image.
        renderer: The renderer; one with default settings when None.
    """

    def __init__(self, noise: DepthNoise | None = None, renderer: Renderer | None = None) -> None:
        self.noise = noise or DepthNoise()
        self._renderer = renderer or Renderer()

    def render(self, view: View) -> Rendering:
        """Render a view; only the depth carries noise, the segmentation stays exact."""
        scene = view.scene
        exact = self._renderer.render(scene, scene.robot_q, view.opening)
        if self.noise == DepthNoise():
            return exact
        rng = np.random.default_rng([scene.seed, view.index])
        return replace(exact, depth=add_noise(exact.depth, self.noise, rng))


@dataclass(frozen=True)
class _Request:
    """What goes to the rendering process; None where it has not changed since the last one."""

    view: View
    base: Scene | None
    noise: DepthNoise = field(default_factory=DepthNoise)


class RemoteCamera:
    """A :class:`Camera` in a process of its own; not thread-safe.

    The process ends when it is closed or when its owner dies, however that happens.

    Args:
        noise: Errors of the depth image; may be replaced at any time.
    """

    def __init__(self, noise: DepthNoise | None = None) -> None:
        self.noise = noise or DepthNoise()
        self._sent: Scene | None = None
        self._process = subprocess.Popen(
            [sys.executable, '-m', 'robotracer_ros.sim.camera'],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def render(self, view: View) -> Rendering:
        """Render a view as :meth:`Camera.render` does, waiting for the process.

        Raises:
            RobotracerError: the process died or failed; the text holds its traceback.
        """
        base = view.base if view.base is not self._sent else None
        slim = replace(view, base=None)  # type: ignore[arg-type]
        try:
            assert self._process.stdin is not None and self._process.stdout is not None
            pickle.dump(_Request(slim, base, self.noise), self._process.stdin, protocol=5)
            self._process.stdin.flush()
            answer: Any = pickle.load(self._process.stdout)
        except (OSError, EOFError, ValueError) as e:
            raise RobotracerError(f'the rendering process is gone (exit code '
                                  f'{self._process.poll()}): {type(e).__name__} {e}') from e
        if isinstance(answer, str):
            raise RobotracerError(f'the rendering process failed:\n{answer}')
        self._sent = view.base
        rendering: Rendering = answer
        return rendering

    @property
    def pid(self) -> int:
        """Process id of the renderer."""
        return self._process.pid

    def close(self) -> None:
        """End the process; may be called twice, and while another thread renders."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    camera = Camera()
    base: Any = None
    while True:
        try:
            request: _Request = pickle.load(requests)
        except EOFError:
            return
        try:
            base = request.base if request.base is not None else base
            camera.noise = request.noise
            answer: Any = camera.render(replace(request.view, base=base))
        except Exception:
            answer = traceback.format_exc()
        pickle.dump(answer, answers, protocol=5)
        answers.flush()


def main() -> None:
    """Serve a :class:`RemoteCamera` over standard input and output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the owner, which ends us
    answers = os.fdopen(os.dup(1), 'wb')
    os.dup2(2, 1)  # what libraries print must not get between the answers
    _serve(sys.stdin.buffer, answers)


if __name__ == '__main__':
    # Pickles name classes by their module: under its real name, not as __main__.
    from robotracer_ros.sim import camera as _module
    _module.main()
