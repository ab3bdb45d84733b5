# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Run a workcell against the wall clock: one thread for physics, a process for the camera. No ROS.

Simulated time starts at the system's time and is never set back, not even by a reset; so stamps
are close to the system's at a real time factor of 1, and nodes may use either clock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from robotracer_ros.sim.camera import RemoteCamera, View
from robotracer_ros.sim.noise import DepthNoise
from robotracer_ros.sim.spec import Rendering, Scene
from robotracer_ros.sim.workcell import Workcell
from robotracer_ros.sim.world import JointReading

T = TypeVar('T')

#: lag (s, wall) behind the wanted pace that is caught up; more is given up
_CATCH_UP_S = 0.5


class CameraWorker:
    """Have views rendered by another process; a view that waits is replaced by a newer one.

    Args:
        noise: Errors of the depth image; :meth:`set_noise` replaces them.
        on_image: Called there with the view, its time in nanoseconds, and the images.
        on_failure: Called there with what ended the thread.
    """

    def __init__(self, noise: DepthNoise,
                 on_image: Callable[[View, int, Rendering], None],
                 on_failure: Callable[[BaseException], None]) -> None:
        self._camera = RemoteCamera(noise)
        self._on_image, self._on_failure = on_image, on_failure
        self._waiting: tuple[View, int] | None = None
        self._changed = threading.Condition()
        self._closed = False
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name='sim camera', daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, view: View, time_ns: int) -> None:
        """Hand over a view; returns at once."""
        with self._changed:
            if self._waiting is not None:
                self.dropped += 1
            self._waiting = (view, time_ns)
            self._changed.notify()

    def set_noise(self, noise: DepthNoise) -> None:
        """Change the depth errors, from the next picture on."""
        self._camera.noise = noise

    @property
    def pid(self) -> int:
        """Process id of the renderer."""
        return self._camera.pid

    def close(self) -> None:
        """End thread and process; may be called twice."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._camera.close()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        try:
            while True:
                with self._changed:
                    while self._waiting is None and not self._closed:
                        self._changed.wait()
                    if self._closed or self._waiting is None:
                        return
                    (view, time_ns), self._waiting = self._waiting, None
                self._on_image(view, time_ns, self._camera.render(view))
        except BaseException as e:
            if not self._closed:  # a picture that was under way when all was closed
                self._on_failure(e)


class SimLoop:
    """Advance a workcell at a pace.

    Args:
        cell: The workcell; from :meth:`start` on only touched with :meth:`call`.
        on_state: Called in the physics thread after every tick with the joints and the time.
        on_view: Called in the physics thread when a picture is due.
        state_rate_hz, view_rate_hz: How often, in simulated time.
        wants_view: Asked before a view is made.
        real_time_factor: Simulated seconds per second, 0 as fast as possible.
        on_failure: Called in the physics thread with what ended it.
    """

    def __init__(self, cell: Workcell, on_state: Callable[[JointReading, int], None],
                 on_view: Callable[[View, int], None], *, state_rate_hz: float,
                 view_rate_hz: float, wants_view: Callable[[], bool], real_time_factor: float,
                 on_failure: Callable[[BaseException], None]) -> None:
        self._cell = cell
        self._on_state, self._on_view, self._wants_view = on_state, on_view, wants_view
        self._on_failure = on_failure
        self._steps = max(1, round(1.0 / (state_rate_hz * cell.timestep)))
        self._view_period_ns = round(1e9 / view_rate_hz)
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._factor = real_time_factor
        self._epoch_ns = time.time_ns()
        self._next_view_ns = self._epoch_ns
        self.lag_s = 0.0
        self.given_up_s = 0.0
        self._set_pace()
        self._thread = threading.Thread(target=self._run, name='sim physics', daemon=True)

    def start(self) -> None:
        """Start the thread; simulated time is the system's time from here on."""
        self._epoch_ns = self._next_view_ns = time.time_ns()
        self._set_pace()
        self._thread.start()

    def close(self) -> None:
        """End the thread; may be called twice."""
        self._closed.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()

    def call(self, function: Callable[[Workcell], T]) -> T:
        """Call a function with the workcell between two ticks, in the caller's thread."""
        with self._lock:
            return function(self._cell)

    def reset(self, scene: Scene | int | None) -> None:
        """Reset the workcell; time goes on."""
        with self._lock:
            now = self._time_ns()
            self._cell.reset(scene)
            self._epoch_ns = now
            self._set_pace()

    def set_real_time_factor(self, factor: float) -> None:
        """Change the pace from now on."""
        with self._lock:
            self._factor = factor
            self._set_pace()

    def cell_time(self, time_ns: int) -> float:
        """Convert a stamp (ns) to seconds of the workcell; only inside :meth:`call`."""
        return (time_ns - self._epoch_ns) * 1e-9

    @property
    def time_ns(self) -> int:
        """Simulated time now, nanoseconds."""
        with self._lock:
            return self._time_ns()

    def _time_ns(self) -> int:
        return self._epoch_ns + round(self._cell.time * 1e9)

    def _set_pace(self) -> None:
        self._pace = (time.monotonic(), self._time_ns())

    def _run(self) -> None:
        try:
            while not self._closed.is_set():
                view = None
                with self._lock:
                    self._cell.step(self._steps)
                    now = self._time_ns()
                    reading = self._cell.joint_state()
                    if now >= self._next_view_ns:
                        self._next_view_ns = max(self._next_view_ns + self._view_period_ns, now)
                        if self._wants_view():
                            view = self._cell.view()
                    wait = self._ahead_s(now)
                # Publish when the wall clock has come this far: no stamp lies in the future. A wait
                # of zero still lets the other threads have the interpreter.
                self._closed.wait(wait) if wait > 0 else time.sleep(0)
                self._on_state(reading, now)
                if view is not None:
                    self._on_view(view, now)
        except BaseException as e:
            self._on_failure(e)

    def _ahead_s(self, now_ns: int) -> float:
        """Return how long to wait for the wall clock; negative is the lag."""
        if self._factor == 0:
            self.lag_s = 0.0
            return 0.0
        start_s, start_ns = self._pace
        wall = start_s + (now_ns - start_ns) * 1e-9 / self._factor
        ahead = wall - time.monotonic()
        self.lag_s = max(0.0, -ahead)
        if self.lag_s > _CATCH_UP_S:
            self.given_up_s += self.lag_s
            self._set_pace()
        return ahead
