# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import pytest

from robotracer_ros.planning.ompl import OmplPlanner


@pytest.fixture(scope='session')
def planner():
    # Nothing is measured here, and a busy machine takes its time; who wants limits sets them.
    p = OmplPlanner(timeout_s=120.0)
    p.load()
    yield p
    p.close()


@pytest.fixture(scope='session')
def arm(planner):
    return planner.arm
