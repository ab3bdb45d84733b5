# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From conversations to a batch for ``transformers.Trainer``: chat and picture through the processor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.tracer.model.processor import RoboTracerProcessor, question_ids
from robotracer_ros.training.conversations import Conversation

#: label of a token that is not learned
IGNORED = -100


class Collator:
    """Makes the model's inputs, ``labels``, ``log_scale_labels`` and ``logits_to_keep``.

    Answers and the mark that ends them are learned, nothing else. ``logits_to_keep`` counts the last positions
    of the batch in which there is anything to learn: the pictures' tokens stand before it, so that the language
    head, 152,000 words wide in a Qwen, is spared half of its work and memory.

    Args:
        processor: Of the model.
        max_tokens: Of a conversation, visual tokens included.
    """

    def __init__(self, processor: RoboTracerProcessor, max_tokens: int) -> None:
        self._processor, self._max_tokens = processor, max_tokens
        tokenizer = processor.tokenizer
        # Visual tokens and <SCALE>; of a turn its marks, the end of the answer included.
        self._prefix = processor.image_tokens + processor.spatial_tokens + 1
        self._marks = len(question_ids(tokenizer, '')) + 2

    def __call__(self, conversations: Sequence[Conversation]) -> dict[str, Any]:
        """Make a batch.

        Raises:
            InvalidParameterError: a conversation's shortest question is longer than ``max_tokens``, or
                its text holds a placeholder.
        """
        talks = [self._talk(c) for c in conversations]
        try:
            batch = self._processor.apply_chat_template(
                talks,
                tokenize=True,
                return_dict=True,
                return_tensors='pt',
                return_assistant_tokens_mask=True,
                processor_kwargs={'padding': True},
            )
        except InvalidParameterError as error:
            names = ', '.join(c.name for c in conversations)
            raise InvalidParameterError(f'one of {names}: {error}') from error
        ids = batch['input_ids']
        written = torch.as_tensor(batch['assistant_masks']).bool()
        labels = ids.masked_fill(~written, IGNORED)
        first = int(written.any(0).nonzero()[0])
        return {
            'input_ids': ids,
            'attention_mask': batch['attention_mask'],
            'pixel_values': batch['pixel_values'],
            'labels': labels,
            'log_scale_labels': torch.tensor([c.log_scale for c in conversations]),
            # The state before a token foretells it.
            'logits_to_keep': ids.shape[1] - first + 1,
        }

    def _talk(self, conversation: Conversation) -> list[dict[str, Any]]:
        """Return the turns that fit, the picture with the first."""
        turns = self._fitting(conversation)
        talk: list[dict[str, Any]] = []
        for k, (prompt, answer) in enumerate(turns):
            content: list[dict[str, Any]] = [{'type': 'text', 'text': prompt}]
            if k == 0:
                content.insert(0, {'type': 'image', 'image': conversation.picture})
            talk.append({'role': 'user', 'content': content})
            talk.append({'role': 'assistant', 'content': answer})
        return talk

    def _fitting(self, conversation: Conversation) -> list[tuple[str, str]]:
        """Keep the turns, in order, for which there is room."""
        left = self._max_tokens - self._prefix
        texts = [text for turn in conversation.turns for text in turn]
        counts = [len(ids) for ids in self._processor.tokenizer(texts, add_special_tokens=False)['input_ids']]
        sizes = [counts[i] + counts[i + 1] + self._marks for i in range(0, len(counts), 2)]
        kept = []
        for turn, size in zip(conversation.turns, sizes, strict=True):
            if size <= left:
                kept.append(turn)
                left -= size
        if not kept:
            raise InvalidParameterError(
                f'conversation {conversation.name} has {self._prefix + min(sizes)} tokens with its shortest '
                f'question: max_tokens is {self._max_tokens}'
            )
        return kept
