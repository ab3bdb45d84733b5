# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Tokenizer of the tiny model: whole words, whole numbers, whole pieces of the answer format,
bytes for all the rest.

Every text survives encoding and decoding unchanged. Numbers 0..1000 and 000..999 are one token
each, so that a point costs
seven tokens and neighbouring numbers can share soft labels; the text itself is the paper's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from importlib.resources import files

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from robotracer_ros.tracer.model.reader import number_waves

SPECIAL = ('<pad>', '<eos>', '<unk>', '<image>', '<spatial>', '<SCALE>', '<user>', '<assistant>')
PAD, EOS, UNK, IMAGE, SPATIAL, SCALE, USER, ASSISTANT = range(len(SPECIAL))

#: pieces of the answer format that are one token; longer ones first
_ANSWER_PIECES = (
    '\n</think>\n<answer>[(',
    '<think>\n[Scale] [Scene]: ',
    '<think>\n[Referring] [',
    '<think>\n[Measuring] [',
    '\n[Scale] [Scene]: ',
    '\n[Referring] [',
    '\n[Measuring] [',
    '<answer>[(',
    ')]</answer>',
    '<think>',
    '</think>',
    '<answer>',
    '</answer>',
    ']: [(',
    '), (',
    ']: ',
    '] [',
    '[(',
    ')]',
    ', ',
)
#: fixed wording of :mod:`robotracer_ros.tracer.prompts`, one token each because a tiny model pays
#: for every token
_PROMPT_PIECES = (
    'Reason step by step. ',
    'Predict the 3D object-centric visual trace: "',
    'Predict the 2D object-centric visual trace: "',
    'Predict the 3D end-effector-centric visual trace: "',
    'Predict the 2D end-effector-centric visual trace: "',
    'Lift the 2D object-centric visual trace ',
    'Lift the 2D end-effector-centric visual trace ',
    '" to 3D. Answer [(x1, y1, d1), ...]',
    '" Answer [(x1, y1, d1), ...]',
    '" Answer [(x1, y1), ...]',
    '. Answer [(x, y, d)]',
    ' of "',
    'Point to ',
    'Measure ',
)
_PIECES = _PROMPT_PIECES + _ANSWER_PIECES
_ESCAPED = '|'.join(''.join('\\' + c if c in '[]().' else c for c in p) for p in _PIECES)
#: ", 0." before a depth: the whole metres are one token together with the separator
_WHOLE = r', [0-9]\.(?=[0-9])'
_SPLIT = rf'{_WHOLE}|{_ESCAPED}|1000(?![0-9])|[0-9]{{1,3}}| ?[A-Za-z]+|[^\sA-Za-z0-9]|\s'

CHAT_TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}<assistant>{% else %}<user>{% endif %}"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for p in m['content'] %}"
    "{% if p['type'] == 'text' %}{{ p['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{% if m['role'] == 'assistant' %}<eos>{% endif %}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


def default_words() -> list[str]:
    """Return the words of the shipped vocabulary."""
    text = files('robotracer_ros.tracer.model').joinpath('words.txt').read_text(encoding='utf-8')
    return text.split()


def _visible(text: str) -> str:
    """Map bytes to the printable characters of byte-level vocabularies."""
    return ''.join(
        piece
        for piece, _ in pre_tokenizers.ByteLevel(
            add_prefix_space=False, use_regex=False
        ).pre_tokenize_str(text)
    )


def build_tokenizer(words: Iterable[str] | None = None) -> PreTrainedTokenizerFast:
    """Build the tokenizer from a list of words, the shipped one by default."""
    entries: list[str] = list(SPECIAL)
    entries += sorted(pre_tokenizers.ByteLevel.alphabet())
    entries += [str(i) for i in range(1001)] + [f'{i:03d}' for i in range(100)]
    entries += [_visible(p) for p in _PIECES] + [_visible(f', {i}.') for i in range(10)]
    for word in default_words() if words is None else words:
        entries += [_visible(word), _visible(' ' + word)]
    vocabulary: dict[str, int] = {}
    for entry in entries:
        vocabulary.setdefault(entry, len(vocabulary))
    model = Tokenizer(
        models.BPE(vocab=vocabulary, merges=[], unk_token='<unk>', ignore_merges=True)
    )
    model.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), 'isolated'),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    model.decoder = decoders.ByteLevel()
    model.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=model,
        pad_token='<pad>',
        eos_token='<eos>',
        unk_token='<unk>',
        extra_special_tokens={
            'image_token': '<image>',
            'spatial_token': '<spatial>',
            'scale_token': '<SCALE>',
        },
        chat_template=CHAT_TEMPLATE,
        padding_side='left',
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )


class NumberTokens:
    """Which tokens are numbers and what follows what.

    Used for soft labels and initial embeddings.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        vocab = tokenizer.get_vocab()
        self.integers = torch.tensor([vocab[str(i)] for i in range(1001)])
        self.fractions = torch.tensor([vocab[f'{i:03d}'] for i in range(1000)])
        self.integer_of = {int(t): i for i, t in enumerate(self.integers)}
        self.fraction_of = {int(t): i for i, t in enumerate(self.fractions)}
        self.openers = {i for t, i in vocab.items() if t.endswith('(')}
        self.wholes = {vocab[_visible(f', {i}.')]: i for i in range(10)}
        self.comma, self.dot = vocab[_visible(', ')], vocab['.']

    def roles(self, ids: Sequence[int]) -> list[str]:
        """Name the role of each token.

        ``u``, ``v``, ``d`` (fraction of a depth), ``f`` (other fraction) or ``''``.
        """
        roles = [''] * len(ids)
        for i, t in enumerate(ids):
            if i == 0:
                continue
            before = ids[i - 1]
            if before in self.openers and t in self.integer_of:
                roles[i] = 'u'
            elif before == self.comma and i >= 2 and roles[i - 2] == 'u' and t in self.integer_of:
                roles[i] = 'v'
            elif before in self.wholes and t in self.fraction_of:
                roles[i] = 'd'
            elif before == self.dot and t in self.fraction_of:
                roles[i] = 'f'
        return roles

    @cached_property
    def all_ids(self) -> Tensor:
        """Ids of every number token and its place in 0..1."""
        return torch.unique(torch.cat([self.integers, self.fractions]))

    def embeddings(self, width: int, std: float) -> tuple[Tensor, Tensor]:
        """Return ids (K,) and initial embeddings (K, width).

        Half Fourier features of the number, half shared noise.
        """
        ids = self.all_ids
        value = torch.tensor(
            [self.integer_of.get(int(i), self.fraction_of.get(int(i), 0)) / 1000.0 for i in ids]
        )
        pairs = width // 4
        waves = number_waves(value, pairs) * std * 2**0.5
        shared = (torch.randn(width - 2 * pairs) * std).expand(len(ids), -1)
        return ids, torch.cat([waves, shared], 1)
