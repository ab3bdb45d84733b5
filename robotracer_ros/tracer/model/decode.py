# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Greedy decoding of several questions about one image.

The prefix once, then tokens with a cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

from robotracer_ros.tracer.model.modeling import RoboTracerForConditionalGeneration
from robotracer_ros.tracer.model.processor import question_ids

__all__ = ['Decoded', 'greedy', 'question_ids']


@dataclass(frozen=True)
class Decoded:
    """Tokens of each answer without the end token, whether each ended, metric scale in metres."""

    tokens: list[list[int]]
    ended: list[bool]
    scale: float


def _prefix_ids(model: RoboTracerForConditionalGeneration, device: torch.device) -> Tensor:
    """Return visual placeholders and ``<SCALE>``, (1, P)."""
    config = model.config
    parts = [config.image_token_id] * config.visual_tokens
    if not config.fuse_tokens:
        parts[config.visual_tokens // 2 :] = [config.spatial_token_id] * (config.visual_tokens // 2)
    return torch.tensor([[*parts, config.scale_token_id]], device=device)


@torch.inference_mode()
def greedy(
    model: RoboTracerForConditionalGeneration,
    pixels: Tensor,
    prompts: Sequence[Sequence[int]],
    max_new: int,
    check: Callable[[], None] | None = None,
) -> Decoded:
    """Answer questions about one image.

    Args:
        model: In evaluation mode.
        pixels: (C, H, W) packed image.
        prompts: Token ids that follow ``<SCALE>``, one list per question.
        max_new: Tokens per answer at most.
        check: Called before every forward pass; may raise to stop.
    """
    device = next(model.parameters()).device
    check = check or (lambda: None)
    check()
    ids = _prefix_ids(model, device)
    cache = DynamicCache()
    first = model.model(
        input_ids=ids, pixel_values=pixels[None].to(device), past_key_values=cache, use_cache=True
    )
    scale = float(model.log_scale(first.last_hidden_state, ids).exp())
    n, width = len(prompts), max(len(p) for p in prompts)
    if n > 1:
        cache.batch_repeat_interleave(n)
    config = model.config
    ends = {config.eos_token_id} if isinstance(config.eos_token_id, int) else {*config.eos_token_id}
    text = torch.full((n, width), config.pad_token_id, device=device)
    keep = torch.zeros((n, width), dtype=torch.long, device=device)
    for i, p in enumerate(prompts):
        text[i, width - len(p) :] = torch.tensor(list(p), device=device)
        keep[i, width - len(p) :] = 1
    mask = torch.cat([torch.ones((n, ids.shape[1]), dtype=torch.long, device=device), keep], dim=1)
    start = int(model.model.positions(ids)[0, -1])
    position = (keep.cumsum(1) + start).clamp(min=0)
    placeholders = [config.image_token_id, config.spatial_token_id, config.scale_token_id]
    tokens: list[list[int]] = [[] for _ in range(n)]
    done = [False] * n
    for _ in range(max_new):
        check()
        out = model.model(
            input_ids=text,
            attention_mask=mask,
            position_ids=position,
            past_key_values=cache,
            use_cache=True,
        )
        logits = model.lm_head(out.last_hidden_state[:, -1])
        logits[:, placeholders] = float('-inf')
        chosen = logits.argmax(-1)
        for i, t in enumerate(chosen.tolist()):
            if not done[i] and t in ends:
                done[i] = True
            elif not done[i]:
                tokens[i].append(t)
        if all(done):
            break
        text = chosen[:, None]
        mask = torch.cat([mask, mask.new_ones(n, 1)], dim=1)
        position = position[:, -1:] + 1
    return Decoded(tokens, done, scale)
