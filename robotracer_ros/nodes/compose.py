# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Run node processes together without ``launch``: pip mode's bringup.

``python -m robotracer_ros.nodes.compose sim:=true seed:=7`` takes the arguments of
``bringup.launch.py`` and starts the same nodes from the same files. When a node ends that the robot
needs, all end; the browser viewer and RViz may be closed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from robotracer_ros.errors import MissingPackageError, RobotracerError
from robotracer_ros.nodes.graph import NodeSpec, bringup, parse_arguments
from robotracer_ros.nodes.runner import PARENT_VARIABLE

#: seconds that a node has after SIGINT, and then after SIGTERM
GRACE_S = (8.0, 4.0)


class Composition:
    """Node processes of ours. Only processes started here are ever signalled.

    Args:
        specs: The nodes.
        output: Called with each line that a node prints, and the node's name.
        environment: Environment of the processes; None is that of this process.
        log_folder: Also write each node's lines to ``<log_folder>/<node>.log``.
    """

    def __init__(self, specs: Sequence[NodeSpec],
                 output: Callable[[str, str], None] | None = None,
                 environment: Mapping[str, str] | None = None,
                 log_folder: Path | None = None) -> None:
        self._specs = list(specs)
        self._output = output or _print_line
        self._environment = {**(os.environ if environment is None else environment),
                             # Lines reach us as they are printed, in order.
                             'PYTHONUNBUFFERED': '1', 'RCUTILS_LOGGING_BUFFERED_STREAM': '0',
                             'RCUTILS_COLORIZED_OUTPUT': '0', PARENT_VARIABLE: str(os.getpid())}
        self._log_folder = log_folder
        self._folder = tempfile.TemporaryDirectory(prefix='robotracer_')
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._readers: list[threading.Thread] = []
        self._first_failure: tuple[str, int] | None = None
        self._stopping = False

    def start(self) -> None:
        """Start all processes.

        Raises:
            MissingPackageError: a program is not installed; then nothing is left running.
        """
        try:
            for spec in self._specs:
                self._start_one(spec)
        except BaseException:
            self.stop()
            raise

    @property
    def pids(self) -> dict[str, int]:
        """Process id of each node."""
        return {name: p.pid for name, p in self._processes.items()}

    def ended(self) -> dict[str, int]:
        """Return the exit codes of essential nodes that have ended, by name."""
        codes = {s.name: self._processes[s.name].poll() for s in self._specs
                 if s.essential and s.name in self._processes}
        ended = {name: code for name, code in codes.items() if code is not None}
        if ended and not self._stopping and self._first_failure is None:
            self._first_failure = next(iter(ended.items()))
        return ended

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until an essential node ends; return whether one did."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not self.ended():
            if deadline is not None and time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a signal to one node."""
        self._processes[name].send_signal(number)

    def stop(self) -> int:
        """End all nodes: SIGINT, later SIGTERM, at last SIGKILL.

        Returns:
            0 when all ended as asked; else the exit code of the essential node that ended first by
            itself (1 when that code was 0: nobody asked it to end), or 1 when one had to be killed.
        """
        self.ended()
        self._stopping = True
        killed = False
        for number, patience in zip((signal.SIGINT, signal.SIGTERM), GRACE_S, strict=True):
            for process in self._processes.values():
                if process.poll() is None:
                    with contextlib.suppress(ProcessLookupError):
                        process.send_signal(number)
            if self._all_ended(patience):
                break
        for name, process in self._processes.items():
            if process.poll() is None:
                self._output(name, 'did not end: killed')
                process.kill()
                process.wait()
                killed = True
        for reader in self._readers:
            reader.join(2.0)
        self._folder.cleanup()
        if self._first_failure is not None:
            name, code = self._first_failure
            self._output(name, f'ended by itself with exit code {code}')
            return _exit_code(code) or 1
        codes = [_exit_code(self._processes[s.name].returncode) for s in self._specs
                 if s.essential and s.name in self._processes]
        return 1 if killed else next((c for c in codes if c), 0)

    def _all_ended(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while any(p.poll() is None for p in self._processes.values()):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def _start_one(self, spec: NodeSpec) -> None:
        self._processes[spec.name] = process = subprocess.Popen(
            command(spec, Path(self._folder.name)), env=self._environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            errors='replace',
            # Its own session: Ctrl-C in the terminal reaches us alone, and we pass it on once.
            start_new_session=True)
        reader = threading.Thread(target=self._read, args=(spec, process), daemon=True)
        reader.start()
        self._readers.append(reader)

    def _read(self, spec: NodeSpec, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        name = spec.name
        with contextlib.ExitStack() as stack:
            log = None
            if self._log_folder is not None:
                self._log_folder.mkdir(parents=True, exist_ok=True)
                log = stack.enter_context(
                    (self._log_folder / f'{name}.log').open('w', encoding='utf-8'))
            for line in process.stdout:
                if log is not None:
                    log.write(line)
                    log.flush()
                self._output(name, line.rstrip('\n'))
        if not spec.essential and not self._stopping:
            self._output(name, f'closed (exit code {_exit_code(process.wait())}); the rest goes on')


def command(spec: NodeSpec, folder: Path) -> list[str]:
    """Return the command line of a node; its parameters are written to a file in ``folder``.

    Raises:
        MissingPackageError: the program of another package is not installed.
    """
    if spec.module:
        words = [sys.executable, '-m', spec.module]
    else:
        program = shutil.which(spec.executable)
        if program is None:
            raise MissingPackageError(f"'{spec.executable}' is not installed: it comes with the "
                                      f"ROS package '{spec.package}'")
        words = [program]
    words += [*spec.arguments, '--ros-args', '-r', f'__node:={spec.name}',
              '--log-level', spec.log_level]
    if spec.namespace:
        words += ['-r', f'__ns:=/{spec.namespace}']
    for asked, given in spec.remappings:
        words += ['-r', f'{asked}:={given}']
    for file in spec.files:
        words += ['--params-file', str(file)]
    if spec.parameters:
        path = folder / f'{spec.name}.yaml'
        # JSON is YAML with every string in quotes: ROS's parser reads a bare 1e3 as a number.
        path.write_text(json.dumps({'/**': {'ros__parameters': dict(spec.parameters)}}),
                        encoding='utf-8')
        words += ['--params-file', str(path)]
    return words


def run(specs: Sequence[NodeSpec], **options: Any) -> int:
    """Run nodes until SIGINT, SIGTERM or the end of an essential one; return the exit code."""
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()
    before = {n: signal.signal(n, ask) for n in (signal.SIGINT, signal.SIGTERM)}
    composition = Composition(specs, **options)
    try:
        composition.start()
        while not asked.is_set() and not composition.ended():
            asked.wait(0.1)
    finally:
        code = composition.stop()
        for number, handler in before.items():
            signal.signal(number, handler)
    return code


def _exit_code(code: int) -> int:
    # As a shell reports it: 128 + signal.
    return code if code >= 0 else 128 - code


def _print_line(name: str, line: str) -> None:
    print(f'[{name}] {line}', flush=True)


def main(words: Sequence[str] | None = None) -> int:
    """Run a bringup; arguments as ``name:=value``."""
    try:
        specs = bringup(parse_arguments(list(sys.argv[1:] if words is None else words)))
        return run(specs)
    except RobotracerError as e:
        print(f'{e.name} ({e.code}): {e}', file=sys.stderr)
        return 1


if __name__ == '__main__':
    sys.exit(main())
