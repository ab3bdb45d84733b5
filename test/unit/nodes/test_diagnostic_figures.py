# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import math

import pytest

from robotracer_ros.errors import NoDepthError, TracerTimeoutError
from robotracer_ros.nodes.diagnostics import (
    ErrorLog,
    Level,
    Meter,
    Status,
    Window,
    as_error,
    percentile,
)


def test_percentiles_are_nearest_rank():
    values = [float(v) for v in range(1, 101)]
    assert [percentile(values, p) for p in (0.0, 0.5, 0.95, 0.99, 1.0)] == [1, 50, 95, 99, 100]
    assert math.isnan(percentile([], 0.5))


def test_window_keeps_the_newest():
    window = Window(size=3)
    for v in (9.0, 1.0, 2.0, 3.0):
        window.add(v)
    figures = window.figures('latency_ms', 1000.0)
    assert figures['latency_ms_last'] == 3000.0
    assert figures['latency_ms_max'] == 3000.0
    assert window.count == 4


def test_meter_measures_over_its_window():
    now = [0.0]
    meter = Meter(window_s=2.0, clock=lambda: now[0])
    assert math.isinf(meter.since_s)
    for k in range(31):
        now[0] = k * 0.1
        meter.tick()
    assert meter.rate_hz == pytest.approx(10.0, rel=0.06)
    now[0] = 4.0
    assert meter.since_s == pytest.approx(1.0)
    now[0] = 10.0
    assert meter.rate_hz == 0.0
    assert meter.count == 31


def test_error_log_is_present_until_cleared():
    log, status = ErrorLog(), Status()
    log.record(NoDepthError('no depth'))
    log.record(TracerTimeoutError('too slow'))
    log.report(status)
    assert status.level is Level.ERROR
    assert status.message == 'TRACER_TIMEOUT (203): too slow'
    assert status.values['errors_102'] == 1
    log.clear()
    log.report(after := Status())
    assert after.level is Level.OK
    assert (after.values['error_code'], after.values['last_error_code']) == (0, 203)


def test_worst_level_wins_and_equals_join():
    status = Status()
    status.raise_to(Level.WARN, 'a')
    status.raise_to(Level.WARN, 'b')
    assert status.message == 'a; b'
    status.raise_to(Level.ERROR, 'c')
    status.raise_to(Level.WARN, 'd')
    assert (status.level, status.message) == (Level.ERROR, 'c')


def test_foreign_exceptions_become_internal():
    assert as_error(KeyError('x')).code == 900
    assert 'KeyError' in str(as_error(KeyError('x')))
