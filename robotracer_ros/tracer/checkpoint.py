# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Where the weights of our own model lie: a shipped checkpoint by name, or any folder of safetensors."""

from __future__ import annotations

from pathlib import Path

from robotracer_ros.errors import CheckpointError

SHIPPED = Path(__file__).parent / 'checkpoints'
_WEIGHTS = 'model.safetensors'
_PICKLES = ('.bin', '.pt', '.pth', '.pkl', '.pickle', '.ckpt')


def find_checkpoint(checkpoint: str | Path) -> Path:
    """Return the folder of a shipped checkpoint's name or of a path.

    Raises:
        CheckpointError: there is no such folder, it has no safetensors weights, or only pickled
            ones.
    """
    folder = Path(checkpoint).expanduser()
    if not folder.is_dir() and (SHIPPED / str(checkpoint)).is_dir():
        folder = SHIPPED / str(checkpoint)
    if not folder.is_dir():
        known = sorted(p.name for p in SHIPPED.iterdir() if p.is_dir()) if SHIPPED.is_dir() else []
        raise CheckpointError(
            f"checkpoint '{checkpoint}' is neither a folder nor a shipped one "
            f'({", ".join(known) or "none is shipped"})'
        )
    if any(folder.glob('*.safetensors')):
        return folder
    pickles = sorted(p.name for p in folder.iterdir() if p.suffix in _PICKLES)
    if pickles:
        raise CheckpointError(
            f"checkpoint '{folder}' holds pickled weights ({', '.join(pickles)}): loading a pickle runs "
            f'code from it, so only {_WEIGHTS} is read'
        )
    raise CheckpointError(f"checkpoint '{folder}' has no {_WEIGHTS}")
