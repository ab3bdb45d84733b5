# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What is taught about one picture with its questions: text, pointers, places, numbers, scale, patches."""

from __future__ import annotations

import torch
from torch import Tensor

from robotracer_ros.tracer.model.modeling import RoboTracerForConditionalGeneration
from robotracer_ros.tracer.model.packed import packed_forward
from robotracer_ros.tracer.model.reader import NEVER, Steps
from robotracer_ros.training.config import SftConfig
from robotracer_ros.training.dense import dense_loss
from robotracer_ros.training.examples import SoftLabels
from robotracer_ros.training.samples import ImageBatch, dense_tensors

#: an arrival this much nearer than another, in u, v and metres together, is the better one
_NEAR = 0.01


def image_loss(
    model: RoboTracerForConditionalGeneration,
    item: ImageBatch,
    labels: SoftLabels,
    config: SftConfig,
    device: torch.device,
) -> tuple[Tensor, dict[str, float]]:
    """Return the loss of one image with its questions, and readable figures."""
    batch = item.batch
    out = packed_forward(model, item.pixels[None].to(device), batch.ids[None].to(device))
    assert out.hidden is not None
    hidden = out.hidden.flatten(0, 2)
    logits = model.lm_head(hidden[batch.rows.to(device)])
    answer = batch.labels.to(device)
    token_loss = labels.loss(logits, answer, batch.roles)
    questions = len(item.families)
    # A mean over tokens within each question, a mean over questions, scaled by the root of the
    # length: a long trace is
    # worth more than a point, but not twenty times more.
    count = torch.bincount(batch.question, minlength=questions).float().to(device)
    weight = count.clamp(min=1).rsqrt()[batch.question.to(device)]
    lm = (token_loss * weight * batch.emphasis.to(device)).sum() / questions
    figures = {'lm': float(lm.detach())}
    role_u = torch.tensor([r == 'u' for r in batch.roles], device=device)
    if role_u.any():
        figures['u'] = float(token_loss.detach()[role_u].mean())
    loss = lm
    if len(batch.pointer_rows):
        rows, target = batch.pointer_rows.to(device), batch.pointer_target.to(device)
        heads = len(model.config.pointer_heads)
        first = torch.zeros(hidden.shape[0], dtype=torch.bool, device=device)
        first[batch.rows.to(device)[role_u]] = True
        for k, (scores, total) in enumerate(out.pointers):
            log_p = scores.flatten(0, 1)[rows] - total.flatten()[rows][:, None]
            pointer = -(target * log_p).sum(1).mean()
            # The reader comes last; the heads before it are led there.
            share = 1.0 if k == heads else 0.5 / max(1, heads)
            loss = loss + config.pointer_weight * share * pointer
            on = (log_p.detach().exp() * (target > 1e-3)).sum(1)
            figures[f'ptr{k}'] = float(on[first[rows]].mean())
        if len(batch.follower_rows) and len(out.pointers) > heads:
            rows, target = batch.follower_rows.to(device), batch.follower_target.to(device)
            scores, total = out.pointers[-1]
            log_p = scores.flatten(0, 1)[rows] - total.flatten()[rows][:, None]
            loss = loss - 0.3 * config.pointer_weight * (target * log_p).sum(1).mean()
    read = out.readings
    if len(batch.spot_rows) and read is not None:
        rows, target = batch.spot_rows.to(device), batch.spot_target.to(device)
        log_p = read.spot.flatten(0, 1)[rows].float().log_softmax(-1)
        loss = loss - config.spot_weight * (target * log_p).sum(1).mean()
        place = read.values.flatten(0, 1)[rows][:, :2].detach()
        centres = model.model.centres()
        figures['spot'] = float((place - target @ centres).abs().mean())
    if len(batch.place_rows) and read is not None:
        rows, weight = batch.place_rows.to(device), batch.place_weight.to(device)
        steps = Steps(*(x.flatten(0, 1)[rows] for x in read.steps))
        places = batch.places.to(device)
        off = (steps.place.detach() - places).abs()
        loss = loss + step_loss(steps, places, weight, config.step_weight)
        figures['step'] = float(off[:, :2].mean())
        figures['step_d'] = float(off[:, 2].mean())
    if len(batch.number_rows) and read is not None:
        rows, numbers = batch.number_rows.to(device), batch.numbers.to(device)
        off = (read.values.flatten(0, 1)[rows][:, 2] - numbers).abs().mean()
        loss = loss + config.number_weight * off
        figures['number'] = float(off.detach())
    error = out.log_scale[0] - item.log_scale
    loss = loss + model.config.scale_loss_weight * error**2
    figures['scale'] = float(error.detach().abs())
    dense, seen = dense_loss(
        model.model.dense_head(out.visual), *(t.to(device) for t in dense_tensors(item.dense))
    )
    figures |= {'dense': float(dense.detach()), 'both': seen['both'], 'kind': seen['kind']}
    return loss + config.dense_weight * dense, figures


def step_loss(steps: Steps, places: Tensor, weight: Tensor, step_weight: float) -> Tensor:
    """Teach steps from every origin that comes near the place, and which origin comes nearest.

    Args:
        steps: At (P,) states.
        places: (P, 3) true places.
        weight: (P,) how much each counts.
        step_weight: Of a distance against the choice of the origin.
    """
    off = (steps.arrivals - places[:, None]).abs().sum(-1)
    missing = steps.origin <= NEVER
    share = (-off.detach() / _NEAR).masked_fill(missing, -torch.inf).softmax(-1)
    # The thing is an origin in every answer, the others only where something was said before.
    distance = off[:, 0] + (share * off)[:, 1:].sum(-1)
    choice = -(share * steps.origin.log_softmax(-1)).sum(-1)
    return ((step_weight * distance + choice) * weight).sum() / weight.sum()
