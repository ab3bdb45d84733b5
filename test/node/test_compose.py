# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Several node processes as one program: they start together and nothing outlives it."""

import dataclasses
import os
import signal
import subprocess
import sys
import textwrap

import pytest
from perception_rig import wait_for, write_answers

from robotracer_ros.errors import MissingPackageError
from robotracer_ros.nodes import compose
from robotracer_ros.nodes.compose import Composition, command
from robotracer_ros.nodes.graph import NodeSpec

PERCEPTION = 'robotracer_ros.nodes.perception_node'


@pytest.fixture
def answers(tmp_path):
    return str(write_answers(tmp_path))


def perception(answers, name='perception', **parameters):
    values = {'autostart': True, 'tracer.plugin': 'replay', 'tracer.replay.path': answers}
    return NodeSpec(name, 'perception_node', PERCEPTION, (), {**values, **parameters})


@pytest.fixture
def lines():
    return []


@pytest.fixture
def output(lines):
    return lambda name, line: lines.append(f'[{name}] {line}')


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_nodes_start_and_stop_together(answers, lines, output, tmp_path):
    nodes = Composition([perception(answers, 'left'), perception(answers, 'right')], output,
                        log_folder=tmp_path / 'log')
    nodes.start()
    pids = nodes.pids
    for name in ('left', 'right'):
        wait_for(lambda n=name: [x for x in lines if x.startswith(f'[{n}]') and 'loaded' in x])
    assert nodes.ended() == {}
    assert nodes.stop() == 0
    assert all(gone(pid) for pid in pids.values()), lines
    assert not [x for x in lines if 'Traceback' in x]
    assert 'loaded' in (tmp_path / 'log' / 'left.log').read_text(encoding='utf-8')


def test_when_one_ends_all_end_with_its_code(answers, lines, output):
    code = compose.run([perception(answers, 'good'), perception(answers, 'bad', slop_s=9.0)],
                       output=output)
    assert code == 1
    assert any('[bad] INVALID_PARAMETER (502)' in x for x in lines)
    assert '[bad] ended by itself with exit code 1' in lines


def script(tmp_path, monkeypatch, name, text):
    (tmp_path / f'{name}.py').write_text(textwrap.dedent(text), encoding='utf-8')
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    return NodeSpec(name, '', name)


def test_a_window_that_is_closed_ends_nothing_else(tmp_path, monkeypatch, lines, output):
    window = script(tmp_path, monkeypatch, 'window', 'raise SystemExit(3)')
    robot = script(tmp_path, monkeypatch, 'robot', """
        import signal
        signal.signal(signal.SIGINT, lambda *_: exit(0))
        print('up', flush=True)
        while True:
            signal.pause()
    """)
    nodes = Composition([dataclasses.replace(window, essential=False), robot], output)
    nodes.start()
    wait_for(lambda: '[window] closed (exit code 3); the rest goes on' in lines)
    wait_for(lambda: '[robot] up' in lines)
    assert not nodes.wait(0.2)
    assert nodes.stop() == 0
    assert not [x for x in lines if 'by itself' in x]


def test_a_node_that_does_not_listen_is_killed_and_that_is_a_failure(
        tmp_path, monkeypatch, lines, output):
    monkeypatch.setattr(compose, 'GRACE_S', (0.2, 0.2))
    nodes = Composition([script(tmp_path, monkeypatch, 'deaf_node', """
        import signal, time
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        print('deaf', flush=True)
        time.sleep(600)
        """)], output)
    nodes.start()
    pid = nodes.pids['deaf_node']
    wait_for(lambda: '[deaf_node] deaf' in lines)
    assert nodes.stop() == 1
    assert gone(pid)
    assert '[deaf_node] did not end: killed' in lines


def test_a_crash_is_reported_as_a_shell_would(tmp_path, monkeypatch, lines, output):
    node = script(tmp_path, monkeypatch, 'crashing_node', """
        import os, signal
        os.kill(os.getpid(), signal.SIGABRT)
        """)
    assert compose.run([node], output=output) == 128 + signal.SIGABRT


def start_program(answers):
    code = (f'import sys\nfrom robotracer_ros.nodes.compose import run\n'
            f'from robotracer_ros.nodes.graph import NodeSpec\n'
            f'sys.exit(run([NodeSpec("perception", "", "{PERCEPTION}", (), '
            f'{{"autostart": True, "tracer.plugin": "replay", '
            f'"tracer.replay.path": {answers!r}}})]))')
    process = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if 'loaded in' in line:
            break
    children = subprocess.run(['ps', '-o', 'pid=', '--ppid', str(process.pid)],
                              capture_output=True, text=True, check=True).stdout.split()
    assert len(children) == 1
    return process, int(children[0])


def test_ctrl_c_twice_ends_the_program_cleanly(answers):
    process, node = start_program(answers)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == 0, rest
    assert 'Traceback' not in rest
    assert gone(node)


def test_nodes_do_not_outlive_a_killed_program(answers):
    process, node = start_program(answers)
    process.kill()
    process.communicate()
    wait_for(lambda: gone(node), 'the node to notice')


def test_parameters_arrive_as_they_were_given(tmp_path):
    odd = {'a.text': 'yes', 'a.number_like': '1e3', 'a.colon': "it's: odd", 'a.list': ['x', 'on']}
    file = tmp_path / 'file.yaml'
    file.write_text('{/**: {ros__parameters: {a.text: overridden, b: 5}}}', encoding='utf-8')
    words = command(NodeSpec('n', 'e', 'm', (file,), odd, 'space', 'warn'), tmp_path)
    import rclpy
    from rclpy.node import Node
    context = rclpy.Context()
    rclpy.init(args=words, context=context)
    node = Node('given', context=context, automatically_declare_parameters_from_overrides=True)
    assert (node.get_name(), node.get_namespace()) == ('n', '/space')
    for name, value in {**odd, 'b': 5}.items():
        assert node.get_parameter(name).value == value
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_a_program_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv('PATH', str(tmp_path))
    nodes = Composition([NodeSpec('rviz', 'rviz2', '', package='rviz2')])
    with pytest.raises(MissingPackageError, match="'rviz2' is not installed: it comes with"):
        nodes.start()
