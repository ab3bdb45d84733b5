# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From what a client writes to a prompt that the model was trained on.

A tiny model knows its own prompts word for word. The official evaluation words the same questions
otherwise, and people write plain instructions: both are put into the model's words here.
"""

from __future__ import annotations

import re

from robotracer_ros.geometry.trace import TraceKind
from robotracer_ros.serving.refusal import Refusal
from robotracer_ros.tracer.base import MAX_INSTRUCTION_CHARS, check_instruction
from robotracer_ros.tracer.prompts import measure_prompt, refer_prompt, trace_prompt

#: the instruction, and a lift prompt's points and wording around it
MAX_TEXT_CHARS = MAX_INSTRUCTION_CHARS + 2000

_OWN = re.compile(
    r'(?:Reason step by step\. )?Predict the [23]D (?:object|end-effector)-centric visual trace: '
    r'"[^\n]+" Answer \[\(x1, y1(?:, d1)?\), \.\.\.\]'
    r'|Lift the 2D (?:object|end-effector)-centric visual trace \[[^\n]+\] of "[^\n]+" to 3D\. '
    r'Answer \[\(x1, y1, d1\), \.\.\.\]'
    r'|Point to [^\n]+\. Answer \[\(x, y, d\)\]'
)
_TRACE = re.compile(r'\b([23])D (object|end-effector)-centric (?:visual )?trace\b', re.IGNORECASE)
_RULES = ('. your answer', '. answer', '? answer')


def model_prompt(text: str, *, reasoning: bool) -> str:
    """Return the model's prompt for a client's text.

    Args:
        text: One of the model's own prompts (kept as it is), a question of the official protocol
            ("... 3D object-centric visual trace ... "instruction" ..."), "Point to ...",
            "Measure ...", or anything else, which is taken as an instruction to trace.
        reasoning: Ask for reasoning steps, where the text does not say.

    Raises:
        Refusal: the text is too long.
        InvalidInstructionError: there is no instruction in it.
    """
    if len(text) > MAX_TEXT_CHARS:
        raise Refusal(
            413, 'text_too_long', f'the text has {len(text)} characters: at most {MAX_TEXT_CHARS}'
        )
    text = ' '.join(text.split())
    if _OWN.fullmatch(text):
        return text
    trace = _TRACE.search(text)
    first, last = text.find('"', trace.end() if trace else 0), text.rfind('"')
    if trace and 0 <= first < last:
        return trace_prompt(
            check_instruction(text[first + 1 : last]),
            kind=TraceKind.END_EFFECTOR_CENTRIC
            if trace[2].lower() == 'end-effector'
            else TraceKind.OBJECT_CENTRIC,
            dimensions=int(trace[1]),
            reasoning=reasoning,
        )
    plain = _without_rule(text)
    lower = plain.lower()
    if lower.startswith('point to '):
        return refer_prompt(check_instruction(plain[len('point to ') :]))
    if lower.startswith('measure '):
        return measure_prompt(check_instruction(plain[len('measure ') :]))
    return trace_prompt(check_instruction(text), reasoning=reasoning)


def split_reasoning(text: str) -> tuple[str, str]:
    """Return reasoning and answer of a model's text, each with its tags; either may be empty."""
    end = text.find('</think>')
    if end < 0:
        return '', text
    end += len('</think>')
    return text[:end], text[end:].lstrip('\n')


def _without_rule(text: str) -> str:
    """Return the question without the sentence that says how to answer, and without its full stop."""
    lower = text.lower()
    cuts = [i for i in (lower.find(rule) for rule in _RULES) if i > 0]
    return text[: min(cuts)] if cuts else text.rstrip('.?')
