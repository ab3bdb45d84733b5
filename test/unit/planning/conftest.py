# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import pytest

from robotracer_ros.planning.ompl import OmplPlanner


@pytest.fixture(scope='session')
def planner():
    p = OmplPlanner()
    p.load()
    yield p
    p.close()


@pytest.fixture(scope='session')
def arm(planner):
    return planner.arm
