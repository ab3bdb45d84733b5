# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How the benches tell what they run: a line per run for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from robotracer_ros.bench.closed_loop import Episode
from robotracer_ros.bench.figures import json_safe

#: longest cause that is shown to people
_CAUSE = 200


def tell_run(
    console: Console, episode: Episode, label: str, ending: str, out: Path | None, **more: Any
) -> None:
    """Print one run in a line and append it to a file.

    Args:
        console: Where people look.
        episode: The run.
        label: Which one it was.
        ending: How it ended, with rich markup.
        out: File that gets one JSON line, or None.
        **more: Put before the episode's own entries in that line.
    """
    if out is not None:
        with out.open('a', encoding='utf-8') as file:
            file.write(json.dumps(json_safe({**more, **asdict(episode)})) + '\n')
    console.print(f'{escape(label)} {ending} {escape(episode.cause[:_CAUSE])}'.rstrip())


def tell_result(result: Mapping[str, Any]) -> None:
    """Print the summary of a bench as one JSON document."""
    print(json.dumps(json_safe(result), indent=2))
