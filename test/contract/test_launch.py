# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Launch files, configuration files and code must name the same things."""

import ast
import importlib
import re

import pytest
import yaml
from packaging_facts import ROOT

from robotracer_ros.errors import InvalidParameterError, UnknownPluginError
from robotracer_ros.nodes import graph
from robotracer_ros.nodes.parameters import check_file, flatten
from robotracer_ros.nodes.perception_parameters import PARAMETERS as PERCEPTION
from robotracer_ros.nodes.planner_parameters import PARAMETERS as PLANNER
from robotracer_ros.nodes.sim_parameters import PARAMETERS as SIM

LAUNCH_FILES = sorted((ROOT / 'launch').glob('*.launch.py'))
EVERYTHING = {'sim': 'true', 'viewer': 'true'}
# Arguments that the project's style asks for.
PROMISED = {'robot', 'tracer', 'planner', 'controller', 'params_file', 'namespace', 'use_sim_time',
            'rviz', 'autostart', 'log_level'}


def executables():
    """Node executables that setup.py installs."""
    tree = ast.parse((ROOT / 'setup.py').read_text(encoding='utf-8'))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == 'NODES':
            return ast.literal_eval(node.value)
    raise AssertionError('setup.py holds no NODES')


def node_parameters():
    from robotracer_ros.nodes.viewer_node import PARAMETERS as VIEWER
    return {'perception': PERCEPTION, 'planner': PLANNER, 'sim': SIM, 'viewer': VIEWER}


def test_every_node_of_the_bringup_is_installed_and_importable():
    installed = executables()
    for spec in graph.bringup(EVERYTHING):
        assert spec.executable in installed, f'setup.py installs no {spec.executable}'
        assert installed[spec.executable] == f'{spec.module}:main'
        assert callable(importlib.import_module(spec.module).main)


def test_every_parameter_file_names_declared_parameters_with_allowed_values():
    specs = node_parameters()
    for spec in graph.bringup(EVERYTHING):
        for path in spec.files:
            tree = yaml.safe_load(path.read_text(encoding='utf-8'))
            assert check_file(tree, specs, ('tracer.', 'planner.', 'controller.')) == []
            assert [n.split('/')[-1] for n in tree] == [spec.name]
        declared = {s.name for s in specs[spec.name]} | {'use_sim_time'}
        assert set(spec.parameters) <= declared


def test_topics_agree_between_the_nodes():
    """A drifted topic name makes a graph in which nothing happens and nobody complains."""
    said = {}
    for spec in graph.bringup(EVERYTHING):
        values = {s.name: s.default for s in node_parameters()[spec.name]}
        for path in spec.files:
            for body in yaml.safe_load(path.read_text(encoding='utf-8')).values():
                values |= dict(flatten(body['ros__parameters']))
        said[spec.name] = values
    sim, planner, perception, viewer = (
        said[n] for n in ('sim', 'planner', 'perception', 'viewer'))
    assert sim['color.topic'] == perception['color.topic'] == viewer['color_topic']
    assert sim['depth.topic'] == perception['depth.topic'] == planner['depth.topic'] \
        == viewer['depth_topic']
    assert sim['camera_info.topic'] == perception['camera_info.topic'] == viewer['info_topic']
    assert sim['joint_states.topic'] == planner['robot.joint_states_topic']
    assert sim['arm.topic'] == planner['robot.trajectory_topic']
    assert sim['gripper.topic'] == planner['robot.gripper_topic']
    assert planner['base_frame'] == sim['base_frame'] == perception['gravity_frame']
    assert planner['predict_trace_service'] == 'perception/predict_trace'
    for value in viewer.values():
        if isinstance(value, str) and '/' in value:
            assert not value.startswith('/'), f'{value}: absolute names ignore the namespace'


def test_rviz_shows_what_the_nodes_publish():
    """RViz says nothing about a topic that nobody publishes, or a marker namespace that is gone."""
    config = yaml.safe_load((ROOT / 'config' / 'robotracer.rviz').read_text(encoding='utf-8'))
    readme = (ROOT / 'README.md').read_text(encoding='utf-8')
    published = set(re.findall(r'^\| `(/\S+)` \| [^|]+ \| from ', readme, re.MULTILINE))
    markers = (ROOT / 'robotracer_ros' / 'viz' / 'markers.py').read_text(encoding='utf-8')
    shown, namespaces = set(), set()
    for display in config['Visualization Manager']['Displays']:
        shown |= {v for k, v in display.items() if k.endswith(' Topic') and isinstance(v, str)}
        shown |= {display[k]['Value'] for k in ('Topic', 'Description Topic') if k in display}
        namespaces |= set(display.get('Namespaces', ()))
    assert shown <= published, sorted(shown - published)
    assert {'/perception/markers', '/perception/overlay', '/planner/markers'} <= shown
    assert namespaces == set(re.findall(r"'((?:trace|plan)/\w+)'", markers))


@pytest.mark.parametrize('path', LAUNCH_FILES, ids=lambda p: p.name)
def test_launch_files_parse_and_use_the_shared_arguments(path):
    tree = ast.parse(path.read_text(encoding='utf-8'))
    names = [n.name for n in tree.body if isinstance(n, ast.FunctionDef)]
    assert 'generate_launch_description' in names
    declared = [c for c in ast.walk(tree) if isinstance(c, ast.Call)
                and ast.unparse(c.func) == 'DeclareLaunchArgument']
    # Declared from the shared list, never by hand: a literal would drift.
    assert [ast.unparse(c.args[0]) for c in declared] == ['a.name']
    imports = {f'{n.module}.{a.name}' for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)
               for a in n.names}
    assert 'robotracer_ros.nodes.graph.ARGUMENTS' in imports
    for module in (m.rpartition('.') for m in imports if m.startswith('robotracer_ros')):
        assert hasattr(importlib.import_module(module[0]), module[2])


@pytest.mark.parametrize('path', LAUNCH_FILES, ids=lambda p: p.name)
def test_launch_files_start_only_what_exists(path):
    text = path.read_text(encoding='utf-8')
    for name in re.findall(r"'(\w+\.launch\.py)'", text):
        assert (ROOT / 'launch' / name).is_file()
    for call in (c for c in ast.walk(ast.parse(text)) if isinstance(c, ast.Call)
                 and ast.unparse(c.func) == 'Node'):
        given = {k.arg: ast.unparse(k.value) for k in call.keywords}
        assert given['executable'] == 'spec.executable'
        assert given['package'] == 'spec.package'


def test_arguments_are_complete_and_described():
    names = {a.name for a in graph.ARGUMENTS}
    assert names >= PROMISED
    for argument in graph.ARGUMENTS:
        assert argument.description.endswith('.')
        assert not argument.choices or argument.default in argument.choices


@pytest.mark.parametrize(('values', 'error', 'text'), [
    ({'robbot': 'ur5'}, InvalidParameterError, "argument 'robbot' is unknown: known are robot"),
    ({'robot': 'ur7'}, InvalidParameterError, 'robot:=ur7: must be one of ur5'),
    ({'sim': 'yes'}, InvalidParameterError, 'sim:=yes: must be one of true, false'),
    ({'seed': '3'}, InvalidParameterError, 'without sim:=true'),
    ({'sim': 'true', 'seed': 'x'}, InvalidParameterError, 'must be a whole number'),
    ({'sim': 'true', 'use_sim_time': 'false'}, InvalidParameterError, 'leave use_sim_time out'),
    ({'params_file': 'nowhere.yaml'}, InvalidParameterError, "'nowhere.yaml' does not exist"),
    ({'tracer': 'psychic'}, UnknownPluginError, 'known are .*replay'),
    ({'planner': 'guess'}, UnknownPluginError, 'known are .*ompl'),
])
def test_wrong_arguments_are_refused_before_anything_starts(values, error, text):
    with pytest.raises(error, match=text):
        graph.bringup(values)


def test_what_is_left_out_does_not_override_parameter_files(tmp_path):
    plain = {s.name: s for s in graph.bringup()}
    assert set(plain) == {'perception', 'planner'}
    assert set(plain['perception'].parameters) == {'autostart', 'use_sim_time'}
    path = tmp_path / 'mine.yaml'
    path.write_text('{}', encoding='utf-8')
    given = {s.name: s for s in graph.bringup(
        {'tracer': 'replay', 'sim': 'true', 'seed': '7', 'params_file': str(path)},
        {'sim': {'real_time_factor': 0.0}})}
    assert given['perception'].parameters['tracer.plugin'] == 'replay'
    assert given['perception'].parameters['use_sim_time'] is True
    assert given['perception'].files[-1] == path
    assert given['sim'].parameters == {'seed': 7, 'real_time_factor': 0.0}
    with pytest.raises(InvalidParameterError, match="node 'sim', which does not run"):
        graph.bringup({}, {'sim': {'seed': 1}})


def test_parameters_are_unique_described_and_within_their_own_ranges():
    for node, specs in node_parameters().items():
        names = [s.name for s in specs]
        assert len(names) == len(set(names)), node
        for spec in specs:
            assert spec.description.strip().endswith('.'), f'{node}: {spec.name}'
            assert spec.check(spec.default) == spec.default
