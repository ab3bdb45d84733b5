# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""``transformers.Trainer`` with the model's loss over a whole optimizer step, and scores of the bench.

The loss is next token plus ``scale_loss_weight`` times the squared error of the log scale. The Trainer counts
the tokens of all passes and processes of a step and hands the number to the model, whose scale loss knows
nothing of it: with 8 passes on 8 processes it would weigh 64 times as much. So both terms are divided
here by what the whole step holds, and any number of passes and processes gives the same gradient.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import Trainer, TrainerControl, TrainingArguments

from robotracer_ros.data.rates import Scores
from robotracer_ros.tracer.decoding import left_padded
from robotracer_ros.tracer.model.modeling import RoboTracerForConditionalGeneration
from robotracer_ros.tracer.model.processor import RoboTracerProcessor, question_ids
from robotracer_ros.training.collate import Collator
from robotracer_ros.training.conversations import ConversationSet, EpochSampler
from robotracer_ros.training.evaluate import evaluate
from robotracer_ros.training.scene_cache import SceneCache


class RoboTracerTrainer(Trainer):
    """Trains assembled models of any size.

    Args:
        model: With or without adapters.
        args: Of ``transformers``.
        data: What it learns from.
        processor: Of the model.
        max_tokens: Of a conversation.
        scenes: Validation scenes, or None: no scores.
        count: How many of them.
        max_new: Tokens per answer when scoring.
        scores: File that gets a JSON line per scoring.
        callbacks: Of ``transformers``.
    """

    control: TrainerControl

    def __init__(
        self,
        model: Any,
        args: TrainingArguments,
        data: ConversationSet,
        processor: RoboTracerProcessor,
        *,
        max_tokens: int,
        scenes: SceneCache | None = None,
        count: int = 0,
        max_new: int = 640,
        scores: Path | None = None,
        callbacks: list[Any] | None = None,
    ) -> None:
        super().__init__(
            model,
            args,
            data_collator=Collator(processor, max_tokens),
            train_dataset=data,
            eval_dataset=scenes,
            processing_class=processor,
            callbacks=callbacks,
        )
        base = model.get_base_model() if hasattr(model, 'get_base_model') else model
        self._core: RoboTracerForConditionalGeneration = base
        self._scenes, self._count, self._max_new, self._file = scenes, count, max_new, scores
        self.scored_at = -1
        self._scales: Tensor | None = None
        # Sum of |log s - log s*| and how many, since the last log.
        self._off, self._seen = torch.zeros(()), torch.zeros(())

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochSampler:
        assert self.train_dataset is not None
        return EpochSampler(len(self.train_dataset), self.args.seed)

    def get_batch_samples(
        self, epoch_iterator: Any, num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        """Draw the passes of a step; count the tokens and the known scales of all processes."""
        batches, tokens = super().get_batch_samples(epoch_iterator, num_batches, device)
        known = torch.zeros((), device=device)
        for batch in batches:
            known += (~torch.isnan(batch['log_scale_labels'])).sum().to(device)
        if self.args.world_size > 1:
            known = self.accelerator.gather(known).sum()
        self._scales = known.clamp(min=1)
        return batches, tokens

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Return the share of this pass in the loss of the step."""
        inputs = dict(inputs)
        labels, wanted = inputs.pop('labels'), inputs.pop('log_scale_labels')
        outputs = model(**inputs)
        config = self._core.config
        loss = self._core.loss_function(
            logits=outputs.logits,
            labels=labels[:, -outputs.logits.shape[1] :],
            vocab_size=config.text_config.vocab_size,
            num_items_in_batch=num_items_in_batch,
        )
        known = ~torch.isnan(wanted)
        error = torch.where(known, outputs.log_scale - wanted, 0.0)
        if self._off.device != error.device:
            self._off, self._seen = self._off.to(error.device), self._seen.to(error.device)
        self._off = self._off + error.detach().abs().sum()
        self._seen = self._seen + known.sum()
        count = known.sum().clamp(min=1) if num_items_in_batch is None else self._scales
        loss = loss + config.scale_loss_weight * (error**2).sum() / count
        if num_items_in_batch is not None:
            # Gradients are averaged over processes, and the loss is a share of a sum.
            loss = loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the error of the decoded scale to the figures of training."""
        if 'loss' in logs:
            sums = torch.stack([self._off, self._seen])
            if self.args.world_size > 1:
                sums = self.accelerator.gather(sums[None]).sum(0)
            if sums[1]:
                logs['scale_error'] = float(sums[0] / sums[1])
            self._off, self._seen = torch.zeros_like(self._off), torch.zeros_like(self._seen)
        super().log(logs, start_time)

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = 'eval',
    ) -> dict[str, float]:
        """Score greedy answers on validation scenes by the rules of ``robotracer bench tracer``.

        Every process answers the same questions: shards of a model (ZeRO-3, FSDP) can only work in
        step, and nobody waits for a process that has more to write.
        """
        assert self._scenes is not None
        model = self.accelerator.unwrap_model(self.model_wrapped)
        processor = self.processing_class
        assert isinstance(processor, RoboTracerProcessor)

        def answer(pixels: Tensor, prompts: Sequence[str]) -> tuple[list[str], float]:
            return generate_answers(model, processor, pixels, prompts, self._max_new)

        scenes = range(min(self._count, len(self._scenes)))
        found = evaluate(model, processor.tokenizer, self._scenes, scenes, answer=answer)
        figures = {f'{metric_key_prefix}_{k}': float(r.value) for k, r in found.rates.items()}
        for name, values in found.errors.items():
            figures[f'{metric_key_prefix}_median {name}'] = float(np.median(values))
        self._write(found)
        self.scored_at = self.state.global_step
        self.log(figures)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, figures
        )
        return figures

    def _write(self, found: Scores) -> None:
        if self._file is not None and self.is_world_process_zero():
            line = {'step': self.state.global_step} | found.summary()
            with self._file.open('a', encoding='utf-8') as file:
                file.write(json.dumps(line) + '\n')


@torch.no_grad()
def generate_answers(
    model: Any,
    processor: RoboTracerProcessor,
    pixels: Tensor,
    prompts: Sequence[str],
    max_new: int,
) -> tuple[list[str], float]:
    """Answer questions about one picture with ``generate``; return the texts and the metric scale.

    Args:
        model: In evaluation mode; may be sharded or carry adapters.
        processor: Of the model.
        pixels: (C, H, W) packed picture.
        prompts: Questions.
        max_new: Tokens per answer at most.
    """
    tokenizer, config = processor.tokenizer, model.config
    prefix = tokenizer.encode(processor.prefix, add_special_tokens=False)
    rows = [[*prefix, *question_ids(tokenizer, prompt)] for prompt in prompts]
    padded, real = left_padded(rows, config.pad_token_id)
    device = next(model.parameters()).device
    inputs = {
        'input_ids': torch.from_numpy(padded).to(device),
        'attention_mask': torch.from_numpy(real).long().to(device),
        'pixel_values': pixels.to(device).expand(len(rows), *pixels.shape),
    }
    scale = float(model(**inputs, logits_to_keep=1).log_scale[0].exp())
    made = model.generate(
        **inputs,
        max_new_tokens=max_new,
        do_sample=False,
        use_cache=True,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
        suppress_tokens=[config.image_token_id, config.spatial_token_id, config.scale_token_id],
    )
    texts = []
    for tokens in made[:, padded.shape[1] :].tolist():
        end = tokens.index(config.eos_token_id) if config.eos_token_id in tokens else len(tokens)
        texts.append(str(tokenizer.decode(tokens[:end])))
    return texts, scale
