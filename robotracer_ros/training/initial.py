# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Initial weights that let a small decoder find its words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from robotracer_ros.tracer.model.modeling import RoboTracerForConditionalGeneration
from robotracer_ros.tracer.model.reader import number_waves

#: value of the marked coordinate of visual tokens, and the logit that text heads give them at the
#: start
_MARK, _QUERY, _KEY = 2.5, 4.0, -1.5
#: gain with which early text heads hand on what they gather, and size of the comparing weights
_HAND_ON, _COMPARE = 0.3, 0.15
#: amplitude of the place code of visual tokens, and gain with which the supervised heads read it
_PLACE, _READ = 0.7, 3.0
#: size of the reader's comparing weights
_LIKENESS = 0.06


@torch.no_grad()
def focus_text_heads(model: RoboTracerForConditionalGeneration) -> None:
    """Let half of the heads of every layer begin by looking at text only.

    A randomly initialised head spreads its attention over 300 visual tokens and a dozen words, so
    that 3 % of what a
    position gathers is text. Binding a name to a place then has to wait for a head that finds the
    name by chance: a plateau
    of many hundred steps. Here visual tokens carry a mark in coordinate 0, and the second half of
    the heads begins with a
    key weight against it (in the slowest rotary pair, where position makes no difference).
    Everything stays trainable.
    """
    core = model.model
    core.mm_projector[1].bias[0] = _MARK
    if hasattr(core, 'dense_head'):
        core.dense_head.weight[:, 0] = 0
    for layer in core.language_model.layers:
        attention = layer.self_attn
        size, groups = attention.head_dim, attention.num_key_value_groups
        heads = attention.q_proj.out_features // size
        slow = size // 2 - 1
        for head in range(heads // 2, heads):
            attention.q_proj.bias[head * size + slow] = _QUERY
            attention.k_proj.weight[(head // groups) * size + slow, 0] = _KEY


@torch.no_grad()
def align_names(
    model: RoboTracerForConditionalGeneration,
    vocabulary: Mapping[str, int],
    kinds: Sequence[str],
    colors: Sequence[str],
) -> None:
    """Let words begin where patches already are, and let the supervised heads begin by comparing.

    Dense pre-training leaves one direction per kind and per colour in the space of the visual
    tokens: the rows of the patch head. The embeddings of these words begin as these directions;
    text heads of the early layers begin by handing on what they gather; the supervised heads begin
    with equal query and key weights, that is, as a similarity. What a word means, which words count
    and how relations work is learned from there.

    Args:
        model: With dense heads, after dense pre-training.
        vocabulary: Token ids by token text.
        kinds: Names of the first outputs of the dense head; compound names share their direction.
        colors: Names of the next outputs.
    """
    weight = model.get_input_embeddings().weight
    norm = weight[list(vocabulary.values())].norm(dim=1).median()
    rows = model.model.dense_head.weight[: model.config.dense_kinds + model.config.dense_colors]
    groups = rows.split([model.config.dense_kinds, model.config.dense_colors])
    for group, names in zip(groups, (kinds, colors), strict=True):
        # Compound names first: 'can' is a kind of its own and must win over 'watering can'.
        for i in sorted(range(len(names)), key=lambda k: -len(names[k].split())):
            direction = group[i] - group.mean(0)
            for word in names[i].split():
                for text in (word, word + 's', word.capitalize()):
                    for token in (text, 'Ġ' + text):
                        if token in vocabulary:
                            weight[vocabulary[token]] = direction / direction.norm() * norm
    width = weight.shape[1]
    first_match = min(int(layer) for layer, _ in model.config.pointer_heads)
    layers = model.model.language_model.layers
    for layer in layers[:first_match]:
        attention = layer.self_attn
        size = attention.head_dim
        heads = attention.v_proj.out_features // size
        half = (heads - heads // 2) * size
        basis = torch.linalg.qr(torch.randn(width, half, device=weight.device))[0]
        attention.v_proj.weight[-half:] = basis.T
        attention.o_proj.weight[:, -half:] = basis * _HAND_ON
    for layer_index, head in model.config.pointer_heads:
        attention = layers[int(layer_index)].self_attn
        size, shared = attention.head_dim, attention.num_key_value_groups
        # Fast rotary pairs would scramble the comparison with the length of the question.
        pairs = torch.arange(size // 2)
        keep = torch.cat([pairs, pairs]) >= size // 5
        projection = torch.randn(size, width, device=weight.device) * _COMPARE
        projection[:, 0] = 0
        projection[~keep] = 0
        slow = size // 2 - 1
        projection[slow] = 0
        attention.q_proj.weight[int(head) * size : (int(head) + 1) * size] = projection
        key = int(head) // shared * size
        attention.k_proj.weight[key : key + size] = projection
        # A state is most similar to itself: the mark of visual tokens outweighs that.
        attention.k_proj.weight[key + slow, 0] = -_KEY
        attention.q_proj.bias[int(head) * size + slow] = 4 * _QUERY


@torch.no_grad()
def place_code(model: RoboTracerForConditionalGeneration) -> None:
    """Let visual tokens say where they lie in the code in which numbers are written.

    The first half of a token's width gets the waves of u, exactly as in the embeddings of the
    numbers, the second half the same waves of v. The first supervised head begins by handing on the
    waves of u, the second those of v, so that looking at a thing and writing its u begin as one act.
    """
    core = model.model
    config = model.config
    width = core.visual_position.shape[1]
    half, pairs = width // 2, width // 4
    u, v = core.centres().unbind(-1)
    table = torch.cat([number_waves(u, pairs), number_waves(v, pairs)], dim=1) * _PLACE
    table[:, 0] = 0
    core.visual_position.copy_(table)
    for n, (layer_index, head) in enumerate(config.pointer_heads[:2]):
        attention = core.language_model.layers[int(layer_index)].self_attn
        size = attention.head_dim
        value = int(head) // attention.num_key_value_groups * size
        wave = torch.arange(size // 2) * (3 * pairs // 4) // (size // 2)
        dims = torch.cat([wave, wave + pairs]) + n * half
        attention.v_proj.weight[value : value + size] = 0
        attention.v_proj.bias[value : value + size] = 0
        attention.v_proj.weight[value + torch.arange(size), dims] = 1.0
        columns = attention.o_proj.weight[:, int(head) * size : (int(head) + 1) * size]
        columns.zero_()
        columns[dims, torch.arange(size)] = _READ


@torch.no_grad()
def compare_by_likeness(model: RoboTracerForConditionalGeneration) -> None:
    """Let the reader begin as a similarity of states and visual tokens, reading places alone."""
    reader = model.model.reader
    shared = torch.randn_like(reader.query.weight) * _LIKENESS
    shared[:, 0] = 0
    reader.query.weight.copy_(shared)
    reader.key.weight.copy_(shared)
    reader.content.weight.zero_()
