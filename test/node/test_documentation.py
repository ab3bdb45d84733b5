# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The generated documentation is what the code says today; `robotracer docs` rewrites it."""

from pathlib import Path

import pytest

from robotracer_ros.nodes.documentation import (
    declared_parameters,
    interface_table,
    parameter_page,
    replace_block,
)

ROOT = Path(__file__).resolve().parents[2]


def test_the_parameter_page_is_up_to_date():
    written = (ROOT / 'doc' / 'parameters.md').read_text(encoding='utf-8')
    assert written == parameter_page(declared_parameters())


@pytest.mark.timeout(180)
def test_the_readme_lists_what_running_nodes_offer():
    readme = (ROOT / 'README.md').read_text(encoding='utf-8')
    assert readme == replace_block(readme, 'interfaces', interface_table(120.0))


def test_a_block_must_be_there_once():
    text = 'a\n<!-- x:begin -->\nold\n<!-- x:end -->\nb\n'
    assert replace_block(text, 'x', 'new\n') == text.replace('old', 'new')
    for bad in ('nothing', text + text):
        with pytest.raises(ValueError, match="blocks 'x'"):
            replace_block(bad, 'x', 'new\n')
