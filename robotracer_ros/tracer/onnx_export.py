# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Two ONNX graphs without weights from the modules of the model.

``prefix``: packed pixels to the keys and values of the visual prefix, what the readers look at and
the log scale. ``step``: tokens of several questions about the image to their next tokens. The decoder's
own modules are traced; only its cache and its attention function are ours, so that the prefix is
neither copied for every question nor grown with every token.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from robotracer_ros.errors import CheckpointError, InvalidParameterError, MissingPackageError
from robotracer_ros.tracer.checkpoint import find_checkpoint
from robotracer_ros.tracer.onnx_graphs import (
    ARCHIVE,
    Graphs,
    architecture_key,
    cached,
    write_graphs,
)
from robotracer_ros.tracer.pixels import PACKED_CHANNELS

try:
    import onnx_ir as ir
    import torch
    from torch import nn
    from torch.export import Dim

    from robotracer_ros.tracer.model.config import RoboTracerConfig
    from robotracer_ros.tracer.model.modeling import RoboTracerForConditionalGeneration
    from robotracer_ros.tracer.onnx_modules import Prefix, Step, use_split_attention
    from robotracer_ros.tracer.onnx_ops import OPSET, translations
except ImportError as error:
    raise MissingPackageError(
        f"the ONNX export needs the Python package '{error.name}', which is not installed: "
        'python -m pip install onnx onnxscript',
        package=error.name,
    ) from error


def export(folder: Path, destination: Path | None = None) -> Graphs:
    """Make the graphs of a checkpoint's architecture and keep them.

    Args:
        folder: Checkpoint.
        destination: Archive to write; the user's cache when None.

    Raises:
        CheckpointError: the checkpoint cannot be read, or its model cannot be exported.
    """
    key = architecture_key(folder)
    try:
        config = RoboTracerConfig.from_pretrained(folder, local_files_only=True)
        with torch.random.fork_rng(devices=[]):
            # Any weights do: only their names and sizes go into the graphs.
            model = RoboTracerForConditionalGeneration(config).float().eval().requires_grad_(False)
        with _quiet(), torch.inference_mode(False):
            graphs = _graphs(model, key)
    except Exception as error:  # the exporter raises whatever a model provokes
        raise CheckpointError(f"checkpoint '{folder}' cannot be exported: {error}") from error
    write_graphs(cached(key) if destination is None else destination, graphs)
    return graphs


def export_beside(checkpoint: str, out: Path | None = None) -> Path:
    """Export a checkpoint by name or folder into the archive that travels with it, or into ``out``.

    Raises:
        CheckpointError: there is no such checkpoint, or it cannot be exported.
        InvalidParameterError: the archive cannot be written.
    """
    folder = find_checkpoint(checkpoint)
    destination = folder / ARCHIVE if out is None else out
    try:
        export(folder, destination)
    except OSError as error:
        raise InvalidParameterError(f"'{destination}' cannot be written: {error}") from error
    return destination


def _graphs(model: RoboTracerForConditionalGeneration, key: str) -> Graphs:
    config, text = model.config, model.config.text_config
    decoder = model.model.language_model
    use_split_attention(model)
    grid = config.spatial_config
    pixels = torch.rand(1, PACKED_CHANNELS, grid.image_height, grid.image_width)
    with torch.no_grad():
        prefix, step = Prefix(model).eval(), Step(model, pixels).eval()
        _, *seen = prefix(pixels)
    layers, heads = text.num_hidden_layers, text.num_key_value_heads
    size = decoder.layers[0].self_attn.head_dim
    seen_names = [f'seen_{i}' for i in range(len(seen))]
    first = _traced(prefix, (pixels,), ['pixels'], ['log_scale', *seen_names])
    n, t, p = 2, 3, 4
    past = [torch.rand((n, heads, size, p) if i % 2 == 0 else (n, heads, p, size)) for i in range(2 * layers)]
    any_size = Dim.DYNAMIC
    second = _traced(
        step,
        (
            torch.full((n, t), 6),
            torch.arange(t).expand(n, t) + p,
            torch.zeros(n, 1, t, p + t),
            torch.full((n, p + t), 6),
            seen,
            past,
        ),
        ['tokens', 'positions', 'mask', 'text', *seen_names, *(f'past_{i}' for i in range(2 * layers))],
        ['chosen', 'logits', *(f'present_{i}' for i in range(2 * layers))],
        (
            {0: any_size, 1: any_size},
            {0: any_size, 1: any_size},
            {0: any_size, 2: any_size, 3: any_size},
            {0: any_size, 1: any_size},
            [{} for _ in seen],
            [{0: any_size, 3 - i % 2: any_size} for i in range(2 * layers)],
        ),
    )
    about = {
        'key': key,
        'image_width': grid.image_width,
        'image_height': grid.image_height,
        'prefix_tokens': config.visual_tokens + 1,
        'first_position': int(prefix.positions[0, -1]),
        'layers': layers,
        'kv_heads': heads,
        'head_dim': size,
        'weights': {'prefix': _weightless(first, model), 'step': _weightless(second, model)},
    }
    return Graphs(_bytes(first), _bytes(second), about)


def _traced(
    module: nn.Module,
    inputs: tuple[Any, ...],
    names: Sequence[str],
    outputs: Sequence[str],
    shapes: tuple[Any, ...] | None = None,
) -> ir.Model:
    program = torch.onnx.export(
        module,
        inputs,
        dynamo=True,
        opset_version=OPSET,
        input_names=names,
        output_names=outputs,
        dynamic_shapes=shapes,
        # Its constant folding would write numbers computed from these weights into the graph.
        optimize=False,
        verbose=False,
        custom_translation_table=translations(),
    )
    assert program is not None
    return program.model


def _weightless(model: ir.Model, source: RoboTracerForConditionalGeneration) -> list[str]:
    """Leave of each weight only the name it has in a checkpoint; return these names."""
    tied = set(source.all_tied_weights_keys)
    parameters = dict(source.named_parameters(remove_duplicate=False))
    at = {p.data_ptr(): name for name, p in parameters.items() if name not in tied}
    names = []
    for value in list(model.graph.initializers.values()):
        assert value.name is not None and value.const_value is not None
        known = parameters.get(value.name.removeprefix('model.'))
        if known is None:
            continue
        name = at[known.data_ptr()]
        del model.graph.initializers[value.name]
        if not value.uses():
            continue
        if name in model.graph.initializers:  # the same weight under its other name
            value.replace_all_uses_with(model.graph.initializers[name])
            continue
        value.name = name
        value.const_value = ir.ExternalTensor(
            'weights', 0, 4 * known.numel(), ir.DataType.FLOAT, shape=ir.Shape(known.shape), name=name
        )
        model.graph.initializers[name] = value
        names.append(name)
    return names


def _bytes(model: ir.Model) -> bytes:
    """Return the graph without the exporter's notes: its stack traces name files of this machine."""
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
            value.doc_string = None
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    return ir.to_proto(model).SerializeToString(deterministic=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's chatter about itself away."""
    logger = logging.getLogger('torch.onnx')
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logger.setLevel(level)
