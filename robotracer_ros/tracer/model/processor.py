# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What turns pictures and conversations into model inputs, for trainers and servers of ``transformers``.

One picture per conversation. Its placeholders and ``<SCALE>`` stand in front of everything, whatever
turn the picture was attached to, so that the prefix never depends on the text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from PIL import Image
from transformers import AutoProcessor, BatchFeature, PreTrainedTokenizerBase, ProcessorMixin

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.tracer.model.config import RoboTracerConfig
from robotracer_ros.tracer.model.images import pack_picture
from robotracer_ros.tracer.model.tokenizer import IMAGE, SPECIAL

IMAGE_TOKEN, SPATIAL_TOKEN, SCALE_TOKEN = SPECIAL[IMAGE : IMAGE + 3]
_TEXT_OPTIONS = frozenset(
    {
        'padding',
        'padding_side',
        'truncation',
        'max_length',
        'add_special_tokens',
        'pad_to_multiple_of',
        'return_offsets_mapping',
    }
)
_OFFSETS = frozenset({'return_text_replacement_offsets', 'return_mm_token_type_ids'})


class Turns(NamedTuple):
    """Marks of a conversation: before a question, after it, before an answer, after it."""

    user: str
    end_of_user: str
    assistant: str
    end: str


def _knows(tokenizer: PreTrainedTokenizerBase, token: str) -> bool:
    return tokenizer.convert_tokens_to_ids(token) not in (None, tokenizer.unk_token_id)


def turns_of(tokenizer: PreTrainedTokenizerBase) -> Turns:
    """Return the marks of turns that a tokenizer knows: ChatML (Qwen) or those of the tiny model.

    Raises:
        InvalidParameterError: it has neither.
    """
    if _knows(tokenizer, '<|im_start|>') and _knows(tokenizer, '<|im_end|>'):
        return Turns(
            '<|im_start|>user\n', '<|im_end|>\n', '<|im_start|>assistant\n', '<|im_end|>\n'
        )
    if _knows(tokenizer, '<user>') and _knows(tokenizer, '<assistant>') and tokenizer.eos_token:
        return Turns('<user>', '', '<assistant>', tokenizer.eos_token)
    raise InvalidParameterError(
        'the tokenizer has neither <|im_start|> and <|im_end|> nor <user> and <assistant>'
    )


def chat_template(turns: Turns) -> str:
    """Return the Jinja template of conversations: the picture first, then the turns."""
    content = (
        "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for p in m['content'] %}"
        "{% if p['type'] == 'text' %}{{ p['text'] }}{% endif %}{% endfor %}{% endif %}"
    )
    picture = (
        "{% for m in messages %}{% if m['content'] is not string %}{% for p in m['content'] %}"
        f"{{% if p['type'] == 'image' %}}{IMAGE_TOKEN}{{% endif %}}"
        '{% endfor %}{% endif %}{% endfor %}'
    )
    user, end_of_user, assistant, end = (f'{{{{ {json.dumps(mark)} }}}}' for mark in turns)
    return (
        f"{picture}{{% for m in messages %}}{{% if m['role'] == 'assistant' %}}{assistant}"
        f'{{% generation %}}{content}{end}{{% endgeneration %}}'
        f'{{% else %}}{user}{content}{end_of_user}{{% endif %}}{{% endfor %}}'
        f'{{% if add_generation_prompt %}}{assistant}{{% endif %}}'
    )


def question_ids(tokenizer: PreTrainedTokenizerBase, prompt: str) -> list[int]:
    """Return the tokens of a question as the model reads them after ``<SCALE>``.

    Marks inside the prompt are text like any other: who asks cannot end the question.
    """
    turns = turns_of(tokenizer)
    before, text, after = (
        tokenizer.encode(part, add_special_tokens=False, split_special_tokens=literal)
        for part, literal in (
            (turns.user, False),
            (prompt, True),
            (turns.end_of_user + turns.assistant, False),
        )
    )
    return [*before, *text, *after]


class RoboTracerProcessor(ProcessorMixin):
    """Tokenizer and picture packing in one.

    Args:
        tokenizer: Knows ``<image>``, ``<spatial>`` and ``<SCALE>`` as single tokens.
        chat_template: Jinja; by default the one that fits the tokenizer's marks of turns.
        image_height, image_width: Grid of the packed planes in pixels.
        image_tokens, spatial_tokens: Placeholders of one picture; the second is 0 when tokens are fused.

    Raises:
        InvalidParameterError: the tokenizer lacks a placeholder.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        chat_template: str | None = None,
        image_height: int = 240,
        image_width: int = 320,
        image_tokens: int = 300,
        spatial_tokens: int = 0,
    ) -> None:
        marks = (IMAGE_TOKEN, SPATIAL_TOKEN, SCALE_TOKEN)
        missing = [mark for mark in marks if not _knows(tokenizer, mark)]
        if missing:
            raise InvalidParameterError(f'the tokenizer has no token for {", ".join(missing)}')
        self.image_height, self.image_width = image_height, image_width
        self.image_tokens, self.spatial_tokens = image_tokens, spatial_tokens
        self.image_token = IMAGE_TOKEN
        self.image_token_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
        super().__init__(tokenizer, chat_template=chat_template or _default_template(tokenizer))

    @classmethod
    def for_config(
        cls, config: RoboTracerConfig, tokenizer: PreTrainedTokenizerBase
    ) -> RoboTracerProcessor:
        """Return the processor of a model."""
        rows, cols = config.grid
        return cls(
            tokenizer,
            image_height=config.spatial_config.image_height,
            image_width=config.spatial_config.image_width,
            image_tokens=rows * cols,
            spatial_tokens=0 if config.fuse_tokens else rows * cols,
        )

    @property
    def prefix(self) -> str:
        """What a picture becomes in the text."""
        return (
            IMAGE_TOKEN * self.image_tokens + SPATIAL_TOKEN * self.spatial_tokens + SCALE_TOKEN
        )

    @property
    def model_input_names(self) -> list[str]:
        """Names of what a call may return."""
        return ['input_ids', 'attention_mask', 'pixel_values']

    def __call__(
        self,
        images: Image.Image | Sequence[Image.Image | Sequence[Image.Image]] | None = None,
        text: str | Sequence[str] | None = None,
        return_tensors: str | None = None,
        **options: Any,
    ) -> BatchFeature:
        """Pack pictures and tokenize texts.

        Args:
            images: One picture per text, also as lists of one. Geometry travels in
                ``Image.info['robotracer']``, see :func:`attach_geometry`.
            text: Conversations as the chat template writes them. The mark of the picture may be
                missing.
            return_tensors: ``pt``, or None for lists of token ids. Pixels are always a tensor.
            options: Those of the tokenizer that trainers give; others (videos, audio, ...) must be
                None or False.

        Returns:
            ``pixel_values`` (B, 15, H, W), ``input_ids`` and ``attention_mask`` (B, T).

        Raises:
            InvalidParameterError: pictures and texts do not match, or an option is not supported.
        """
        unknown = sorted(k for k, v in options.items() if v and k not in _TEXT_OPTIONS | _OFFSETS)
        if unknown:
            raise InvalidParameterError(f'option(s) {", ".join(unknown)}: not supported')
        pictures = None if images is None else list(_flat(images))
        data: dict[str, Any] = {}
        if pictures is not None:
            data['pixel_values'] = torch.stack(
                [pack_picture(p, width=self.image_width, height=self.image_height) for p in pictures]
            )
        if text is not None:
            texts = [text] if isinstance(text, str) else list(text)
            if pictures is not None and len(pictures) != len(texts):
                raise InvalidParameterError(
                    f'{len(pictures)} pictures for {len(texts)} conversations: there must be one each'
                )
            if options.get('return_text_replacement_offsets'):
                data['text_replacement_offsets'] = [self._replaced(t) for t in texts]
            texts = [self._expanded(t, pictures is not None) for t in texts]
            chosen = {k: v for k, v in options.items() if k in _TEXT_OPTIONS}
            # Marks are part of the templates.
            data |= self.tokenizer(texts, **({'add_special_tokens': False} | chosen))
        if return_tensors is None:
            return BatchFeature(data)
        return BatchFeature(data, tensor_type=return_tensors)

    def _replaced(self, text: str) -> list[dict[str, tuple[int, int]]]:
        """Say which characters the placeholders took the place of."""
        if IMAGE_TOKEN not in text:
            return []
        return [{'span': (0, len(IMAGE_TOKEN)), 'new_span': (0, len(self.prefix))}]

    def _expanded(self, text: str, pictured: bool) -> str:
        """Put the placeholders of a picture in front of a conversation."""
        rest = text.removeprefix(IMAGE_TOKEN)
        if rest != text and not pictured:
            raise InvalidParameterError(f'a conversation begins with {IMAGE_TOKEN}, but there is no picture')
        for mark in (IMAGE_TOKEN, SPATIAL_TOKEN, SCALE_TOKEN):
            if mark in rest:
                raise InvalidParameterError(
                    f'a conversation holds {mark}: a picture is marked once, in front, by the template'
                )
        return self.prefix + rest if pictured else rest


def _default_template(tokenizer: PreTrainedTokenizerBase) -> str:
    return chat_template(turns_of(tokenizer))


def _flat(images: Any) -> Iterable[Image.Image]:
    """Yield the pictures of nested lists."""
    if isinstance(images, Image.Image):
        yield images
        return
    if not isinstance(images, list | tuple):
        raise InvalidParameterError(
            f'a picture is a {type(images).__name__}: must be a PIL.Image'
        )
    for item in images:
        yield from _flat(item)


AutoProcessor.register(RoboTracerConfig, RoboTracerProcessor)
