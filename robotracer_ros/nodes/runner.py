# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Run one node as a process: transport profile, spin, signals, exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from robotracer_ros.errors import RobotracerError
from robotracer_ros.resources import resource

if TYPE_CHECKING:
    from rclpy.node import Node

#: Kilted and newer read the first, Jazzy the second
PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')

#: set by a program that starts nodes: its process id. A node ends when that process is gone.
PARENT_VARIABLE = 'ROBOTRACER_PARENT'


def apply_transport_profile() -> str:
    """Make Fast DDS carry whole images in shared memory; call before ``rclpy.init``.

    Fast DDS's own shared-memory segment is half a megabyte: a VGA image does not fit, and
    best-effort images are overwritten before they are read. A profile that the user has set is
    never replaced, and ROBOTRACER_TRANSPORT=default leaves Fast DDS as it is.

    Returns:
        Path of the profile in effect, or an empty string.
    """
    for variable in PROFILE_VARIABLES:
        if os.environ.get(variable):
            return os.environ[variable]
    if os.environ.get('ROBOTRACER_TRANSPORT', '') == 'default':
        return ''
    path = str(resource('config/fastdds.xml'))
    # Kilted warns about the older name, so each distribution gets the name that it reads.
    old = os.environ.get('ROS_DISTRO', '') in ('humble', 'iron', 'jazzy')
    os.environ[PROFILE_VARIABLES[1 if old else 0]] = path
    return path


def _end_with_parent() -> None:
    """Interrupt this process when the one that started it is gone.

    A killed launcher cannot stop its nodes, and a robot must not be left with a planner nobody
    watches.
    """
    parent = os.environ.get(PARENT_VARIABLE, '')
    if not parent.isdecimal():
        return

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=watch, name='parent', daemon=True).start()


class _Spinner:
    """Runs an executor in a thread until told to end.

    Args:
        executor: With its node.
        on_end: Called when it ends, for whatever reason.
    """

    def __init__(self, executor: Any, on_end: Callable[[], None]) -> None:
        self._executor, self._on_end = executor, on_end
        self._end = threading.Event()
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name='executor', daemon=True)
        self._thread.start()

    def _run(self) -> None:
        from rclpy.exceptions import InvalidHandle
        from rclpy.executors import ExternalShutdownException, ShutdownException
        try:
            # Not spin(): ending that from another thread destroys what it is waiting on.
            while not self._end.is_set() and self._executor.context.ok():
                # Cleanup may drop a subscription in one thread while this one collects what to
                # wait for; rclpy tolerates that for most entities, not for their events.
                with contextlib.suppress(InvalidHandle):
                    self._executor.spin_once(timeout_sec=0.1)
        except (ExternalShutdownException, ShutdownException):
            pass
        except BaseException as e:  # told by run_node, which must close the node first
            self.failure = e
        finally:
            self._on_end()

    def end(self) -> None:
        """Stop calling callbacks."""
        self._end.set()
        self._thread.join(30.0)  # a callback may be loading a model
        self._executor.shutdown(timeout_sec=2.0)


def _nothing() -> None:
    pass


def run_node(factory: Callable[[], Node], args: Sequence[str] | None = None,
             executor_factory: Callable[[], Any] | None = None) -> int:
    """Run a node until SIGINT or SIGTERM, or until its context is shut down; return the exit code.

    A node may have ``autostart()``, called in the executor once it spins. At every end, by a signal
    or a failed callback, two more are called if it has them: ``halt()`` at once, while callbacks
    still run (unless one failed), in another thread, to brake and to give clients their results;
    then ``close()``, after the last callback. The context is alive meanwhile, so that both can
    publish. That is why signals are handled here: rclpy's handler would end the context first. The
    executor is single-threaded unless another is given: slow work belongs to a worker thread.
    EventsExecutor must not be used with a node that publishes from a second thread (it deadlocks
    holding the interpreter lock).

    Args:
        factory: Makes the node, after ``rclpy.init``.
        args: Command line, None for that of the process.
        executor_factory: Makes the executor.

    Returns:
        0 after a signal, 1 when the node cannot be made (its parameters are wrong).

    Raises:
        BaseException: what a callback or the factory raised, with the node closed.
    """
    apply_transport_profile()
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    ask = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        ask.set()  # again and again does no harm: launchers and terminals signal twice

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    _end_with_parent()
    rclpy.init(args=list(args) if args is not None else None,
               signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = factory()
        executor = (executor_factory or SingleThreadedExecutor)()
        executor.add_node(node)
        autostart = getattr(node, 'autostart', None)
        if autostart is not None:
            executor.create_task(autostart)
        spinner = _Spinner(executor, ask.set)
        try:
            ask.wait()
            getattr(node, 'halt', _nothing)()
        finally:
            spinner.end()
            getattr(node, 'close', _nothing)()
        if spinner.failure is not None:
            raise spinner.failure
        return 0
    except RobotracerError as e:
        print(f'{e.name} ({e.code}): {e}', file=sys.stderr)
        return 1
    finally:
        rclpy.try_shutdown()
