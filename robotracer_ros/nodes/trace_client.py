# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Asks the perception node for a trace, from a thread that may have to stop at any time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node

from robotracer_msgs.srv import PredictTrace
from robotracer_ros.errors import TracerBackendError, TracerTimeoutError, error_from_code
from robotracer_ros.geometry.trace import Trace
from robotracer_ros.nodes.conversions import kind_from_msg, trace_from_msg
from robotracer_ros.nodes.stamps import s_to_duration
from robotracer_ros.tracer.base import check_instruction

#: wait for a perception node that is not there (yet), seconds
DISCOVERY_S = 2.0
#: the service keeps the deadline itself; this is for the way there and back, seconds
WAY_S = 2.0


class TraceClient:
    """Client of the service that predicts traces.

    Args:
        node: Its executor takes the answers in.
        service: Name of the service.
    """

    def __init__(self, node: Node, service: str) -> None:
        self._client = node.create_client(
            PredictTrace, service, callback_group=MutuallyExclusiveCallbackGroup())

    def ask(self, instruction: str, kind: int, timeout_s: float,
            check: Callable[[], None]) -> Trace:
        """Return the trace of an instruction.

        Args:
            instruction: What to do.
            kind: Of the trace, as in messages.
            timeout_s: Time that the tracer has, seconds.
            check: Called all the time while waiting; raises when nobody waits any more.

        Raises:
            TracerBackendError: no perception node is there.
            TracerTimeoutError: no answer in time.
            RobotracerError: what the perception node answered, or ``check`` raised.
        """
        request = PredictTrace.Request(instruction=check_instruction(instruction),
                                       kind=int(kind_from_msg(kind)))
        request.timeout = s_to_duration(timeout_s)
        service = self._client.srv_name
        deadline = time.monotonic() + DISCOVERY_S
        while not self._client.service_is_ready():
            check()
            if time.monotonic() > deadline:
                raise TracerBackendError(f"no perception node answers on service '{service}' "
                                         f'within {DISCOVERY_S:g} s: is it running and active?')
            time.sleep(0.02)
        answered = threading.Event()
        future = self._client.call_async(request)
        future.add_done_callback(lambda _: answered.set())
        limit_s = timeout_s + WAY_S
        deadline = time.monotonic() + limit_s
        try:
            while not answered.wait(0.01):
                check()
                if time.monotonic() > deadline:
                    raise TracerTimeoutError(
                        f"service '{service}' did not answer within {limit_s:.1f} s",
                        timeout_s=timeout_s)
        finally:
            self._client.remove_pending_request(future)
        response = future.result()
        if not response.success:
            raise error_from_code(response.error_code, response.error_msg)
        return trace_from_msg(response.trace)
