# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Launch files, configuration files and code must name the same things."""

import ast
import dataclasses
import importlib
import re
import sys
import types

import pytest
import yaml
from packaging_facts import ROOT

from robotracer_ros.errors import InvalidParameterError, UnknownPluginError
from robotracer_ros.nodes import graph
from robotracer_ros.nodes.compose import command
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
    absolute = sorted(topic for topic in shown if topic.startswith('/'))
    assert absolute == [], 'these ignore the namespace'
    shown = {f'/{topic}' for topic in shown}
    assert shown <= published, sorted(shown - published)
    assert {'/perception/markers', '/perception/overlay', '/planner/markers'} <= shown
    assert namespaces == set(re.findall(r"'((?:trace|plan)/\w+)'", markers))


def depth_info():
    """The camera_info beside the depth image that RViz shows: image_transport makes its name."""
    config = yaml.safe_load((ROOT / 'config' / 'robotracer.rviz').read_text(encoding='utf-8'))
    cloud, = (d for d in config['Visualization Manager']['Displays'] if 'Depth Map Topic' in d)
    return cloud['Depth Map Topic'].rpartition('/')[0] + '/camera_info'


def test_rviz_sees_the_depth_cloud_in_a_namespace(tmp_path):
    """image_transport looks for the camera_info of a relative topic at the root of all names."""
    rviz, = (s for s in graph.bringup({'rviz': 'true', 'namespace': '/left/'}) if s.name == 'rviz')
    assert rviz.namespace == 'left'
    assert rviz.remappings == ((f'/{depth_info()}', f'/left/{depth_info()}'),)
    words = ' '.join(command(dataclasses.replace(rviz, module='rviz'), tmp_path))
    assert f'-r /{depth_info()}:=/left/{depth_info()}' in words
    rviz, = (s for s in graph.bringup({'rviz': 'true'}) if s.name == 'rviz')
    assert rviz.remappings == ()


class Recorded:
    """Stands where launch is not installed, as in pip mode: keeps what it was made with."""

    def __init__(self, *args, **given):
        self.args, self.given = args, given


def start_nodes(monkeypatch, values):
    """Run the launch file's own function; return its actions."""
    for name in ('launch', 'launch.actions', 'launch.event_handlers', 'launch.events',
                 'launch.substitutions', 'launch_ros', 'launch_ros.actions'):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    for name, parts in {
            'launch': ('LaunchContext', 'LaunchDescription'),
            'launch.actions': ('DeclareLaunchArgument', 'EmitEvent', 'OpaqueFunction',
                               'RegisterEventHandler'),
            'launch.event_handlers': ('OnProcessExit',), 'launch.events': ('Shutdown',),
            'launch_ros.actions': ('Node',)}.items():
        for part in parts:
            setattr(sys.modules[name], part, type(part, (Recorded,), {}))
    given = {a.name: values.get(a.name, a.default) for a in graph.ARGUMENTS}
    substitution = type('LaunchConfiguration', (Recorded,), {
        'perform': lambda self, context: given[self.args[0]]})
    sys.modules['launch.substitutions'].LaunchConfiguration = substitution
    path = ROOT / 'launch' / 'bringup.launch.py'
    code = compile(path.read_text(encoding='utf-8'), str(path), 'exec')
    namespace = {'__name__': 'bringup'}
    exec(code, namespace)
    return namespace['start_nodes'](None)


def test_closing_a_window_ends_no_robot(monkeypatch):
    """Everything else ends all: a robot with half of its nodes is not a robot."""
    actions = start_nodes(monkeypatch, {**EVERYTHING, 'rviz': 'true', 'namespace': 'left'})
    nodes = {a.given['name']: a for a in actions if 'executable' in a.given}
    watched = {h.args[0].given['target_action'].given['name']
               for h in actions if type(h).__name__ == 'RegisterEventHandler'}
    assert set(nodes) == {'sim', 'perception', 'planner', 'viewer', 'rviz'}
    assert watched == {'sim', 'perception', 'planner'}
    assert nodes['rviz'].given['namespace'] == 'left'
    assert nodes['rviz'].given['remappings'] == [
        (f'/{depth_info()}', f'/left/{depth_info()}')]


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
