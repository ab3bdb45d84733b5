# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import threading

import pytest

from robotracer_ros.errors import (
    NoDepthError,
    PreemptedError,
    TracerCancelledError,
    TracerTimeoutError,
)
from robotracer_ros.nodes.worker import Job, NewestWorker

PATIENCE = 20.0


@pytest.fixture
def worker():
    w = NewestWorker()
    yield w
    assert w.close()


class Slow:
    """Work that runs until cancelled or released."""

    def __init__(self):
        self.started, self.release, self.ended = (threading.Event() for _ in range(3))

    def __call__(self, budget):
        self.started.set()
        try:
            while not self.release.wait(0.002):
                budget.check()
            return 'slow'
        finally:
            self.ended.set()


def submit(worker, work, timeout_s=PATIENCE, **options):
    job = Job(work, timeout_s, **options)
    worker.submit(job)
    return job


def test_answers_and_then_does_what_may_wait(worker):
    order, done = [], threading.Event()
    job = submit(worker, lambda budget: 42, on_settled=lambda j: order.append(('settled', j.value)),
                 after=lambda v: (order.append(('after', v)), done.set()))
    assert job.wait(PATIENCE)
    assert done.wait(PATIENCE)
    assert order == [('settled', 42), ('after', 42)]
    assert not worker.busy


def test_the_newest_wins_and_the_others_hear_why(worker):
    slow = Slow()
    first = submit(worker, slow)
    assert slow.started.wait(PATIENCE)
    second = submit(worker, lambda budget: 'second')
    third = submit(worker, lambda budget: 'third')
    assert third.wait(PATIENCE)
    assert third.value == 'third'
    assert isinstance(first.error, PreemptedError)
    assert second.wait(PATIENCE)
    assert second.value == 'second' or isinstance(second.error, PreemptedError)
    assert slow.ended.is_set()


def test_cancel_reaches_the_backend(worker):
    slow = Slow()
    job = submit(worker, slow)
    assert slow.started.wait(PATIENCE)
    assert worker.cancel(TracerCancelledError('no more')) == 1
    assert str(job.error) == 'no more'
    assert slow.ended.wait(PATIENCE)
    assert worker.wait_idle(PATIENCE)
    assert worker.cancel(TracerCancelledError('nothing there')) == 0


def test_a_deadline_is_kept_by_a_polite_backend(worker):
    job = submit(worker, Slow(), timeout_s=0.05)
    assert job.wait(PATIENCE)
    assert isinstance(job.error, TracerTimeoutError)
    assert '0.050 s' in str(job.error)


def test_a_backend_that_ignores_its_deadline_is_overruled(worker):
    release = threading.Event()
    job = submit(worker, lambda budget: release.wait(PATIENCE), timeout_s=0.05)
    assert job.wait(PATIENCE)
    assert isinstance(job.error, TracerTimeoutError)
    assert 'did not stop' in str(job.error)
    assert worker.busy
    release.set()
    assert worker.wait_idle(PATIENCE)
    assert submit(worker, lambda budget: 1).wait(PATIENCE)
    assert worker.discarded == 1


def test_errors_keep_their_type_and_others_become_internal(worker):
    def typed(budget):
        raise NoDepthError('no depth here')

    def foreign(budget):
        raise ZeroDivisionError('oops')
    for work, code, text in ((typed, 102, 'no depth here'), (foreign, 900, 'ZeroDivisionError')):
        job = submit(worker, work)
        assert job.wait(PATIENCE)
        assert job.error.code == code
        assert text in str(job.error)


def test_after_close_everything_is_refused():
    worker = NewestWorker()
    slow = Slow()
    job = submit(worker, slow)
    assert slow.started.wait(PATIENCE)
    assert worker.close()
    assert isinstance(job.error, TracerCancelledError)
    late = submit(worker, lambda budget: 1)
    assert late.settled
    assert late.error.code == 204
