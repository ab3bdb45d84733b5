# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What setup.py, package.xml, the lock files and the tree promise to each other."""

import configparser
import importlib.util
import os
import re
import tomllib
import types
from importlib import metadata
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging_facts import (
    PACKAGE,
    ROOT,
    depends,
    distribution,
    entry_points,
    package_xml,
    pins,
    sources,
    tracked_files,
)
from test_import_rules import imported_modules

import robotracer_ros

MSGS = ROOT / 'robotracer_msgs'
SHIPPED = ('launch', 'config', 'urdf')


@pytest.mark.parametrize('point', entry_points(), ids=lambda p: f'{p.group}:{p.name}')
def test_entry_point_resolves(point: EntryPoint) -> None:
    """A name that does not import fails for the user at start, in another process."""
    assert callable(point.load())


def test_installed_entry_points_are_those_of_setup_py() -> None:
    """A stale installation runs other code than the checkout names."""
    installed = {(p.group, p.name, p.value)
                 for p in metadata.distribution('robotracer_ros').entry_points}
    assert installed == {(p.group, p.name, p.value) for p in entry_points()}


def test_one_version() -> None:
    """Both packages are released together; rosdep, pip and Python must agree on the number."""
    pyproject = (MSGS / 'pyproject.toml').read_text(encoding='utf-8')
    found = {
        'package.xml': package_xml(ROOT).findtext('version'),
        'robotracer_msgs/package.xml': package_xml(MSGS).findtext('version'),
        'setup.py': distribution().get_version(),
        '__init__.py': robotracer_ros.__version__,
        'robotracer_msgs/pyproject.toml': re.search(r'^version = "(.+)"', pyproject, re.M)[1],
    }
    assert len(set(found.values())) == 1, found
    version = robotracer_ros.__version__
    for changelog in (ROOT / 'CHANGELOG.rst', MSGS / 'CHANGELOG.rst'):
        assert re.search(rf'^{re.escape(version)} \(', changelog.read_text(encoding='utf-8'), re.M)


def test_data_files_exist() -> None:
    """setuptools drops a missing data file with a warning at most."""
    named = [f for _, files in distribution().data_files for f in files]
    assert named
    assert not [f for f in named if not (ROOT / f).is_file()]


def test_launch_config_and_urdf_are_shipped() -> None:
    """Every file that nodes look up at run time is installed under its own folder."""
    shipped = {(target, f) for target, files in distribution().data_files for f in files}
    wanted = {
        (f'share/robotracer_ros/{path.parent.relative_to(ROOT)}', str(path.relative_to(ROOT)))
        for path in (p for folder in SHIPPED for p in (ROOT / folder).rglob('*'))
        if path.is_file() and '__pycache__' not in path.parts
    }
    assert wanted <= shipped, sorted(wanted - shipped)


def test_package_data_is_installed() -> None:
    """A file inside the package that is no module must be declared, or only checkouts have it."""
    patterns = (distribution().package_data or {}).get('robotracer_ros', [])
    declared = {p for pattern in patterns for p in PACKAGE.glob(pattern)}
    other = {p for p in tracked_files() if p.is_relative_to(PACKAGE) and p.suffix != '.py'}
    assert other <= declared, sorted(other - declared)


def test_every_package_folder_is_installed() -> None:
    """A folder without __init__.py works in the checkout and is missing once installed."""
    installed = set(distribution().packages)
    folders = {'.'.join(p.parent.relative_to(ROOT).parts) for p in sources()}
    assert folders == installed


def test_node_executables_have_shims() -> None:
    """`ros2 run` of a pip installation finds nodes in lib/<package>/ only."""
    nodes = {p.name for p in entry_points()
             if p.group == 'console_scripts' and '.nodes.' in p.value}
    assert nodes
    prefix = metadata.distribution('robotracer_ros').locate_file('').parents[2]
    for name in nodes:
        shim = Path(prefix, 'lib', 'robotracer_ros', name)
        assert shim.is_file(), shim
        assert os.access(shim, os.X_OK), shim


def test_installed_nodes_run_in_the_active_python() -> None:
    """colcon would write its own interpreter into them, which sees no virtual environment."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / 'setup.cfg', encoding='utf-8')
    assert setup['build_scripts']['executable'] == '/usr/bin/env python3'
    assert setup['install']['install_scripts'] == setup['develop']['script_dir'] \
        == '$base/lib/robotracer_ros'


def test_tests_find_their_plugins_in_ros_mode() -> None:
    """pytest refuses settings of a plugin that rosdep did not install (--strict-config)."""
    pyproject = tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))
    assert 'timeout' in pyproject['tool']['pytest']['ini_options']
    assert {'python3-pytest', 'python3-pytest-timeout'} <= {
        e.text for e in package_xml(ROOT).iter('test_depend')}


def test_colcon_finds_pytest() -> None:
    """colcon test runs zero tests, and is green, without exactly this extra."""
    extras = distribution().extras_require['test']
    assert any(Requirement(r).name == 'pytest' for r in extras)


def test_colcon_is_told_of_both_packages_and_of_tests_that_exist() -> None:
    """A crawl stops at the first package.xml, so the messages below it must be named."""
    defaults = yaml.safe_load((ROOT / 'colcon_defaults.yaml').read_text(encoding='utf-8'))
    for verb in ('build', 'test', 'list', 'info', 'graph'):
        folders = defaults[verb]['base-paths']
        assert {package_xml(ROOT / f).findtext('name') for f in folders} == {
            'robotracer_ros', 'robotracer_msgs'}
    paths = [a for a in defaults['test']['pytest-args'] if not a.startswith('-')]
    assert paths
    assert all((ROOT / p).exists() for p in paths)


def test_package_xml_names_every_ros_import() -> None:
    """rosdep installs what package.xml names; an import that it omits fails on other machines."""
    prefixes = [p for p in os.environ['AMENT_PREFIX_PATH'].split(os.pathsep) if p]
    known = {p.name for prefix in prefixes
             for p in Path(prefix, 'share/ament_index/resource_index/packages').glob('*')}
    assert 'rclpy' in known
    used = {name.split('.')[0] for path in sources() for name, _ in imported_modules(path)}
    assert (used & known) - {'robotracer_ros'} <= depends(ROOT)


def test_messages_name_what_they_use() -> None:
    """Interfaces that use a package need it in package.xml, CMakeLists.txt and the wheel."""
    used = set()
    for path in [*MSGS.glob('msg/*'), *MSGS.glob('srv/*'), *MSGS.glob('action/*')]:
        for line in path.read_text(encoding='utf-8').splitlines():
            if match := re.match(r'\s*(\w+)/\w+', line.split('#')[0]):
                used.add(match[1])
    cmake = (MSGS / 'CMakeLists.txt').read_text(encoding='utf-8')
    pyproject = (MSGS / 'pyproject.toml').read_text(encoding='utf-8')
    assert 'std_msgs' in used
    for package in used:
        assert package in depends(MSGS)
        assert f'find_package({package} REQUIRED)' in cmake
        assert pyproject.count(f'"ros-{package.replace("_", "-")}~=') == 2


def test_locks_cover_setup_py() -> None:
    """Each requirement of setup.py is pinned, inside the range that setup.py allows."""
    extras = distribution().extras_require
    run = pins('requirements.lock')
    dev = pins('requirements-dev.lock')
    assert not run.keys() & dev.keys()
    wanted = [(r, run) for r in [*distribution().install_requires, *extras['wheels']]]
    wanted += [(r, {**run, **dev}) for r in [*extras['test'], *extras['dev']]]
    for text, lock in wanted:
        requirement = Requirement(text)
        pinned = lock.get(canonicalize_name(requirement.name))
        assert pinned, f'{text} is in no lock file: run .ci/lock.py'
        assert requirement.specifier.contains(pinned, prereleases=True), f'{text}: {pinned}'


# Installed because another package asks for it, and no code of it is linked or imported.
COPYLEFT_EXCEPTIONS = {
    'docutils': 'its GPL part is an Emacs mode, which the wheel does not contain',
    'jrl-cmakemodules': 'CMake macros required by the metadata of example-robot-data, never run',
}


def test_no_copyleft_dependency() -> None:
    """The suite is Apache-2.0 and may be shipped in closed products."""
    found = {}
    for name in {**pins('requirements.lock'), **pins('requirements-dev.lock')}:
        try:
            about = metadata.metadata(name)
        except metadata.PackageNotFoundError:
            continue  # pinned for another Python version
        classifiers = [c for c in about.get_all('Classifier') or [] if c.startswith('License')]
        # The free License field sometimes holds a whole text; its first line is the name.
        first = (about.get('License') or '').strip().split('\n')[0]
        text = ' '.join([about.get('License-Expression') or '', first, *classifiers])
        if re.search(r'GPL|GNU|Affero', text):
            found[name] = text
    assert found.keys() == COPYLEFT_EXCEPTIONS.keys(), found


def forbidden() -> list[str]:
    """Return what no committed file may contain, spelled so that this file does not."""
    folders = [f'/{name}/' for name in ('work', 'root', 'tmp')] + ['/home' + '/']
    hosts = [a + '.' + b for a, b in (('pypi', 'org'), ('pythonhosted', 'org'),
                                      ('npmjs', 'org'), ('deb.debian', 'org'))]
    return folders + hosts


def test_no_machine_paths() -> None:
    """A path of somebody's machine works there only."""
    files = tracked_files()
    if not files:
        pytest.skip('not a git checkout: nothing tells which files are ours')
    hits = []
    for path in files:
        try:
            text = path.read_text(encoding='utf-8')
        except UnicodeDecodeError:
            continue  # pictures and weights
        hits += [f'{path.relative_to(ROOT)}: {bad}' for bad in forbidden()
                 if re.search(rf'(?<![\w.\-}}])(?:https?://)?{re.escape(bad)}', text)]
    assert not hits


def test_cuda_packages_are_never_pinned(monkeypatch):
    """A lock file made where torch is a CUDA build must install on a machine without a GPU."""
    spec = importlib.util.spec_from_file_location('lock', ROOT / '.ci' / 'lock.py')
    lock = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lock)
    requires = {
        'robotracer-ros': ['torch'],
        'torch': ['nvidia-cublas-cu12==12.8.4.1; platform_system == "Linux"', 'triton==3.5.0',
                  'cuda-bindings<13,>=12.9', 'cuda-toolkit[cublas]==13.0', 'sympy'],
        'sympy': None,
    }

    def installed(name):  # asking for a CUDA package is a KeyError
        return types.SimpleNamespace(version='1.0+cu130', requires=requires[name])

    monkeypatch.setattr(lock.metadata, 'distribution', installed)
    found = lock.closure([('robotracer-ros', frozenset())])
    assert found == {'torch': '1.0', 'sympy': '1.0'}
    pinned = {**pins('requirements.lock'), **pins('requirements-dev.lock')}
    assert not [name for name in pinned if lock.CUDA.match(name)]
