# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a client is told when its request is not answered."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """A request that is not answered.

    Args:
        status: HTTP status.
        code: Short name for programs.
        message: What is wrong, naming the thing, the value and the limit.
        retry_after_s: When another attempt makes sense; 0: does not matter.
    """

    def __init__(self, status: int, code: str, message: str, retry_after_s: int = 0) -> None:
        super().__init__(message[:600])
        self.status, self.code, self.retry_after_s = status, code, retry_after_s

    @property
    def body(self) -> dict[str, Any]:
        """JSON object in the form of OpenAI's errors."""
        kind = 'invalid_request_error' if self.status < 500 else 'server_error'
        return {
            'error': {'message': str(self), 'type': kind, 'param': None, 'code': self.code},
        }

    @property
    def headers(self) -> dict[str, str]:
        """HTTP headers that belong to it."""
        return {'Retry-After': str(self.retry_after_s)} if self.retry_after_s else {}
