# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Where exported graphs lie and whether they still fit; nothing of torch or ONNX in here.

An archive holds two graphs without weights: these are read from the checkpoint's safetensors when a
session begins, so that one archive of some ten kilobytes serves every checkpoint of one architecture.
It lies beside the weights (a shipped checkpoint) or in the user's cache, and carries the key of what
it was made from: sizes of the weights, configuration and the code of the model. Any difference makes
it stale.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import re
import struct
import tempfile
import tokenize
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from robotracer_ros.errors import CheckpointError

ARCHIVE = 'onnx.zip'
_PARTS = ('prefix.onnx', 'step.onnx')
_ABOUT = 'about.json'
#: what does not change the graphs
_IDLE_KEYS = {
    'transformers_version', 'dtype', 'torch_dtype', 'architectures', '_name_or_path', 'auto_map',
}
_PACKAGE = 'robotracer_ros.tracer'
_ROOTS = ('onnx_export', 'onnx_modules', 'onnx_ops', 'model.modeling')


@dataclass(frozen=True)
class Graphs:
    """Both graphs as ONNX bytes, and what is told about them.

    ``about`` holds ``key``, ``image_width``, ``image_height``, ``prefix_tokens``, ``layers``,
    ``kv_heads``, ``head_dim``, ``first_position`` and, per graph, the names of the ``weights``.
    """

    prefix: bytes
    step: bytes
    about: dict[str, Any]


class UnusableGraphsError(Exception):
    """An archive is missing, broken or stale; the text says which."""


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a checkpoint, those of its index where there is one.

    Raises:
        CheckpointError: the index is broken or names a file that is missing.
    """
    index = folder / 'model.safetensors.index.json'
    if not index.exists():
        return sorted(folder.glob('*.safetensors'))
    try:
        found = [folder / name for name in sorted(set(_json(index)['weight_map'].values()))]
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"'{index}' is no index of weights: {error!r}") from error
    for path in found:
        if not path.is_file() or path.parent != folder:
            raise CheckpointError(f"'{index}' names '{path.name}', which is not in the folder")
    return found


def architecture_key(folder: Path) -> str:
    """Return the key of a checkpoint's graphs: configuration, weight sizes and code.

    Raises:
        CheckpointError: configuration or weights cannot be read.
    """
    shapes = {
        name: entry['shape']
        for path in weight_files(folder)
        for name, entry in _safetensors_header(path).items()
        if name != '__metadata__'
    }
    told = [_essential(_json(folder / 'config.json')), shapes, code_key()]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]


@cache
def code_key() -> str:
    """Return the hash of the code that the graphs are made from; comments and layout do not count."""
    digest = hashlib.sha256()
    for name, source in sorted(_sources().items()):
        digest.update(f'{name}\n{_essence(source)}\n'.encode())
    return digest.hexdigest()


def cached(key: str) -> Path:
    """Return where the user's cache keeps the graphs of a key."""
    root = os.environ.get('XDG_CACHE_HOME', '')
    base = Path(root) if os.path.isabs(root) else Path.home() / '.cache'
    return base / 'robotracer' / 'onnx' / f'{key}.zip'


def find_graphs(folder: Path) -> Graphs:
    """Return the graphs of a checkpoint, from its folder or from the user's cache.

    Raises:
        UnusableGraphsError: there are none that fit; the text says why not.
        CheckpointError: the checkpoint cannot be read.
    """
    key = architecture_key(folder)
    reasons = []
    for path in (folder / ARCHIVE, cached(key)):
        try:
            return read_graphs(path, key)
        except UnusableGraphsError as error:
            reasons.append(str(error))
    raise UnusableGraphsError('; '.join(reasons))


def read_graphs(path: Path, key: str) -> Graphs:
    """Read an archive.

    Raises:
        UnusableGraphsError: it is missing, broken, or made from something else than ``key``.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # checks a sum of every part
            prefix, step = (archive.read(part) for part in _PARTS)
            about = json.loads(archive.read(_ABOUT))
            made_from = about['key']
    except FileNotFoundError as error:
        raise UnusableGraphsError(f"'{path}' does not exist") from error
    except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError, EOFError) as error:
        raise UnusableGraphsError(f"'{path}' is broken: {error}") from error
    if made_from != key:
        raise UnusableGraphsError(
            f"'{path}' is stale: made from another architecture or another version of the code"
        )
    return Graphs(prefix, step, about)


def write_graphs(path: Path, graphs: Graphs) -> None:
    """Write an archive; whoever reads meanwhile sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = dict(zip(_PARTS, (graphs.prefix, graphs.step), strict=True))
    parts[_ABOUT] = json.dumps(graphs.about, indent=1, sort_keys=True).encode()
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix='.part', delete=False) as file:
        try:
            with zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
                for name, content in parts.items():
                    # A fixed date: the same graphs make the same bytes.
                    archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content,
                                     zipfile.ZIP_DEFLATED)
            file.flush()
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"'{path}' cannot be read: {error}") from error


def _safetensors_header(path: Path) -> dict[str, Any]:
    """Read names, types and shapes without the numbers."""
    try:
        with path.open('rb') as file:
            (length,) = struct.unpack('<Q', file.read(8))
            if length > path.stat().st_size:
                raise ValueError(f'a header of {length} bytes in a file of {path.stat().st_size}')
            header = json.loads(file.read(length))
        if not isinstance(header, dict):
            raise ValueError('the header is no object')
        return header
    except (OSError, ValueError, struct.error) as error:
        raise CheckpointError(f"'{path}' is no safetensors file: {error}") from error


def _essential(config: Any) -> Any:
    if isinstance(config, dict):
        return {k: _essential(v) for k, v in config.items() if k not in _IDLE_KEYS}
    return [_essential(v) for v in config] if isinstance(config, list) else config


def _sources() -> dict[str, str]:
    """Return the source of the modules that the export traces, by name, following imports."""
    found: dict[str, str] = {}
    waiting = list(_ROOTS)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        *folder, module = name.split('.')
        path = files(_PACKAGE).joinpath(*folder, f'{module}.py')
        found[name] = path.read_text(encoding='utf-8')
        waiting += re.findall(rf'from {re.escape(_PACKAGE)}\.(model\.\w+) import', found[name])
    return found


def _essence(source: str) -> str:
    """Return the code of a module without comments, docstrings and white space."""
    lines = source.splitlines(keepends=True)
    for first, last in _docstrings(ast.parse(source)):
        lines[first - 1 : last] = ['\n'] * (last - first + 1)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column] + '\n'
    return ''.join(''.join(lines).split())


def _docstrings(tree: ast.AST) -> Iterator[tuple[int, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            head = node.body[0] if node.body else None
            if isinstance(head, ast.Expr) and isinstance(head.value, ast.Constant):
                yield head.lineno, head.end_lineno or head.lineno
