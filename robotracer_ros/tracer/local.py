# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Our own model in this process.

Any RoboTracer checkpoint folder, the shipped tiny one by default.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robotracer_ros.errors import (
    CheckpointError,
    InvalidParameterError,
    MissingPackageError,
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
from robotracer_ros.tracer.prompts import measure_prompt, refer_prompt, trace_prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from robotracer_ros.tracer.model.modeling import RoboTracerForConditionalGeneration

SHIPPED = Path(__file__).parent / 'checkpoints'
_WEIGHTS = 'model.safetensors'
_PICKLES = ('.bin', '.pt', '.pth', '.pkl', '.pickle', '.ckpt')
_MAX_NEW = {'trace': 320, 'refer': 24, 'measure': 48}


def find_checkpoint(checkpoint: str | Path) -> Path:
    """Return the folder of a shipped checkpoint's name or of a path.

    Raises:
        CheckpointError: there is no such folder, it has no safetensors weights, or only pickled
            ones.
    """
    folder = Path(checkpoint).expanduser()
    if not folder.is_dir() and (SHIPPED / str(checkpoint)).is_dir():
        folder = SHIPPED / str(checkpoint)
    if not folder.is_dir():
        known = sorted(p.name for p in SHIPPED.iterdir() if p.is_dir()) if SHIPPED.is_dir() else []
        raise CheckpointError(
            f"checkpoint '{checkpoint}' is neither a folder nor a shipped one "
            f'({", ".join(known) or "none is shipped"})'
        )
    if any(folder.glob('*.safetensors')):
        return folder
    pickles = sorted(p.name for p in folder.iterdir() if p.suffix in _PICKLES)
    if pickles:
        raise CheckpointError(
            f"checkpoint '{folder}' holds pickled weights ({', '.join(pickles)}): loading a pickle runs "
            f'code from it, so only {_WEIGHTS} is read'
        )
    raise CheckpointError(f"checkpoint '{folder}' has no {_WEIGHTS}")


@dataclass(frozen=True)
class Written:
    """What the model wrote to one prompt.

    Attributes:
        text: As written.
        ended: Whether the model ended it, or the limit of tokens did.
        scale: Decoded metric scale, metres.
        read_tokens: Tokens of the prompt, those of the image included.
        written_tokens: Tokens of the text.
    """

    text: str
    ended: bool
    scale: float
    read_tokens: int
    written_tokens: int


class LocalTracer(Tracer):
    """RoboTracer on this machine.

    Geometry inputs follow what the observation holds: depth, intrinsics and the gravity pose are
        used when present.

    Args:
        checkpoint: Name of a shipped checkpoint, or a folder with safetensors weights.
        device: ``auto`` (CUDA when there is one), ``cpu``, ``cuda``, ``cuda:1`` ...
        dtype: ``auto`` (float32 on a CPU, bfloat16 on CUDA), ``float32``, ``float16`` or
            ``bfloat16``.
        threads: Torch threads of the process, 0 leaves them. One is fastest for a tiny model on a
            busy machine.
        reasoning: Ask for reasoning steps before the answer: slower, and better on relations.
    """

    def __init__(
        self,
        checkpoint: str = 'robotracer-tiny',
        device: str = 'auto',
        dtype: str = 'auto',
        threads: int = 1,
        reasoning: bool = True,
    ) -> None:
        if dtype not in ('auto', 'float32', 'float16', 'bfloat16'):
            raise InvalidParameterError(
                f"dtype '{dtype}': must be auto, float32, float16 or bfloat16"
            )
        if threads < 0:
            raise InvalidParameterError(f'threads {threads}: must be >= 0')
        self._checkpoint, self._device, self._dtype = checkpoint, device, dtype
        self._threads, self._reasoning = threads, reasoning
        self._model: RoboTracerForConditionalGeneration | None = None
        self._tokenizer: PreTrainedTokenizerFast | None = None

    @property
    def model_name(self) -> str:
        """Backend and checkpoint."""
        return f'local:{Path(self._checkpoint).name}'

    def load(self) -> None:
        """Read the checkpoint.

        Raises CheckpointError, MissingPackageError or TracerBackendError.
        """
        folder = find_checkpoint(self._checkpoint)
        try:
            import torch
            from transformers import PreTrainedTokenizerFast

            from robotracer_ros.tracer.model.modeling import RoboTracerForConditionalGeneration
        except ImportError as error:
            raise MissingPackageError(
                f'the local tracer needs torch and transformers: {error}'
            ) from error
        if self._threads:
            torch.set_num_threads(self._threads)
        device = self._device
        if device == 'auto':
            device = 'cuda' if torch.cuda.is_available() else 'cpu'
        name = (
            self._dtype
            if self._dtype != 'auto'
            else ('bfloat16' if device.startswith('cuda') else 'float32')
        )
        try:
            model = RoboTracerForConditionalGeneration.from_pretrained(
                folder, dtype=getattr(torch, name), use_safetensors=True, local_files_only=True
            )
            tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # the loaders raise whatever a broken file provokes
            raise CheckpointError(f"checkpoint '{folder}' cannot be loaded: {error}") from error
        try:
            self._model = model.to(device).eval()
        except RuntimeError as error:
            raise TracerBackendError(f"device '{device}' cannot hold the model: {error}") from error
        self._tokenizer = tokenizer

    def close(self) -> None:
        """Free the weights."""
        self._model = self._tokenizer = None

    def predict(
        self,
        observation: Observation,
        instruction: str,
        *,
        kind: TraceKind = TraceKind.OBJECT_CENTRIC,
        budget: Budget | None = None,
    ) -> Trace:
        """Answer with a trace, after reasoning steps when the tracer was made so."""
        start = time.monotonic()
        question = check_instruction(instruction)
        text, scale = self._ask(
            observation,
            trace_prompt(question, kind=kind, reasoning=self._reasoning),
            'trace',
            budget,
        )
        return trace_from_answer(
            text,
            observation,
            question,
            kind,
            self.model_name,
            time.monotonic() - start,
            scale,
        )

    def refer(
        self, observation: Observation, target: str, *, budget: Budget | None = None
    ) -> PointAnswer:
        """Answer where something is."""
        start = time.monotonic()
        text, _ = self._ask(observation, refer_prompt(check_instruction(target)), 'refer', budget)
        return point_from_answer(text, observation, self.model_name, time.monotonic() - start)

    def measure(
        self, observation: Observation, target: str, *, budget: Budget | None = None
    ) -> LengthAnswer:
        """Answer how long something is."""
        start = time.monotonic()
        text, _ = self._ask(
            observation, measure_prompt(check_instruction(target)), 'measure', budget
        )
        return length_from_answer(text, self.model_name, time.monotonic() - start)

    def ask(
        self,
        observation: Observation,
        prompt: str,
        *,
        max_tokens: int = _MAX_NEW['trace'],
        budget: Budget | None = None,
    ) -> Written:
        """Let the model read a prompt as it is, and return what it writes; for servers.

        Raises:
            TracerBackendError: nothing is loaded, or the device failed.
            TracerCancelledError, TracerTimeoutError: by the budget.
        """
        if self._model is None or self._tokenizer is None:
            raise TracerBackendError(f'{self.model_name} is not loaded')
        from robotracer_ros.tracer.model.decode import greedy, question_ids
        from robotracer_ros.tracer.model.images import pack_image

        model: Any = self._model
        grid = model.config.spatial_config
        pixels = pack_image(
            observation.rgb,
            observation.depth,
            observation.camera,
            observation.gravity_from_camera,
            width=grid.image_width,
            height=grid.image_height,
        )
        question = question_ids(self._tokenizer, prompt)
        try:
            decoded = greedy(model, pixels, [question], max_tokens, (budget or Budget()).check)
        except RuntimeError as error:  # torch: out of memory, device lost
            raise TracerBackendError(f'{self.model_name} failed: {error}') from error
        return Written(
            str(self._tokenizer.decode(decoded.tokens[0])),
            decoded.ended[0],
            decoded.scale,
            model.config.visual_tokens + 1 + len(question),
            len(decoded.tokens[0]),
        )

    def _ask(
        self, observation: Observation, prompt: str, what: str, budget: Budget | None
    ) -> tuple[str, float]:
        """Return the text of one whole answer and the decoded scale."""
        written = self.ask(observation, prompt, max_tokens=_MAX_NEW[what], budget=budget)
        if not written.ended:
            raise TraceParseError(
                f"the answer did not end within {_MAX_NEW[what]} tokens; it reads '{written.text[:200]}'",
                raw_text=written.text,
            )
        return written.text, written.scale
