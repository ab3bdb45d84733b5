# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The doctor reports what is there, and a failure as a failure."""

import json
import os
import subprocess
import sys

import pytest

from robotracer_ros import doctor
from robotracer_ros.doctor import Probe, run_probe


@pytest.fixture(scope='module')
def report() -> dict:
    """The whole report of this environment, made as a user makes it."""
    env = {'ROS_DOMAIN_ID': '87', 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST', **os.environ}
    code = 'from robotracer_ros import doctor; raise SystemExit(doctor.main(as_json=True))'
    got = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, env=env,
                         timeout=240)
    return {**json.loads(got.stdout), 'status': got.returncode}


def test_everything_needed_works_here(report: dict) -> None:
    """The environment that the tests run in is a complete one."""
    broken = {c['name']: c['detail'] for c in report['checks'] if c['outcome'] == 'broken'}
    assert not broken
    assert report['works']
    assert report['status'] == 0


def test_what_is_absent_has_a_remedy(report: dict) -> None:
    """A report that only complains helps nobody."""
    assert all(c['remedy'] for c in report['checks'] if c['outcome'] != 'ok')
    assert {c['area'] for c in report['checks']} >= {
        'machine', 'ros', 'planning', 'simulation', 'learning', 'viewing', 'recording'}


@pytest.mark.parametrize(('code', 'detail'), [
    ('raise RuntimeError("no such thing")', 'no such thing'),
    ('import os; os.abort()', 'signal 6'),
    ('pass', 'without a word'),
    ('import time; time.sleep(60)', 'no answer within 1 s'),
])
def test_failures_are_told(code: str, detail: str) -> None:
    """An exception, a crash, silence and a hang each fail the probe and not the report."""
    limit = 1.0 if 'sleep' in code else 60.0
    needed = run_probe(Probe('ros', 'x', code, 'do this', limit=limit))
    assert needed.outcome == 'broken'
    assert detail in needed.detail
    assert needed.remedy == 'do this'
    assert run_probe(Probe('ros', 'x', code, 'do this', False, limit)).outcome == 'absent'
    assert doctor.status([needed]) == 1


def test_missing_profile_file_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fast DDS ignores a profile file that does not exist, and images get lost."""
    monkeypatch.setenv('FASTDDS_DEFAULT_PROFILES_FILE', 'nowhere.xml')
    assert doctor.check_middleware().outcome == 'broken'


def test_table_shows_findings_and_remedies(capsys: pytest.CaptureFixture[str]) -> None:
    """The table has what the JSON has."""
    doctor.show([doctor.check_python(), doctor.Check('ros', 'x', 'broken', 'lost', 'find it')])
    text = capsys.readouterr().out
    assert 'lost' in text
    assert 'find it' in text
    assert 'not working: x' in text
