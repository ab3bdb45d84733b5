# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Train as ``python -m robotracer_ros.training`` does, with FSDP on processes without a GPU.

``accelerate`` shards on accelerators only; torch's FSDP2 itself runs on a CPU. This tells ``accelerate`` so, and
everything after that (wrapping, optimizer, checkpoints) is its own code.
"""

from __future__ import annotations

import sys
from typing import Any

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

from robotracer_ros.training.__main__ import main

_original = AcceleratorState.__init__


def _sharded(self: AcceleratorState, *args: Any, fsdp_plugin: Any = None, **options: Any) -> None:
    fresh = not AcceleratorState._shared_state
    _original(self, *args, fsdp_plugin=fsdp_plugin, **options)
    if fresh and fsdp_plugin is not None:
        if self._mixed_precision != 'no':
            fsdp_plugin.set_mixed_precision(self._mixed_precision)
        self.fsdp_plugin, self.distributed_type = fsdp_plugin, DistributedType.FSDP
        PartialState._shared_state['distributed_type'] = DistributedType.FSDP


AcceleratorState.__init__ = _sharded

if __name__ == '__main__':
    main(sys.argv[1:])
