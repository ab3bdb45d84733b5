# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Make or reuse the environment of a source checkout, then start a command in it.

Used by the file `run` alone, before anything is installed: standard library only. Every finished
stage leaves the hash of what it was made from in `.venv/robotracer-stamp.json`, so that a later
start does nothing, and an interrupted one goes on where it stopped.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

STAMP = 'robotracer-stamp.json'
LOG = 'robotracer-setup.log'
LOCK = 'requirements.lock'
DEV_LOCK = 'requirements-dev.lock'


class SetupError(Exception):
    """The environment cannot be made; the text says why and what to do."""


def digest(root: Path, paths: Iterable[Path]) -> str:
    """Hash names and contents of files, independent of where the checkout lies."""
    total = hashlib.sha256()
    for path in sorted(paths):
        if path.is_file():
            total.update(f'{path.relative_to(root)}\0'.encode())
            total.update(path.read_bytes())
    return total.hexdigest()


def files_under(*folders: Path) -> list[Path]:
    """List all files in some folders and below."""
    return [p for folder in folders for p in folder.rglob('*') if '__pycache__' not in p.parts]


class Progress:
    """One line that says what is being done and for how long; on a pipe, a line now and then.

    Args:
        title: What is being done.
        poll: Called with the newest note at every tick; returns the text to show in its place.
    """

    def __init__(self, title: str, poll: Callable[[str], str] | None = None) -> None:
        self.title = title
        self.poll = poll
        self.note = ''
        self.tty = sys.stderr.isatty()
        self._stop = threading.Event()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Progress:
        self._show()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.note = 'done' if kind is None else 'stopped'
        self._show()
        if self.tty:
            print(file=sys.stderr)

    def _show(self) -> None:
        seconds = int(time.monotonic() - self._began)
        note = self.poll(self.note) if self.poll and not self._stop.is_set() else self.note
        text = f'{self.title} {seconds // 60}:{seconds % 60:02d} {note}'
        if self.tty:
            width = shutil.get_terminal_size().columns - 1
            print(f'\r{text[:width]:{width}}', end='', file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def _tick(self) -> None:
        while not self._stop.wait(1.0 if self.tty else 20.0):
            self._show()


class Environment:
    """The virtual environment of one checkout.

    Args:
        root: The checkout.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.venv = root / '.venv'
        self.python = self.venv / 'bin' / 'python'

    def wanted(self, dev: bool) -> dict[str, str]:
        """Return what each stage would be made from now, in the order of the stages."""
        root = self.root
        msgs = root / 'robotracer_msgs'
        stages = {
            'venv': str(self.venv),
            'lock': digest(root, [root / LOCK]),
            'msgs': digest(root, files_under(msgs)),
            'package': digest(root, [
                root / 'setup.py', root / 'setup.cfg', root / 'package.xml',
                *files_under(root / 'config', root / 'launch', root / 'urdf'),
            ]),
        }
        if dev:
            stages['dev'] = digest(root, [root / DEV_LOCK])
        return stages

    def stamped(self) -> dict[str, str]:
        """Return what the finished stages were made from."""
        try:
            return dict(json.loads((self.venv / STAMP).read_text(encoding='utf-8')))
        except (FileNotFoundError, ValueError):
            return {}

    def stamp(self, stage: str, value: str) -> None:
        """Record a finished stage; the file is replaced in one step."""
        content = {**self.stamped(), stage: value}
        if stage == 'lock':
            content.pop('msgs', None)  # built against packages that may just have changed
        temporary = self.venv / (STAMP + '.new')
        temporary.write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')
        temporary.replace(self.venv / STAMP)

    def missing(self, dev: bool) -> list[str]:
        """List the stages that are still to be done."""
        stamped = self.stamped() if self.python.exists() else {}
        return [k for k, v in self.wanted(dev).items() if stamped.get(k) != v]

    def command(self, title: str, argv: list[str | Path],
                watch: Callable[[str], str | None] | None = None,
                poll: Callable[[str], str] | None = None) -> None:
        """Run one step with its output in the log.

        Args:
            title: Text of the progress line.
            argv: Command line.
            watch: Turns a line of output into a short note, or None to keep the last one.
            poll: As in Progress.

        Raises:
            SetupError: The command failed; the text ends with the last lines of its output.
        """
        env = {**os.environ, 'PIP_USER': '0', 'PIP_DISABLE_PIP_VERSION_CHECK': '1',
               'PIP_NO_INPUT': '1', 'AMENT_PREFIX_PATH': str(self.venv), 'LC_ALL': 'C.UTF-8'}
        log_path = self.venv / LOG
        with open(log_path, 'a', encoding='utf-8') as log, Progress(title, poll) as progress:
            print(f'\n=== {time.strftime("%F %T")} {argv}', file=log, flush=True)
            process = subprocess.Popen(
                [os.fspath(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, cwd=self.root, env=env, text=True, errors='replace')
            last: list[str] = []
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    log.write(line)
                    log.flush()
                    last = [*last[-14:], line.rstrip()]
                    progress.note = (watch(line) if watch else None) or progress.note
                status = process.wait()
            except BaseException:
                process.terminate()
                process.wait()
                raise
            if status != 0:
                raise SetupError('\n'.join([f'step "{title}" failed with status {status}:', *last,
                                            f'The whole log is {log_path}']))

    def pip(self, title: str, *args: str | Path,
            watch: Callable[[str], str | None] | None = None,
            poll: Callable[[str], str] | None = None) -> None:
        """Run pip inside the environment; arguments as in command()."""
        self.command(title, [self.python, '-m', 'pip', 'install', *args], watch, poll)

    def usable(self) -> bool:
        """Say whether the folder holds a working environment that belongs to this place."""
        try:
            subprocess.run([self.python, '-I', '-c', 'import pip'], capture_output=True, check=True)
            # A moved or copied environment starts, but its scripts name the old place.
            return str(self.venv) in (self.venv / 'bin' / 'activate').read_text(encoding='utf-8')
        except (OSError, subprocess.CalledProcessError):
            return False

    def packages(self) -> list[Path]:
        """List the metadata folders of the installed packages."""
        return list(self.venv.glob('lib/python3*/site-packages/*.dist-info'))

    def drop_torn_packages(self) -> None:
        """Remove the metadata of packages whose unpacking was cut off, so that pip redoes them.

        A wheel brings a RECORD of its own, which is unpacked before the files are moved in place.
        pip's last act is to replace it by one that also lists INSTALLER.
        """
        for info in self.packages():
            record = info / 'RECORD'
            if not (record.is_file() and f'{info.name}/INSTALLER,' in record.read_text()):
                shutil.rmtree(info)

    def install(self, title: str, lock: str) -> None:
        """Install every package of a lock file."""
        total = sum(1 for line in (self.root / lock).read_text(encoding='utf-8').splitlines()
                    if line and not line.startswith('#'))
        seen: set[str] = set()

        def watch(line: str) -> str | None:
            if found := re.match(r'\s*(?:Collecting|Requirement already satisfied:) ([\w.-]+)',
                                 line):
                seen.add(found[1])
                return f'resolving {min(len(seen), total)} of {total}: {found[1]}'
            if found := re.match(r'\s*Downloading (\S+?)-\d\S* (\(.*\))', line):
                return f'downloading {found[1]} {found[2]}'
            if line.startswith('Installing collected packages'):
                return f'unpacking {line.count(",") + 1} packages'
            return None

        self.drop_torn_packages()
        before = len(self.packages())

        def poll(note: str) -> str:
            # pip is silent while it unpacks, which is the longest part.
            if not note.startswith('unpacking'):
                return note
            return f'{note}, {len(self.packages()) - before} done'

        self.pip(title, '-r', lock, watch=watch, poll=poll)

    def build_messages(self, title: str) -> None:
        """Compile our messages, and the ones that no wheel brings, into the environment."""

        def watch(line: str) -> str | None:
            found = re.search(r'\[(\d+/\d+)\]', line)
            return f'compiling {found[1]}' if found else None

        msgs = self.root / 'robotracer_msgs'
        for folder in (msgs, *sorted((msgs / 'pip').glob('*/'))):
            self.pip(f'{title} ({folder.name})', '-v', '--no-build-isolation', '--no-deps',
                     '--force-reinstall', folder, watch=watch)

    def prepare(self, dev: bool) -> None:
        """Do the stages that are missing."""
        todo = self.missing(dev)
        if not todo:
            return
        wanted = self.wanted(dev)
        print(f'run: preparing {self.venv}: {", ".join(todo)}', file=sys.stderr)
        check_machine()
        titles = {'venv': 'making the environment', 'lock': 'installing packages',
                  'msgs': 'building messages', 'package': 'installing robotracer_ros',
                  'dev': 'installing developer tools'}
        began = time.monotonic()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # takes pip along, see command()
        for stage in wanted:
            if self.stamped().get(stage) == wanted[stage] and self.python.exists():
                continue
            title = f'run: {titles[stage]}'
            if stage == 'venv' and not self.usable():
                with Progress(title):
                    make_venv(self.venv)
            elif stage == 'lock':
                self.pip('run: updating pip', '-c', LOCK, 'pip', 'setuptools', 'wheel')
                self.install(title, LOCK)
            elif stage == 'dev':
                self.install(title, DEV_LOCK)
            elif stage == 'msgs':
                self.build_messages(title)
            elif stage == 'package':
                self.pip(title, '--no-build-isolation', '--no-deps', '-e', self.root)
            self.stamp(stage, wanted[stage])
        print(f'run: ready after {time.monotonic() - began:.0f} s', file=sys.stderr)


def make_venv(path: Path) -> None:
    """Make an empty virtual environment in place of whatever is there.

    Raises:
        SetupError: python -m venv failed.
    """
    made = subprocess.run([sys.executable, '-m', 'venv', '--clear', path], capture_output=True,
                          text=True)
    if made.returncode != 0:
        raise SetupError(f'python -m venv failed:\n{made.stdout}{made.stderr}')


def missing_parts() -> dict[str, str]:
    """Return what the machine lacks, as reason by Debian package name."""
    parts = {}
    system = os.path.realpath('/usr/bin/python3')
    own = os.path.realpath(sys.executable)
    stem = 'python3' if own == system else f'python{sys.version_info[0]}.{sys.version_info[1]}'
    if any(importlib_missing(name) for name in ('venv', 'ensurepip')):
        parts[f'{stem}-venv'] = f'{own} has no venv or no ensurepip'
    header = Path(sysconfig.get_paths()['include'], 'Python.h')
    if not header.is_file():
        parts[f'{stem}-dev'] = f'{header} does not exist'
    if not (shutil.which('c++') or shutil.which('g++') or shutil.which('clang++')):
        parts['g++'] = 'no C++ compiler in PATH (c++, g++, clang++)'
    return parts


def importlib_missing(name: str) -> bool:
    """Say whether the running Python lacks a module of its standard library."""
    return subprocess.run([sys.executable, '-c', f'import {name}'],
                          capture_output=True).returncode != 0


def check_machine() -> None:
    """Make sure that the environment can be made here; install Debian packages when root.

    Raises:
        SetupError: Something is missing; the text has the line that installs it.
    """
    libc, version = platform.libc_ver()
    if (sys.platform, platform.machine()) != ('linux', 'x86_64') or libc != 'glibc':
        raise SetupError(
            f'the ROS 2 wheels exist for x86_64 Linux with glibc only; this is {sys.platform} '
            f'{platform.machine()} {libc or "without glibc"}. Install ROS 2 itself, source it and '
            'build with colcon (doc/installation.md).')
    if tuple(int(n) for n in version.split('.')[:2]) < (2, 28):
        raise SetupError(f'the ROS 2 wheels need glibc 2.28 or newer; this is {version}')
    parts = missing_parts()
    if not parts:
        return
    packages = ' '.join(parts)
    for package, reason in parts.items():
        print(f'run: {package} is needed: {reason}', file=sys.stderr)
    line = f'apt-get install -y --no-install-recommends {packages}'
    if os.geteuid() != 0 or not shutil.which('apt-get'):
        raise SetupError('run this line, then the same command again:\n'
                         f'    sudo apt-get update && sudo {line}')
    env = {**os.environ, 'DEBIAN_FRONTEND': 'noninteractive'}
    with Progress(f'run: {line}'):
        for argv in (['apt-get', 'update', '-q'], line.split()):
            got = subprocess.run(argv, env=env, capture_output=True, text=True)
            if got.returncode != 0 and 'install' in argv:  # an index that is out of date may do
                raise SetupError(f'{line} failed:\n{got.stdout[-2000:]}{got.stderr[-2000:]}')
    still = missing_parts()
    if still:
        raise SetupError(f'still missing after installing {packages}: '
                         + '; '.join(still.values()))


def middleware_defaults(root: Path, distro: str) -> dict[str, str]:
    """Return the variables that ROS 2 gets unless the user has set them.

    Args:
        root: Folder with config/.
        distro: ROS_DISTRO, empty with the wheels (which are Kilted).
    """
    values = {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
    profile = root / 'config' / 'fastdds.xml'
    names = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
    if profile.is_file() and not any(n in os.environ for n in names):
        # Up to Jazzy only the old name is read; from Kilted on it draws a warning.
        values[names[distro in ('humble', 'iron', 'jazzy')]] = str(profile)
    return {k: v for k, v in values.items() if k not in os.environ}


def ros_mode(root: Path, finding: object) -> str:
    """Return the interpreter for a sourced ROS 2, once the workspace is found built.

    Raises:
        SetupError: robotracer_msgs is not in the sourced prefixes.
    """
    prefixes = [p for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    index = 'share/ament_index/resource_index/packages/robotracer_msgs'
    if not any(Path(p, index).exists() for p in prefixes):
        raise SetupError(
            f'{getattr(finding, "reason", "")}, so no wheels are used, but robotracer_msgs is not '
            f'built there yet. Do this once (see doc/installation.md):\n'
            f'    cd "{root}" && rosdep install --ignore-src -y --from-paths . robotracer_msgs\n'
            '    colcon build && . install/setup.bash\n'
            'Or use the wheels instead, from a shell in which no ROS 2 is sourced.')
    return sys.executable


def start(root: Path, python: str, args: list[str], env: dict[str, str]) -> None:
    """Replace this process by the command."""
    if args[:1] == ['test']:
        # pytest finds its configuration from the checkout; paths were meant from here.
        rest = [os.path.abspath(a) if os.path.exists(a.split('::')[0]) else a for a in args[1:]]
        argv = [python, '-m', 'pytest', *rest]
        os.chdir(root)
    else:
        # -P: the current folder must not shadow installed packages.
        argv = [python, '-P', '-m', 'robotracer_ros', *args]
    sys.stdout.flush()
    os.execve(python, argv, env)


def main(root_name: str, modes: ModuleType, args: list[str]) -> int:
    """Prepare what is needed and start the command; returns only when something is wrong."""
    root = Path(root_name)
    environment = Environment(root)
    try:
        finding = modes.detect(os.environ, environment.venv)
        if finding.mode is modes.Mode.MIXED:
            raise SetupError(
                f'refusing to mix two ROS 2: {finding.reason}.\nStart from a shell in which '
                'nothing is sourced (AMENT_PREFIX_PATH and PYTHONPATH unset) to use the wheels, '
                f'or remove {environment.venv} to use the sourced ROS 2.')
        if finding.mode is modes.Mode.INCOMPLETE:
            raise SetupError(
                f'{finding.reason}: a workspace is sourced without the ROS 2 under it.\nSource that '
                "ROS 2 (. /opt/ros/<distro>/setup.bash), then the workspace's install/setup.bash; "
                'or start from a shell in which nothing is sourced (AMENT_PREFIX_PATH and '
                'PYTHONPATH unset) to use the wheels.')
        env = {**os.environ, **middleware_defaults(root, finding.distro)}
        if finding.mode is modes.Mode.ROS:
            print(f'run: {finding.reason}; not using wheels', file=sys.stderr)
            python = ros_mode(root, finding)
            env['PYTHONPATH'] = os.pathsep.join(
                p for p in (env.get('PYTHONPATH', ''), str(root)) if p)
        else:
            dev = args[:1] in (['test'], ['--prepare'])
            # Two starts at once: the second waits here and then finds everything done.
            with open(root / 'run', encoding='utf-8') as held:
                if environment.missing(dev):
                    fcntl.flock(held, fcntl.LOCK_EX)
                    environment.prepare(dev)
            python = str(environment.python)
            env['PATH'] = f'{environment.venv / "bin"}{os.pathsep}{env.get("PATH", "")}'
        if args[:1] != ['--prepare']:
            start(root, python, args, env)
        return 0
    except SetupError as error:
        print(f'run: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\nrun: interrupted; the same command goes on from here', file=sys.stderr)
        return 130
