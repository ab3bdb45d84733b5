# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Our own model in this process.

Any RoboTracer checkpoint folder, the shipped tiny one by default.
"""

from __future__ import annotations

import ctypes
import importlib.util
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
from robotracer_ros.tracer.checkpoint import find_checkpoint
from robotracer_ros.tracer.decoding import Decoder
from robotracer_ros.tracer.onnx_graphs import UnusableGraphsError, find_graphs
from robotracer_ros.tracer.onnx_runtime import OnnxDecoder, graphs_of
from robotracer_ros.tracer.pixels import pack_pixels
from robotracer_ros.tracer.prompts import measure_prompt, refer_prompt, trace_prompt

_log = logging.getLogger(__name__)

#: tokens of an answer at most
MAX_NEW = {'trace': 320, 'refer': 24, 'measure': 48}


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
            ``bfloat16``; onnx runs in float32.
        threads: Threads of the process for the model, 0 leaves them to the runtime. One is fastest
            for a tiny model on a busy machine.
        reasoning: Ask for reasoning steps before the answer: slower, and better on relations.
        runtime: ``torch``, ``onnx`` (CPU only, makes missing graphs at its first start) or ``auto``:
            onnx on a CPU when ``onnxruntime`` is installed and the graphs are there, else torch.
    """

    def __init__(
        self,
        checkpoint: str = 'robotracer-tiny',
        device: str = 'auto',
        dtype: str = 'auto',
        threads: int = 1,
        reasoning: bool = True,
        runtime: str = 'auto',
    ) -> None:
        if dtype not in ('auto', 'float32', 'float16', 'bfloat16'):
            raise InvalidParameterError(
                f"dtype '{dtype}': must be auto, float32, float16 or bfloat16"
            )
        if threads < 0:
            raise InvalidParameterError(f'threads {threads}: must be >= 0')
        if runtime not in ('auto', 'torch', 'onnx'):
            raise InvalidParameterError(f"runtime '{runtime}': must be auto, torch or onnx")
        self._checkpoint, self._device, self._dtype = checkpoint, device, dtype
        self._threads, self._reasoning, self._runtime = threads, reasoning, runtime
        if runtime == 'onnx' and not self._onnx_can:
            raise InvalidParameterError(
                f"runtime 'onnx' with device '{device}' and dtype '{dtype}': it runs on a cpu in float32"
            )
        self._decoder: Decoder | None = None

    @property
    def model_name(self) -> str:
        """Backend and checkpoint."""
        return f'local:{Path(self._checkpoint).name}'

    @property
    def runtime(self) -> str:
        """What runs the loaded model, ``torch`` or ``onnx``; empty before :meth:`load`."""
        return '' if self._decoder is None else self._decoder.name

    @property
    def _onnx_can(self) -> bool:
        """Whether the graphs serve the device and type that are asked for."""
        return self._device in ('auto', 'cpu') and self._dtype in ('auto', 'float32')

    def load(self) -> None:
        """Read the checkpoint.

        Raises CheckpointError, MissingPackageError or TracerBackendError.
        """
        folder = find_checkpoint(self._checkpoint)
        if self._runtime == 'onnx':
            self._decoder = OnnxDecoder(folder, graphs_of(folder), self._threads)
        elif self._runtime == 'auto' and self._onnx_can and not self._on_gpu():
            self._decoder = self._onnx_at_hand(folder) or self._load_torch(folder)
        else:
            self._decoder = self._load_torch(folder)

    def _on_gpu(self) -> bool:
        """Say whether ``device`` means a GPU; torch is only asked where there may be one."""
        if self._device != 'auto' or not _gpu_driver():
            return False
        try:
            import torch
        except ImportError:  # nothing here could use it
            return False
        return bool(torch.cuda.is_available())

    def _onnx_at_hand(self, folder: Path) -> Decoder | None:
        """Return the exported model if it needs nothing that is missing."""
        if importlib.util.find_spec('onnxruntime') is None:
            _log.info("the Python package 'onnxruntime' is not installed: the model runs in torch")
            return None
        try:
            graphs = find_graphs(folder)
        except UnusableGraphsError as error:
            _log.warning(
                'no ONNX graphs fit (%s): the model runs in torch, which is slower; '
                '`robotracer export onnx %s` makes them',
                error,
                self._checkpoint,
            )
            return None
        return OnnxDecoder(folder, graphs, self._threads)

    def _load_torch(self, folder: Path) -> Decoder:
        try:
            import torch
            from transformers import PreTrainedTokenizerFast

            from robotracer_ros.tracer.model.decode import TorchDecoder
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
            return TorchDecoder(model.to(device).eval(), tokenizer)
        except RuntimeError as error:
            raise TracerBackendError(f"device '{device}' cannot hold the model: {error}") from error

    def close(self) -> None:
        """Free the weights."""
        self._decoder = None

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
        max_tokens: int = MAX_NEW['trace'],
        budget: Budget | None = None,
    ) -> Written:
        """Let the model read a prompt as it is, and return what it writes; for servers.

        Raises:
            TracerBackendError: nothing is loaded, or the device failed.
            TracerCancelledError, TracerTimeoutError: by the budget.
        """
        return self.ask_all(observation, [prompt], max_tokens=max_tokens, budget=budget)[0]

    def ask_all(
        self,
        observation: Observation,
        prompts: Sequence[str],
        *,
        max_tokens: int = MAX_NEW['trace'],
        budget: Budget | None = None,
    ) -> list[Written]:
        """Let the model read several prompts about one image together; see :meth:`ask`."""
        decoder = self._decoder
        if decoder is None:
            raise TracerBackendError(f'{self.model_name} is not loaded')
        pixels = pack_pixels(
            observation.rgb,
            observation.depth,
            observation.camera,
            observation.gravity_from_camera,
            width=decoder.image_width,
            height=decoder.image_height,
        )
        questions = [decoder.encode(prompt) for prompt in prompts]
        try:
            decoded = decoder.greedy(pixels, questions, max_tokens, (budget or Budget()).check)
        except TracerBackendError as error:
            raise TracerBackendError(f'{self.model_name}: {error}') from error
        return [
            Written(
                decoder.text(tokens),
                ended,
                decoded.scale,
                decoder.prefix_tokens + len(question),
                len(tokens),
            )
            for question, tokens, ended in zip(
                questions, decoded.tokens, decoded.ended, strict=True
            )
        ]

    def _ask(
        self, observation: Observation, prompt: str, what: str, budget: Budget | None
    ) -> tuple[str, float]:
        """Return the text of one whole answer and the decoded scale."""
        written = self.ask(observation, prompt, max_tokens=MAX_NEW[what], budget=budget)
        if not written.ended:
            raise TraceParseError(
                f"the answer did not end within {MAX_NEW[what]} tokens; it reads '{written.text[:200]}'",
                raw_text=written.text,
            )
        return written.text, written.scale


def _gpu_driver() -> bool:
    """Say whether this machine may have a GPU for torch: importing torch to ask takes seconds."""
    if Path('/dev/kfd').exists():  # AMD
        return True
    try:
        ctypes.CDLL('libcuda.so.1')
    except OSError:
        return False
    return True
