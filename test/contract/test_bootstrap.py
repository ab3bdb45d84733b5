# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The first run: what it redoes, what it asks for, and that it recovers."""

import io
import json
import shutil
import sys
from pathlib import Path

import pytest
from packaging_facts import ROOT

from robotracer_ros import bootstrap
from robotracer_ros.bootstrap import STAMP, Environment, SetupError

MADE_FROM = ['requirements.lock', 'requirements-dev.lock', 'setup.py', 'setup.cfg', 'package.xml',
             'robotracer_msgs', 'config', 'launch', 'urdf']


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """A copy of what an environment is made from, with all stages stamped."""
    root = tmp_path / 'a clone'
    root.mkdir()
    for name in MADE_FROM:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / name)
        elif source.exists():
            shutil.copy(source, root / name)
    made = Environment(root)
    made.python.parent.mkdir(parents=True)
    made.python.symlink_to(sys.executable)
    for stage, value in made.wanted(dev=True).items():
        made.stamp(stage, value)
    # Stamping the packages asks for the messages again, which come after them.
    assert made.missing(dev=True) == []
    return made


@pytest.mark.parametrize(('name', 'stages'), [
    ('requirements.lock', ['lock']),
    ('requirements-dev.lock', ['dev']),
    ('setup.py', ['package']),
    ('robotracer_msgs/msg/Trace.msg', ['msgs']),
    ('robotracer_msgs/srv/New.srv', ['msgs']),
])
def test_a_change_redoes_its_stage(environment: Environment, name: str, stages: list[str]) -> None:
    """An edited source redoes what is made from it and nothing else."""
    with open(environment.root / name, 'a', encoding='utf-8') as file:
        file.write('\n# changed\n')
    assert environment.missing(dev=True) == stages


def test_new_packages_rebuild_the_messages(environment: Environment) -> None:
    """The generated code links libraries of the packages, so it must follow them."""
    environment.stamp('lock', environment.wanted(dev=False)['lock'])
    assert environment.missing(dev=False) == ['msgs']


def test_demo_does_not_wait_for_developer_tools(environment: Environment) -> None:
    """Only tests need them."""
    (environment.root / 'requirements-dev.lock').write_text('changed\n')
    assert environment.missing(dev=False) == []
    assert environment.missing(dev=True) == ['dev']


def test_a_moved_checkout_starts_again(environment: Environment) -> None:
    """Scripts of a virtual environment name the place where it was made."""
    moved = environment.root.with_name('elsewhere')
    environment.root.rename(moved)
    there = Environment(moved)
    assert there.missing(dev=False)[0] == 'venv'
    assert not there.usable()


def test_a_lost_interpreter_starts_again(environment: Environment) -> None:
    """An upgraded system leaves the environment's Python dangling."""
    environment.python.unlink()
    environment.python.symlink_to('gone')
    assert 'venv' in environment.missing(dev=False)


@pytest.mark.parametrize('text', ['', '{"venv": "cut o'])
def test_a_torn_stamp_is_no_stamp(environment: Environment, text: str) -> None:
    """A run that was killed must not leave something that stops the next one."""
    (environment.venv / STAMP).write_text(text)
    assert environment.missing(dev=False) == ['venv', 'lock', 'msgs', 'package']


def test_torn_packages_are_dropped(environment: Environment) -> None:
    """pip takes a package for installed whose files are not in place yet when it is killed."""
    site = environment.venv / 'lib' / 'python3.11' / 'site-packages'
    records = {
        'whole-1.0.dist-info': 'whole.py,,\nwhole-1.0.dist-info/INSTALLER,,\n',
        'unmoved-1.0.dist-info': 'unmoved-1.0.data/data/lib/libunmoved.so,,\n',
        'torn-1.0.dist-info': None,
    }
    for name, record in records.items():
        (site / name).mkdir(parents=True)
        (site / name / 'METADATA').touch()
        if record is not None:
            (site / name / 'RECORD').write_text(record)
    environment.drop_torn_packages()
    assert [p.name for p in site.iterdir()] == ['whole-1.0.dist-info']


def test_a_failed_step_shows_the_end_of_its_output(environment: Environment) -> None:
    """The screen gets the cause; the log keeps everything."""
    code = 'print("first"); [print("line", n) for n in range(40)]; raise SystemExit(3)'
    with pytest.raises(SetupError, match='status 3') as error:
        environment.command('a step', [sys.executable, '-c', code])
    assert 'line 39' in str(error.value)
    assert 'first' not in str(error.value)
    log = (environment.venv / bootstrap.LOG).read_text()
    assert 'first' in log
    assert str(environment.venv / bootstrap.LOG) in str(error.value)


def test_missing_packages_are_named_with_the_line_to_run(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without root nothing is installed behind the user's back."""
    monkeypatch.setattr(bootstrap, 'missing_parts',
                        lambda: {'python3-venv': 'no ensurepip', 'g++': 'no compiler'})
    monkeypatch.setattr('os.geteuid', lambda: 1000)
    with pytest.raises(SetupError) as error:
        bootstrap.check_machine()
    assert 'sudo apt-get install -y --no-install-recommends python3-venv g++' in str(error.value)
    assert 'no compiler' in capsys.readouterr().err


def test_other_machines_are_sent_to_colcon(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are no ROS 2 wheels for arm64."""
    monkeypatch.setattr('platform.machine', lambda: 'aarch64')
    with pytest.raises(SetupError, match=r'aarch64.*colcon'):
        bootstrap.check_machine()


def test_compiler_is_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty PATH has no compiler; the Python that runs the tests has everything else."""
    assert 'g++' not in bootstrap.missing_parts()
    monkeypatch.setenv('PATH', str(tmp_path))
    assert 'g++' in bootstrap.missing_parts()


@pytest.mark.parametrize(('distro', 'name'), [
    ('', 'FASTDDS_DEFAULT_PROFILES_FILE'), ('kilted', 'FASTDDS_DEFAULT_PROFILES_FILE'),
    ('jazzy', 'FASTRTPS_DEFAULT_PROFILES_FILE'),
])
def test_middleware_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                             distro: str, name: str) -> None:
    """Discovery stays on this machine and the large-image profile is applied, by its right name."""
    for variable in ('ROS_AUTOMATIC_DISCOVERY_RANGE', 'FASTDDS_DEFAULT_PROFILES_FILE',
                     'FASTRTPS_DEFAULT_PROFILES_FILE'):
        monkeypatch.delenv(variable, raising=False)
    assert bootstrap.middleware_defaults(tmp_path, distro) == {
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
    (tmp_path / 'config').mkdir()
    profile = tmp_path / 'config' / 'fastdds.xml'
    profile.touch()
    assert bootstrap.middleware_defaults(tmp_path, distro)[name] == str(profile)
    monkeypatch.setenv('FASTDDS_DEFAULT_PROFILES_FILE', 'mine.xml')
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'SUBNET')
    assert bootstrap.middleware_defaults(tmp_path, distro) == {}


def test_progress_on_a_pipe_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of CI gets the beginning and the end of a step, not every package."""
    stream = io.StringIO()
    monkeypatch.setattr('sys.stderr', stream)
    with bootstrap.Progress('a step') as progress:
        for n in range(100):
            progress.note = str(n)
    assert stream.getvalue().splitlines() == ['a step 0:00 ', 'a step 0:00 done']


def test_stamp_is_json(environment: Environment) -> None:
    """Other tools (doctor) read it."""
    assert json.loads((environment.venv / STAMP).read_text())['venv'] == str(environment.venv)
