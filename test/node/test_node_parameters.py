# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import pytest
from rclpy.node import Node
from rclpy.parameter import Parameter

from robotracer_ros.errors import BusyError, InvalidParameterError
from robotracer_ros.nodes.parameters import NodeParameters, ParameterSpec, ParameterType

SPECS = (
    ParameterSpec('speed', 0.25, 'Metres per second.', minimum=0.0, maximum=1.0),
    ParameterSpec('count', 3, 'How many.', minimum=1, maximum=9),
    ParameterSpec('mode', 'a', 'Which.', choices=('a', 'b')),
    ParameterSpec('frame', 'base', 'Set at start.', read_only=True),
    ParameterSpec('limit', None, 'Not set means none.', type=ParameterType.DOUBLE),
    ParameterSpec('names', [], 'Some names.'),
    ParameterSpec('plugin.gain', 2.0, 'An option.'),
)


@pytest.fixture
def make(ros):
    nodes = []

    def make(**overrides):
        node = Node('declared', parameter_overrides=[
            Parameter(k, value=v) for k, v in overrides.items()])
        nodes.append(node)
        return node, NodeParameters(node, SPECS)
    yield make
    for node in nodes:
        node.destroy_node()


def set_together(node, **values):
    return node.set_parameters_atomically([Parameter(k, value=v) for k, v in values.items()])


def test_values_are_typed_and_described(make):
    node, p = make(speed=1, names=['x', 'y'])
    assert (p.number('speed'), p.integer('count'), p.string('mode')) == (1.0, 3, 'a')
    assert p.strings('names') == ['x', 'y']
    assert p['limit'] is None
    assert p.group('plugin') == {'gain': 2.0}
    descriptor = node.describe_parameter('speed')
    assert descriptor.description == 'Metres per second.'
    assert descriptor.floating_point_range[0].to_value == 1.0
    assert node.describe_parameter('frame').read_only
    assert node.describe_parameter('mode').additional_constraints == 'a, b'
    with pytest.raises(TypeError, match='not a number'):
        p.number('mode')


def test_changes_are_checked_and_heard(make):
    node, p = make()
    heard = []
    p.on_change(heard.append)
    assert set_together(node, speed=0.5, limit=4).successful
    assert (p.number('speed'), p['limit']) == (0.5, 4.0)
    assert heard == [{'speed': 0.5, 'limit': 4.0}]
    for name, value in (('speed', 2.0), ('count', 0), ('mode', 'c'), ('frame', 'other'),
                        ('count', 2.5), ('names', 'x')):
        result = set_together(node, **{name: value})
        assert not result.successful, name
        assert result.reason
    assert len(heard) == 1


def test_one_bad_value_refuses_the_whole_set(make):
    node, p = make()
    assert not set_together(node, speed=0.1, mode='c').successful
    assert p.number('speed') == 0.25
    assert node.get_parameter('speed').value == 0.25


def test_a_rule_refuses_with_its_number(make):
    node, p = make()

    def rule(new):
        if 'mode' in new:
            raise BusyError('not now')
    p.add_check(rule)
    assert set_together(node, mode='b').reason == 'BUSY (401): not now'
    assert set_together(node, count=4).successful
    p.declare([ParameterSpec('late.mode', 'x', 'Declared later; rules do not apply.')])
    assert p.string('late.mode') == 'x'


@pytest.mark.parametrize(('name', 'value'), [
    ('speed', 7.0), ('speed', 'fast'), ('mode', 'c'), ('count', 2.5), ('names', [1, 2])])
def test_a_bad_override_names_the_parameter(make, name, value):
    with pytest.raises(InvalidParameterError, match=name):
        make(**{name: value})
