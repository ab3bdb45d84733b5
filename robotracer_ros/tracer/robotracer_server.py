# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Client of RoboTracer's official model server: ``POST <url>/query``.

Two forms of one protocol. With ``paths`` the server reads picture and depth from a folder that both
sides see; with ``base64`` they travel in the request. ``robotracer serve`` answers to both.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from robotracer_ros.errors import (
    InvalidParameterError,
    NoIntrinsicsError,
    TraceParseError,
    TracerBackendError,
)
from robotracer_ros.geometry.trace import Trace, TraceKind
from robotracer_ros.tracer.answers import length_from_answer, point_from_answer, trace_from_answer
from robotracer_ros.tracer.base import (
    Budget,
    LengthAnswer,
    Observation,
    PointAnswer,
    Tracer,
    check_instruction,
)
from robotracer_ros.tracer.pictures import encode_colour, encode_depth, shrunk, text64
from robotracer_ros.tracer.remote import Endpoint, RemoteOptions, told_scale

_KIND = {
    TraceKind.OBJECT_CENTRIC: 'object-centric',
    TraceKind.END_EFFECTOR_CENTRIC: 'end-effector-centric',
}
_RULE = {
    2: '[(x1, y1), (x2, y2), ...], x and y of each point in 0 to 1000',
    3: '[(x1, y1, d1), (x2, y2, d2), ...], x and y of each point in 0 to 1000, d its depth in metres',
}
_CHECK_S = 10.0


class RobotracerServerTracer(Tracer):
    """A RoboTracer model behind the official ``/query`` protocol.

    Args:
        url: Address without ``/query``.
        form: ``base64`` or ``paths``.
        folder: Form ``paths``: where pictures are written for the server; removed after the answer.
        server_folder: The same folder as the server sees it; empty: under the same path.
        spatial: Use the model's spatial encoder.
        send_depth: Send measured depth, as 16-bit PNG in millimetres, and intrinsics when there
            are any. A RoboRefer server wants relative depth instead: switch it off there.
        dimensions: 3 asks for depths; 2 asks for points in the picture and takes the measured depth
            there, which for points in the air is the depth of what lies behind them.
        max_image_px: Longest side of the picture; larger ones are made smaller in form ``base64``.
        key_variable: Environment variable with a bearer token, as ``robotracer serve`` may want.
            The official server wants none.
        retries: Further attempts after a failed one, inside the deadline.
        attempt_timeout_s: Seconds for one attempt.
        breaker_failures: Failed requests in a row after which the server is left alone; 0: never.
        breaker_pause_s: For how long.
    """

    def __init__(
        self,
        url: str = 'http://127.0.0.1:25554',
        form: str = 'base64',
        folder: str = '',
        server_folder: str = '',
        spatial: bool = True,
        send_depth: bool = True,
        dimensions: int = 3,
        max_image_px: int = 1024,
        key_variable: str = 'ROBOTRACER_TOKEN',
        retries: int = 2,
        attempt_timeout_s: float = 30.0,
        breaker_failures: int = 5,
        breaker_pause_s: float = 30.0,
    ) -> None:
        if form not in ('base64', 'paths'):
            raise InvalidParameterError(f"form '{form}': must be base64 or paths")
        if form == 'paths' and not folder:
            raise InvalidParameterError("form 'paths' needs a folder that the server sees, too")
        if dimensions not in (2, 3):
            raise InvalidParameterError(f'dimensions {dimensions}: must be 2 or 3')
        if not 16 <= max_image_px <= 8192:
            raise InvalidParameterError(f'max_image_px {max_image_px}: must be in 16..8192')
        self._endpoint = Endpoint(
            url,
            who='robotracer_server',
            key_variable=key_variable,
            options=RemoteOptions(retries, attempt_timeout_s, breaker_failures, breaker_pause_s),
        )
        self._paths = form == 'paths'
        self._folder = Path(folder).expanduser() if folder else Path()
        self._server_folder = PurePosixPath(server_folder) if server_folder else None
        self._spatial, self._send_depth = spatial, send_depth
        self._dimensions, self._max_image_px = dimensions, max_image_px

    @property
    def model_name(self) -> str:
        """Backend and address; the protocol does not tell the model."""
        return f'robotracer_server:{self._endpoint.url}'

    def load(self) -> None:
        """See whether the server answers and the folder can be written.

        Raises:
            TracerBackendError: no connection, or the server is in trouble.
            InvalidParameterError: the folder does not exist.
        """
        if self._paths and not self._folder.is_dir():
            raise InvalidParameterError(f"folder '{self._folder}' does not exist")
        self._endpoint.open()
        try:
            self._endpoint.get('/healthz', Budget(_CHECK_S))
        except TracerBackendError as error:
            # The official server knows only /query: any other answer shows that it is there.
            if 'status' not in error.details:
                self._endpoint.close()
                raise
        except BaseException:
            self._endpoint.close()
            raise

    def close(self) -> None:
        """Close the connections."""
        self._endpoint.close()

    def predict(
        self,
        observation: Observation,
        instruction: str,
        *,
        kind: TraceKind = TraceKind.OBJECT_CENTRIC,
        budget: Budget | None = None,
    ) -> Trace:
        """Answer with a trace."""
        start = time.monotonic()
        question = check_instruction(instruction)
        if observation.camera is None:
            raise NoIntrinsicsError(
                'a trace needs camera intrinsics to be lifted: none came with the image'
            )
        text, scale = self._ask(
            observation,
            f'Point the {self._dimensions}D {_KIND[kind]} visual trace for the task "{question}". '
            f'Answer with a list of tuples, {_RULE[self._dimensions]}.',
            budget,
        )
        return trace_from_answer(
            text, observation, question, kind, self.model_name, time.monotonic() - start, scale
        )

    def refer(
        self, observation: Observation, target: str, *, budget: Budget | None = None
    ) -> PointAnswer:
        """Answer where something is."""
        start = time.monotonic()
        text, _ = self._ask(
            observation,
            f'Point to {check_instruction(target)}. Answer with a list of one tuple, '
            f'{"[(x, y)]" if self._dimensions == 2 else "[(x, y, d)]"}.',
            budget,
        )
        return point_from_answer(text, observation, self.model_name, time.monotonic() - start)

    def measure(
        self, observation: Observation, target: str, *, budget: Budget | None = None
    ) -> LengthAnswer:
        """Answer how long something is."""
        start = time.monotonic()
        text, _ = self._ask(observation, f'Measure {check_instruction(target)}.', budget)
        return length_from_answer(text, self.model_name, time.monotonic() - start)

    def _ask(
        self, observation: Observation, prompt: str, budget: Budget | None
    ) -> tuple[str, float]:
        """Return the text of an answer, and the scale when the server tells one (else NaN)."""
        budget = budget or Budget()
        request = self._path_request if self._paths else self._base64_request
        with request(observation) as body:
            reply = self._endpoint.post('/query', {**body, 'text': prompt}, budget)
        answer = reply.get('answer') if isinstance(reply, dict) else None
        if not isinstance(answer, str):
            raise TracerBackendError(
                f"{self.model_name} sent no text 'answer': {str(reply)[:300]}"
            )
        if not answer.strip():
            raise TraceParseError(f'{self.model_name} wrote nothing')
        # Told apart by `robotracer serve`, so that readers of tuples find those of the answer only.
        reasoning = reply.get('reasoning')
        text = f'{reasoning}\n{answer}' if isinstance(reasoning, str) and reasoning else answer
        return text, told_scale(reply.get('scale'))

    def _geometry(self, observation: Observation) -> tuple[bytes | None, list[list[float]] | None]:
        """Return depth as PNG and intrinsics (3, 3); depth needs intrinsics to mean anything."""
        if observation.camera is None or not self._spatial:
            return None, None
        send = self._send_depth and observation.depth is not None
        depth = encode_depth(observation.depth) if send and observation.depth is not None else None
        return depth, observation.camera.matrix.tolist()

    @contextmanager
    def _base64_request(self, observation: Observation) -> Iterator[dict[str, Any]]:
        """Give the request with everything in it. Intrinsics belong to the picture as it is sent."""
        rgb = shrunk(observation.rgb, self._max_image_px)
        depth, intrinsics = self._geometry(observation)
        if observation.camera is not None and intrinsics is not None:
            small = observation.camera.resized(rgb.shape[1], rgb.shape[0])
            intrinsics = small.matrix.tolist()
        yield {
            'image_url': [text64(encode_colour(rgb))],
            'depth_url': [] if depth is None else [text64(depth)],
            'enable_depth': int(depth is not None),
            'intrinsics': intrinsics,
            'enable_spatial': int(self._spatial),
        }

    @contextmanager
    def _path_request(self, observation: Observation) -> Iterator[dict[str, Any]]:
        """Give the request with paths to files that exist while it runs."""
        depth, intrinsics = self._geometry(observation)
        name = uuid.uuid4().hex
        files = {f'{name}_rgb.png': encode_colour(observation.rgb)}
        if depth is not None:
            files[f'{name}_depth.png'] = depth
        seen = self._server_folder or self._folder.resolve()
        try:
            try:
                for file, data in files.items():
                    (self._folder / file).write_bytes(data)
            except OSError as error:
                raise TracerBackendError(
                    f"pictures for {self.model_name} cannot be written to '{self._folder}': {error}"
                ) from error
            rgb_path, *depth_paths = [str(seen / file) for file in files]
            yield {
                'image_paths': [rgb_path],
                'depth_z_paths': depth_paths or None,
                'intrinsics': intrinsics,
                'enable_spatial': int(self._spatial),
            }
        finally:
            for file in files:
                (self._folder / file).unlink(missing_ok=True)
