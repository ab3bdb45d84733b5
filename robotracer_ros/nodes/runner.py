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


def run_node(factory: Callable[[], Node], args: Sequence[str] | None = None,
             executor_factory: Callable[[], Any] | None = None) -> int:
    """Run a node until SIGINT or SIGTERM; return the exit code.

    A node may have ``autostart()`` (called in the executor once it spins) and ``close()``
    (called after the last callback). The executor is single-threaded unless another is given:
    slow work belongs to a worker thread. EventsExecutor must not be used with a node that
    publishes from a second thread (it deadlocks holding the interpreter lock).

    Args:
        factory: Makes the node, after ``rclpy.init``.
        args: Command line, None for that of the process.
        executor_factory: Makes the executor.

    Returns:
        0 after a signal, 1 when the node cannot be made (its parameters are wrong).
    """
    apply_transport_profile()
    import rclpy
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

    # Ctrl-C reaches a process twice (terminal and launcher). Python's own handler would raise
    # inside the clean-up; rclpy's, which stops the executor, is all that is needed.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: None)
    _end_with_parent()
    rclpy.init(args=list(args) if args is not None else None)
    node = None
    try:
        node = factory()
        executor = (executor_factory or SingleThreadedExecutor)()
        executor.add_node(node)
        autostart = getattr(node, 'autostart', None)
        if autostart is not None:
            executor.create_task(autostart)
        with contextlib.suppress(ExternalShutdownException, KeyboardInterrupt):
            executor.spin()
        return 0
    except RobotracerError as e:
        print(f'{e.name} ({e.code}): {e}', file=sys.stderr)
        return 1
    except Exception:
        # A signal during start leaves an invalid context, and everything rclpy then raises.
        if rclpy.ok():
            raise
        return 0
    finally:
        close = getattr(node, 'close', None)
        if close is not None:
            close()
        rclpy.try_shutdown()
