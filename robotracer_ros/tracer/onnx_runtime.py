# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A checkpoint in ONNX Runtime on a CPU: the answers of torch without torch.

The graphs come without weights (:mod:`robotracer_ros.tracer.onnx_graphs`), these from the checkpoint's
safetensors. The visual prefix stays where it was computed: neither copied for every question nor with
every token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.errors import CheckpointError, MissingPackageError, TracerBackendError
from robotracer_ros.tracer.decoding import Answers, Decoded, left_padded, text_mask
from robotracer_ros.tracer.onnx_graphs import (
    Graphs,
    UnusableGraphsError,
    find_graphs,
    weight_files,
)

_SPECIAL = ('<pad>', '<eos>', '<user>', '<assistant>')
_LOWEST = np.finfo(np.float32).min


def runtime() -> Any:
    """Return the module ``onnxruntime``.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingPackageError(
            "runtime 'onnx' needs the Python package 'onnxruntime', which is not installed: "
            'python -m pip install onnxruntime',
            package='onnxruntime',
        ) from error
    return onnxruntime


def graphs_of(folder: Path) -> Graphs:
    """Return the graphs of a checkpoint; made now, which takes half a minute, when none fit.

    Raises:
        MissingPackageError: they have to be made and a package for that is missing.
        CheckpointError: the checkpoint cannot be read or its model cannot be exported.
    """
    try:
        return find_graphs(folder)
    except UnusableGraphsError:
        from robotracer_ros.tracer.onnx_export import export

        return export(folder)


class OnnxDecoder:
    """A checkpoint as a :class:`~robotracer_ros.tracer.decoding.Decoder`.

    Args:
        folder: Checkpoint with safetensors weights and ``tokenizer.json``.
        graphs: Of its architecture.
        threads: Threads of a product, 0 for one per core.

    Raises:
        MissingPackageError: onnxruntime is not installed.
        CheckpointError: weights, tokenizer and graphs do not belong together or cannot be read.
    """

    name = 'onnx'

    def __init__(self, folder: Path, graphs: Graphs, threads: int = 1) -> None:
        self._ort = runtime()
        about = graphs.about
        self.image_width, self.image_height = int(about['image_width']), int(about['image_height'])
        self.prefix_tokens = int(about['prefix_tokens'])
        self._first = int(about['first_position'])
        self._layers = int(about['layers'])
        self._empty = (int(about['kv_heads']), int(about['head_dim']))
        self._tokenizer = _tokenizer(folder)
        ids = {name: self._tokenizer.token_to_id(name) for name in _SPECIAL}
        if None in ids.values():
            raise CheckpointError(f"tokenizer of '{folder}' lacks one of {', '.join(_SPECIAL)}")
        self._pad, self._end, self._user, self._assistant = (ids[name] for name in _SPECIAL)
        weights = _weights(folder)
        # Sessions use the arrays where they lie, and must not outlive them.
        self._kept: list[Any] = []
        self._prefix = self._session(graphs.prefix, weights, about['weights']['prefix'], threads)
        self._step = self._session(graphs.step, weights, about['weights']['step'], threads)

    def _session(
        self, graph: bytes, weights: dict[str, NDArray[np.float32]], names: list[str], threads: int
    ) -> Any:
        missing = [n for n in names if n not in weights]
        if missing:
            raise CheckpointError(f'the checkpoint lacks the weights {", ".join(missing[:3])}')
        options = self._ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors; warnings are about optimisations that do not apply
        values = [self._ort.OrtValue.ortvalue_from_numpy(weights[n]) for n in names]
        self._kept.append((values, [weights[n] for n in names]))
        try:
            options.add_external_initializers(names, values)
            return self._ort.InferenceSession(graph, options, providers=['CPUExecutionProvider'])
        except Exception as error:  # classes of its own, none of them told
            raise CheckpointError(f'ONNX Runtime cannot hold the model: {error}') from error

    def encode(self, prompt: str) -> list[int]:
        """Return the tokens of a question as the model reads them after ``<SCALE>``."""
        tokens = self._tokenizer.encode(prompt, add_special_tokens=False).ids
        return [self._user, *tokens, self._assistant]

    def text(self, tokens: Sequence[int]) -> str:
        """Return what tokens say."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=False))

    def greedy(
        self,
        pixels: NDArray[np.float32],
        prompts: Sequence[Sequence[int]],
        max_new: int,
        check: Callable[[], None] | None = None,
    ) -> Decoded:
        """Answer questions about one image: see :class:`~robotracer_ros.tracer.decoding.Decoder`."""
        check = check or (lambda: None)
        check()
        scale, seen = self._look(pixels)
        ids, real = left_padded(prompts, self._pad)
        n, width = ids.shape
        heads, size = self._empty
        past = [
            self._value(np.zeros((n, heads, size, 0) if i % 2 == 0 else (n, heads, 0, size), np.float32))
            for i in range(2 * self._layers)
        ]
        position = np.maximum(real.cumsum(1) + self._first, 0)
        mask = np.where(text_mask(real), np.float32(0), _LOWEST)[:, None]
        # What later tokens see of the text: all but padding.
        room = np.zeros((n, 1, 1, width + max_new), np.float32)
        room[:, 0, 0, :width][~real] = _LOWEST
        tokens: Any = self._value(ids)
        text = ids
        answers = Answers(n, self._end)
        for step in range(max_new):
            check()
            tokens, *past = self._next(tokens, position, mask, text, seen, past)
            if answers.add(tokens.numpy()[:, 0].tolist()):
                break
            text = np.concatenate([text, tokens.numpy()], 1)
            position = position[:, -1:] + 1
            mask = np.ascontiguousarray(room[..., : width + step + 1])
        return Decoded(answers.tokens, answers.ended, scale)

    def _value(self, array: NDArray) -> Any:
        return self._ort.OrtValue.ortvalue_from_numpy(array)

    def _look(self, pixels: NDArray[np.float32]) -> tuple[float, list[Any]]:
        """Run the prefix: scale in metres and what the steps look at."""
        names = [o.name for o in self._prefix.get_outputs()]
        first = self._run(self._prefix, names, {'pixels': self._value(pixels[None])})
        return float(np.exp(first[0].numpy()[0])), first[1:]

    def _next(
        self,
        tokens: Any,
        position: NDArray[np.int64],
        mask: NDArray[np.float32],
        text: NDArray[np.int64],
        seen: list[Any],
        past: list[Any],
    ) -> list[Any]:
        """Run one step: next tokens (N, 1), then the text's keys and values."""
        feed = {'tokens': tokens, 'positions': self._value(position), 'mask': self._value(mask)}
        feed['text'] = self._value(text)
        feed |= {f'seen_{i}': v for i, v in enumerate(seen)}
        feed |= {f'past_{i}': v for i, v in enumerate(past)}
        wanted = ['chosen', *(f'present_{i}' for i in range(len(past)))]
        return self._run(self._step, wanted, feed)

    def _run(self, session: Any, wanted: list[str], feed: dict[str, Any]) -> list[Any]:
        try:
            result: list[Any] = session.run_with_ort_values(wanted, feed)
        except Exception as error:  # classes of its own, none of them told
            raise TracerBackendError(f'ONNX Runtime failed: {error}') from error
        return result


def _tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(folder / 'tokenizer.json'))
    except Exception as error:  # a plain Exception, whatever is wrong with the file
        raise CheckpointError(f"tokenizer of '{folder}' cannot be read: {error}") from error
    # Marks inside a question are text like any other: who asks cannot end the question.
    tokenizer.encode_special_tokens = True
    return tokenizer


def _weights(folder: Path) -> dict[str, NDArray[np.float32]]:
    """Return all weights of a checkpoint in float32, by name."""
    from safetensors import SafetensorError, deserialize

    found: dict[str, NDArray[np.float32]] = {}
    for path in weight_files(folder):
        try:
            for name, tensor in deserialize(path.read_bytes()):
                found[name] = _float32(tensor['dtype'], tensor['data']).reshape(tensor['shape'])
        except (OSError, SafetensorError, ValueError) as error:
            raise CheckpointError(f"'{path}' cannot be read: {error}") from error
    return found


def _float32(kind: str, data: bytes) -> NDArray[np.float32]:
    if kind == 'BF16':  # the upper half of a float32, which numpy does not know
        return (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
    if kind not in ('F16', 'F32', 'F64'):
        raise ValueError(f'weights of type {kind}')
    # A copy also where nothing has to be converted: the buffer is not aligned.
    return np.frombuffer(data, {'F16': np.float16, 'F32': np.float32, 'F64': np.float64}[kind]).astype(
        np.float32
    )
