# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A micro model for the server to serve."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from http_rig import LESSONS, running

from robotracer_ros.serving.app import create_app
from robotracer_ros.tracer.local import LocalTracer

if TYPE_CHECKING:
    from robotracer_ros.tracer.model.modeling import RoboTracerForConditionalGeneration


@pytest.fixture(scope='session')
def checkpoint(
    tmp_path_factory: pytest.TempPathFactory,
    micro_model: Callable[..., RoboTracerForConditionalGeneration],
) -> Path:
    """Return a micro checkpoint whose weights have learned ``LESSONS`` by heart."""
    import torch

    from robotracer_ros.tracer.model.decode import question_ids
    from robotracer_ros.tracer.model.packed import packed_forward
    from robotracer_ros.tracer.model.tokenizer import EOS, PAD, build_tokenizer

    tokenizer = build_tokenizer()
    model = micro_model(pointer_heads=[])
    asked = [question_ids(tokenizer, prompt) for prompt in LESSONS]
    told = [tokenizer.encode(answer, add_special_tokens=False) for answer in LESSONS.values()]
    width = max(len(q) + len(a) + 1 for q, a in zip(asked, told, strict=True))
    ids = torch.full((len(asked), width), PAD)
    wanted = torch.full((len(asked), width), -100)
    for i, (q, a) in enumerate(zip(asked, told, strict=True)):
        ids[i, : len(q) + len(a) + 1] = torch.tensor([*q, *a, EOS])
        wanted[i, len(q) - 1 : len(q) + len(a)] = torch.tensor([*a, EOS])
    rng = np.random.default_rng(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(120):
        # Any picture: what is learned by heart must not hang on the pixels.
        pixels = torch.from_numpy(rng.uniform(-1, 1, (1, 15, 32, 64)).astype(np.float32))
        out = packed_forward(model, pixels, ids[None])
        assert out.hidden is not None
        here = wanted >= 0
        loss = torch.nn.functional.cross_entropy(model.lm_head(out.hidden[0][here]), wanted[here])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < 0.02:
            break
    folder = tmp_path_factory.mktemp('micro') / 'micro'
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope='session')
def tracer(checkpoint: Path) -> LocalTracer:
    """Return it loaded."""
    loaded = LocalTracer(str(checkpoint), device='cpu', threads=1)
    loaded.load()
    return loaded


@pytest.fixture(scope='session')
def address(tracer: LocalTracer) -> Iterator[str]:
    """Return the address of a server without token and folder."""
    with running(create_app(tracer)) as url:
        yield url
