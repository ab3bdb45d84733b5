# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Any vision model behind an OpenAI-compatible chat endpoint: vLLM, a cloud, ``robotracer serve``."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from robotracer_ros.errors import (
    InvalidParameterError,
    NoIntrinsicsError,
    TraceParseError,
    TracerBackendError,
)
from robotracer_ros.geometry.trace import Trace, TraceKind
from robotracer_ros.tracer import openai_dialect as dialect
from robotracer_ros.tracer.answers import length_from_answer, point_from_answer, trace_from_answer
from robotracer_ros.tracer.base import (
    Budget,
    LengthAnswer,
    Observation,
    PointAnswer,
    Tracer,
    check_instruction,
)
from robotracer_ros.tracer.pictures import data_uri, encode_colour, encode_depth, shrunk
from robotracer_ros.tracer.prompts import measure_prompt, refer_prompt, trace_prompt
from robotracer_ros.tracer.remote import Endpoint, RemoteOptions, told_scale

_CHOICES = {
    'dialect': ('json', 'robotracer'),
    'depth_form': ('grid', 'picture', 'none'),
    'image_form': ('jpeg', 'png'),
    'token_field': ('max_tokens', 'max_completion_tokens'),
}
_CHECK_S = 10.0


class OpenAITracer(Tracer):
    """A tracer behind ``/v1/chat/completions``.

    Args:
        base_url: Address up to and with ``/v1``; https for another machine when a key is sent.
        model: Name of the model at the endpoint; empty takes the only one that it lists.
        key_variable: Environment variable that holds the API key, if the endpoint wants one. The
            key itself is no parameter and stands in no message.
        dialect: ``json`` for general models (asked in words, answer in JSON), ``robotracer`` for a
            RoboTracer model such as ``robotracer serve`` (its own prompts, its own answer format,
            depth and camera as parts of the message).
        dimensions: 3 asks for depths; 2 asks for points in the picture and takes the measured depth
            there, which for points in the air is the depth of what lies behind them.
        reasoning: Dialect ``robotracer``: ask for reasoning steps before the answer.
        depth_form: Dialect ``json``: measured depth as a coarse table of numbers (``grid``), as a
            second, grey picture with its range in words (``picture``), or not at all (``none``).
        tell_camera: Dialect ``json``: say the intrinsics in words.
        image_form: ``jpeg`` or ``png``.
        max_image_px: Longest side of the picture that is sent; larger ones are made smaller.
        max_tokens: Tokens of an answer at most.
        token_field: ``max_tokens`` or ``max_completion_tokens``, as the endpoint calls it.
        temperature: Of the sampling; below 0 leaves it to the endpoint.
        retries: Further attempts after a failed one, inside the deadline.
        attempt_timeout_s: Seconds for one attempt.
        breaker_failures: Failed requests in a row after which the endpoint is left alone; 0: never.
        breaker_pause_s: For how long.
    """

    def __init__(
        self,
        base_url: str = 'http://127.0.0.1:8000/v1',
        model: str = '',
        key_variable: str = 'OPENAI_API_KEY',
        dialect: str = 'json',
        dimensions: int = 3,
        reasoning: bool = True,
        depth_form: str = 'grid',
        tell_camera: bool = True,
        image_form: str = 'jpeg',
        max_image_px: int = 1024,
        max_tokens: int = 1024,
        token_field: str = 'max_tokens',
        temperature: float = 0.0,
        retries: int = 2,
        attempt_timeout_s: float = 30.0,
        breaker_failures: int = 5,
        breaker_pause_s: float = 30.0,
    ) -> None:
        given = {
            'dialect': dialect,
            'depth_form': depth_form,
            'image_form': image_form,
            'token_field': token_field,
        }
        for name, value in given.items():
            if value not in _CHOICES[name]:
                raise InvalidParameterError(
                    f"{name} '{value}': must be one of {', '.join(_CHOICES[name])}"
                )
        for name, number, low, high in (
            ('dimensions', dimensions, 2, 3),
            ('max_image_px', max_image_px, 16, 8192),
            ('max_tokens', max_tokens, 1, 65536),
        ):
            if not low <= number <= high:
                raise InvalidParameterError(f'{name} {number}: must be in {low}..{high}')
        self._endpoint = Endpoint(
            base_url,
            who='openai',
            key_variable=key_variable,
            options=RemoteOptions(retries, attempt_timeout_s, breaker_failures, breaker_pause_s),
        )
        self._wanted, self._model = model, model
        self._general = dialect == 'json'
        self._dimensions, self._reasoning = dimensions, reasoning
        self._depth_form, self._tell_camera = depth_form, tell_camera
        self._image_form, self._max_image_px = image_form, max_image_px
        self._sampling: dict[str, Any] = {token_field: max_tokens}
        if temperature >= 0:
            self._sampling['temperature'] = temperature

    @property
    def model_name(self) -> str:
        """Backend and model."""
        return f'openai:{self._model or self._endpoint.url}'

    def load(self) -> None:
        """Ask the endpoint for its models.

        Raises:
            TracerBackendError: no connection, the key is refused, the model is not there, or none
                is named and it lists several.
        """
        self._endpoint.open()
        try:
            self._find_model()
        except BaseException:
            self._endpoint.close()
            raise

    def _find_model(self) -> None:
        try:
            listed = self._endpoint.get('/models', Budget(_CHECK_S))
        except TracerBackendError as error:
            # Some endpoints list nothing; a named model is then taken at its word.
            if not self._wanted or error.details.get('status') not in (404, 405, 501):
                raise
            return
        try:
            names = [str(entry['id']) for entry in listed['data']]
        except (KeyError, TypeError) as error:
            raise TracerBackendError(
                f'{self.model_name}: {self._endpoint.url}/models is no list of models'
            ) from error
        shown = ', '.join(names[:20]) or 'none'
        if not self._wanted and len(names) != 1:
            raise TracerBackendError(
                f'{self._endpoint.url} lists {len(names)} models, name one: {shown}'
            )
        if self._wanted and self._wanted not in names:
            raise TracerBackendError(
                f"{self._endpoint.url} has no model '{self._wanted}'; it lists {shown}"
            )
        self._model = self._wanted or names[0]

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
        prompt = (
            dialect.trace_question(question, kind, self._dimensions)
            if self._general
            else trace_prompt(
                question, kind=kind, dimensions=self._dimensions, reasoning=self._reasoning
            )
        )
        text, scale = self._ask(observation, prompt, True, budget)
        trace = trace_from_answer(
            dialect.points_text(text) if self._general else text,
            observation,
            question,
            kind,
            self.model_name,
            time.monotonic() - start,
            scale,
        )
        return replace(trace, raw_text=text)

    def refer(
        self, observation: Observation, target: str, *, budget: Budget | None = None
    ) -> PointAnswer:
        """Answer where something is."""
        start = time.monotonic()
        question = check_instruction(target)
        prompt = (
            dialect.refer_question(question, self._dimensions)
            if self._general
            else refer_prompt(question)
        )
        text, _ = self._ask(observation, prompt, True, budget)
        read = dialect.points_text(text) if self._general else text
        answer = point_from_answer(read, observation, self.model_name, time.monotonic() - start)
        return replace(answer, raw_text=text)

    def measure(
        self, observation: Observation, target: str, *, budget: Budget | None = None
    ) -> LengthAnswer:
        """Answer how long something is."""
        start = time.monotonic()
        question = check_instruction(target)
        prompt = dialect.measure_question(question) if self._general else measure_prompt(question)
        text, _ = self._ask(observation, prompt, False, budget)
        read = dialect.length_text(text) if self._general else text
        answer = length_from_answer(read, self.model_name, time.monotonic() - start)
        return replace(answer, raw_text=text)

    def _ask(
        self, observation: Observation, prompt: str, points: bool, budget: Budget | None
    ) -> tuple[str, float]:
        """Return the text of an answer, and the scale when the endpoint tells one (else NaN)."""
        parts = (
            self._general_parts(observation, prompt)
            if self._general
            else self._own_parts(observation, prompt)
        )
        body = {
            'model': self._model,
            'messages': [{'role': 'user', 'content': parts}],
            **self._sampling,
        }
        reply = self._endpoint.post('/chat/completions', body, budget or Budget())
        return _text_of(reply, self.model_name), _scale_of(reply)

    def _picture(self, rgb: Any) -> dict[str, Any]:
        data = encode_colour(shrunk(rgb, self._max_image_px), self._image_form)
        return {'type': 'image_url', 'image_url': {'url': data_uri(data, self._image_form)}}

    def _general_parts(self, observation: Observation, prompt: str) -> list[dict[str, Any]]:
        parts = [self._picture(observation.rgb)]
        words = []
        if observation.camera is not None and self._tell_camera:
            words.append(dialect.camera_words(observation.camera))
        if observation.depth is not None and self._depth_form == 'grid':
            words.append(dialect.depth_words(observation.depth))
        if observation.depth is not None and self._depth_form == 'picture':
            drawn = dialect.depth_picture(observation.depth)
            if drawn is not None:
                parts.append(self._picture(drawn[0]))
                words.append(drawn[1])
        return [*parts, {'type': 'text', 'text': '\n'.join([*words, prompt])}]

    def _own_parts(self, observation: Observation, prompt: str) -> list[dict[str, Any]]:
        parts = [self._picture(observation.rgb)]
        if observation.depth is not None:
            parts.append({'type': 'depth', 'depth': {'url': data_uri(encode_depth(observation.depth))}})
        camera: dict[str, Any] = {}
        if observation.camera is not None:
            camera['intrinsics'] = observation.camera.matrix.tolist()
            camera['width'] = observation.camera.width
            camera['height'] = observation.camera.height
        if observation.gravity_from_camera is not None:
            camera['gravity_from_camera'] = observation.gravity_from_camera.tolist()
        if camera:
            parts.append({'type': 'camera', 'camera': camera})
        return [*parts, {'type': 'text', 'text': prompt}]


def _text_of(reply: Any, who: str) -> str:
    """Return the text of a chat completion.

    Raises:
        TracerBackendError: it is none.
        TraceParseError: the model refused, or was cut off.
    """
    try:
        choice = reply['choices'][0]
        message = choice['message']
        content = message.get('content')
        if isinstance(content, list):
            content = ''.join(part['text'] for part in content if part.get('type') == 'text')
        refusal = message.get('refusal')
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise TracerBackendError(
            f'{who} answered with something that is no chat completion: {str(reply)[:300]}'
        ) from error
    if not isinstance(content, str) or not content.strip():
        raise TraceParseError(f"{who} wrote nothing{f': {str(refusal)[:300]}' if refusal else ''}")
    if choice.get('finish_reason') == 'length':
        raise TraceParseError(
            f"the answer of {who} was cut off; it reads '{content[:200]}'", raw_text=content
        )
    return content


def _scale_of(reply: Any) -> float:
    extension = reply.get('robotracer')
    return told_scale(extension.get('scale') if isinstance(extension, dict) else None)
