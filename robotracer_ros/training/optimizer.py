# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What updates the weights, and their running average."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.training.config import SftConfig


class Optimizer:
    """AdamW for all weights, or Muon for the matrices of the decoder and AdamW for the rest.

    Muon (Jordan et al. 2024, in torch since 2.9) replaces a matrix' momentum by the nearest orthogonal
    matrix, so that directions which many samples share do not drown the others. Its update has the
    size of AdamW's (``match_rms_adamw``), so one learning rate serves both.
    """

    def __init__(self, model: nn.Module, config: SftConfig) -> None:
        if config.optimizer not in ('adamw', 'muon'):
            raise InvalidParameterError(
                f"optimizer '{config.optimizer}': must be adamw or muon", parameter='optimizer'
            )
        rates = {
            'encoders': 1.0,
            'decoder': config.decoder_rate_factor,
            # Every step moves every row of a tied embedding, and Adam moves it by a full step: at the
            # rate of the decoder the order of the numbers is gone after a hundred steps.
            'embed': config.embedding_rate_factor,
        }
        groups: dict[tuple[str, str, bool], list[Tensor]] = {}
        for name, p in model.named_parameters():
            if not p.requires_grad:
                continue
            part = _part(name)
            matrix = part == 'decoder' and p.dim() == 2
            how = 'muon' if config.optimizer == 'muon' and matrix else 'adamw'
            groups.setdefault((how, part, p.dim() < 2 or part == 'embed'), []).append(p)
        made: dict[str, list[dict[str, Any]]] = {'adamw': [], 'muon': []}
        for (how, part, flat), params in groups.items():
            decay = 0.0 if flat else config.weight_decay
            made[how].append({'params': params, 'weight_decay': decay, 'factor': rates[part]})
        self.parameters = [p for params in groups.values() for p in params]
        rate = config.learning_rate
        self._parts: dict[str, torch.optim.Optimizer] = {
            'adamw': torch.optim.AdamW(made['adamw'], lr=rate, betas=(0.9, 0.98), eps=1e-9)
        }
        if made['muon']:
            self._parts['muon'] = torch.optim.Muon(
                made['muon'], lr=rate, adjust_lr_fn='match_rms_adamw'
            )

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self._parts.values():
            part.zero_grad(set_to_none=True)

    def step(self, rate: float) -> None:
        """Update the weights; ``rate`` is the encoders', the other parts follow by their factors."""
        for part in self._parts.values():
            for group in part.param_groups:
                group['lr'] = rate * group['factor']
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the state by part, for :meth:`load_state_dict`."""
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Raises:
            InvalidParameterError: it is another optimiser's.
        """
        if set(state) != set(self._parts):
            raise InvalidParameterError(
                f'the saved state is of {", ".join(sorted(state))}, the run uses '
                f'{", ".join(sorted(self._parts))}', parameter='optimizer'
            )
        for name, part in self._parts.items():
            part.load_state_dict(state[name])


class RunningAverage:
    """Exponential running average of a model's weights.

    At a constant rate the weights circle around where they would settle; the average is there already.
    It can be scored and shipped at any time, without a stretch of falling rate first.

    Args:
        model: Whose weights are followed.
        decay: Share that stays at every step; rises to this from 0.1, so that the start is forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self._decay, self.steps = decay, 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights after a step."""
        self.steps += 1
        decay = min(self._decay, self.steps / (9 + self.steps))
        mine, theirs = list(self.model.parameters()), list(model.parameters())
        torch._foreach_lerp_(mine, theirs, 1 - decay)


def _part(name: str) -> str:
    """Return the learning rate group of a parameter."""
    if 'embed_tokens' in name:
        return 'embed'
    return 'decoder' if 'language_model' in name or 'reader' in name else 'encoders'
