# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Initial weights that let a small decoder find its words."""

from __future__ import annotations

import torch

from robotracer_ros.tracer.model.modeling import RoboTracerForConditionalGeneration

#: value of the marked coordinate of visual tokens, and the logit that text heads give them at the
#: start
_MARK, _QUERY, _KEY = 2.5, 4.0, -1.5


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
    if hasattr(model, 'dense_head'):
        model.dense_head.weight[:, 0] = 0
    for layer in core.language_model.layers:
        attention = layer.self_attn
        size, groups = attention.head_dim, attention.num_key_value_groups
        heads = attention.q_proj.out_features // size
        slow = size // 2 - 1
        for head in range(heads // 2, heads):
            attention.q_proj.bias[head * size + slow] = _QUERY
            attention.k_proj.weight[(head // groups) * size + slow, 0] = _KEY
