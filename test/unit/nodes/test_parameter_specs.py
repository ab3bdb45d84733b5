# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import math

import pytest

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.nodes.parameters import (
    ParameterSpec,
    ParameterType,
    check_file,
    flatten,
    markdown_table,
    prefixed,
)

RATE = ParameterSpec('rate_hz', 5.0, 'How often.', minimum=0.1, maximum=50.0)
MODE = ParameterSpec('mode', 'a', 'Which way.', choices=('a', 'b'))
SIZE = ParameterSpec('size', [1.0, 2.0, 3.0], 'Box, metres.', minimum=0.0, length=3, read_only=True)
COUNT = ParameterSpec('count', 3, 'How many.', minimum=1)
LIMIT = ParameterSpec('limit', None, 'None means no limit.', type=ParameterType.DOUBLE)


@pytest.mark.parametrize(('spec', 'value', 'text'), [
    (RATE, 60.0, 'parameter rate_hz = 60.0: must be in 0.1 to 50'),
    (RATE, math.nan, 'must be a number'),
    (RATE, 'fast', 'must be a double, not str'),
    (RATE, True, 'must be a double, not bool'),
    (RATE, None, 'must be a double'),
    (MODE, 'c', "must be one of 'a', 'b'"),
    (SIZE, [1.0, 2.0], 'must have 3 values, not 2'),
    (SIZE, [1.0, 2.0, -1.0], 'must be in >= 0'),
    (SIZE, 'abc', 'must be a double_array'),
    (COUNT, 1.5, 'must be a int, not float'),
    (COUNT, 0, 'must be in >= 1'),
    (LIMIT, 'x', 'must be a double'),
])
def test_refuses_with_name_value_and_rule(spec, value, text):
    with pytest.raises(InvalidParameterError) as caught:
        spec.check(value)
    assert text in str(caught.value)
    assert f'parameter {spec.name} = ' in str(caught.value)


def test_accepts_and_keeps_exact_types():
    assert isinstance(RATE.check(5), float)
    assert SIZE.check((1, 2, 3)) == [1.0, 2.0, 3.0]
    assert LIMIT.check(None) is None
    assert LIMIT.check(2) == 2.0
    assert ParameterSpec('names', [], 'x').check([]) == []


def test_table_lists_everything():
    table = markdown_table([RATE, MODE, SIZE, LIMIT])
    assert '| `rate_hz` | double | `5.0` | 0.1 to 50 | How often. |' in table
    assert "| `mode` | string | `'a'` | a, b | Which way. |" in table
    assert 'Box, metres. Read-only: set at start.' in table
    assert '| `limit` | double | not set |' in table


def test_prefix_and_flatten():
    assert prefixed('arm', [RATE])[0].name == 'arm.rate_hz'
    assert dict(flatten({'a': {'b': 1, 'c': {'d': 2}}, 'e': 3})) == {'a.b': 1, 'a.c.d': 2, 'e': 3}


def test_a_file_is_compared_with_the_declarations():
    specs = {'node': [RATE, MODE]}
    good = {'node': {'ros__parameters': {'rate_hz': 2, 'use_sim_time': True, 'plug': {'x': 1}}}}
    assert check_file(good, specs, open_prefixes=['plug.']) == []
    bad = {'/ns/node': {'ros__parameters': {'rate_hz': 100.0, 'moed': 'a'}}, 'nodule': {}}
    wrong = check_file(bad, specs)
    assert len(wrong) == 3
    assert "parameter 'moed' is not declared" in wrong[1]
    assert "node 'nodule' is unknown" in wrong[2]
