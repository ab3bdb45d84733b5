# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import sys
import types
from importlib import metadata
from pathlib import Path

import pytest

from robotracer_ros.errors import InvalidParameterError, MissingPackageError, UnknownPluginError
from robotracer_ros.nodes import plugins
from robotracer_ros.nodes.parameters import ParameterType
from robotracer_ros.nodes.plugins import Role


class Sample:
    """A plugin.

    Args:
        path: Where the answers are,
            as a folder.
        speed: Metres per second.
        names, tags: What to call it.
    """

    def __init__(self, path: str, speed: float = 2, names: tuple[str, ...] = ('a',),
                 tags: list[str] | None = None, limit: float | None = None, on: bool = True,
                 folder: Path | str = Path('x'), hook: object = None) -> None:
        self.options = {'path': path, 'speed': speed, 'names': names, 'limit': limit}


@pytest.fixture
def sample(monkeypatch):
    module = types.ModuleType('sample_plugin_module')
    module.Sample = Sample
    monkeypatch.setitem(sys.modules, module.__name__, module)
    group = Role.TRACER.entry_points
    entries = [metadata.EntryPoint('sample', 'sample_plugin_module:Sample', group),
               metadata.EntryPoint('sample', 'sample_plugin_module:Sample', group),
               metadata.EntryPoint('lonely', 'sample_plugin_missing.part:Sample', group),
               metadata.EntryPoint('hollow', 'sample_plugin_module:Nothing', group)]
    monkeypatch.setattr(plugins.metadata, 'entry_points', lambda group: entries)


def test_ours_are_installed():
    assert 'replay' in plugins.known_plugins(Role.TRACER)
    assert 'ompl' in plugins.known_plugins(Role.PLANNER)
    assert 'joint_trajectory' in plugins.known_plugins(Role.CONTROLLER)
    assert plugins.plugin_class(Role.TRACER, 'replay').__name__ == 'ReplayTracer'


def test_unknown_name_lists_the_known_ones(sample):
    with pytest.raises(UnknownPluginError) as caught:
        plugins.make_plugin(Role.TRACER, 'psychic', {})
    assert str(caught.value) == (
        "tracer plugin 'psychic' is unknown: known are hollow, lonely, sample")


def test_a_missing_package_is_named(sample):
    with pytest.raises(MissingPackageError, match=r"package 'sample_plugin_missing'"):
        plugins.plugin_class(Role.TRACER, 'lonely')


def test_an_entry_point_to_nothing_is_an_error(sample):
    with pytest.raises(UnknownPluginError, match='cannot be imported'):
        plugins.plugin_class(Role.TRACER, 'hollow')


def test_options_become_parameters(sample):
    specs = {s.name: s for s in plugins.option_specs(Role.TRACER, 'sample')}
    assert list(specs) == [f'tracer.sample.{n}' for n in (
        'path', 'speed', 'names', 'tags', 'limit', 'on', 'folder')]
    assert specs['tracer.sample.path'].description == 'Where the answers are, as a folder.'
    assert specs['tracer.sample.speed'].default == 2.0
    assert specs['tracer.sample.speed'].kind is ParameterType.DOUBLE
    assert specs['tracer.sample.names'].default == ['a']
    assert specs['tracer.sample.tags'].description == 'What to call it.'
    assert specs['tracer.sample.limit'].kind is ParameterType.DOUBLE
    assert specs['tracer.sample.limit'].default is None
    assert specs['tracer.sample.folder'].default == 'x'


def test_options_are_gathered_and_passed(sample):
    values = {'tracer.sample': {'speed': 3.0}}
    options = plugins.plugin_options(
        Role.TRACER, 'sample', lambda prefix: values[prefix],
        {'path': 'there', 'checkpoint': 'not taken', 'limit': None})
    assert options == {'speed': 3.0, 'path': 'there'}
    assert plugins.make_plugin(Role.TRACER, 'sample', options).options['speed'] == 3.0


@pytest.mark.parametrize('options', [{}, {'path': 'x', 'colour': 'red'}])
def test_wrong_options_list_the_right_ones(sample, options):
    with pytest.raises(InvalidParameterError, match='its options are path, speed, names'):
        plugins.make_plugin(Role.TRACER, 'sample', options)
