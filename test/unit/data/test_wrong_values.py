# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Annotations that are whole files with wrong values in them: every reader gives a frame or names the file."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recordings import write_agibot, write_droid, write_lerobot
from scan_layouts import embodiedscan_infos, write_embodiedscan, write_scannet, write_tar
from test_scan_layouts import members, shot
from test_video_layouts import ACTIONS, recording

from robotracer_ros.data.options import with_options
from robotracer_ros.data.scans import embodiedscan
from robotracer_ros.data.scans.ca1m import Ca1mScan
from robotracer_ros.data.scans.generate import find_scans, open_scan
from robotracer_ros.data.scans.scannet import ScanNetScan
from robotracer_ros.data.video.agibot import AgibotReader
from robotracer_ros.data.video.droid import DroidReader
from robotracer_ros.data.video.lerobot import LeRobotReader
from robotracer_ros.data.video.lerobot_keys import LeRobotKeys
from robotracer_ros.errors import InvalidParameterError

JUNK = (None, 'x', '', -1, 0, 2.5, 1e300, float('nan'), True, [], {}, [None], {'a': 1}, [[1, 2], [3]], 10**30)


def spots(tree: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a tree of containers, arrays as leaves."""
    inside = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [at, *(s for key, value in inside for s in spots(value, (*at, key)))]


def wronged(tree: Any, rng: np.random.Generator) -> Any:
    """A copy with something else at one place: shallow places as often as deep ones."""
    found = spots(tree)
    depth = int(rng.integers(1 + max(len(s) for s in found)))
    level = [s for s in found if len(s) == depth]
    spot = level[int(rng.integers(len(level)))]
    value = JUNK[int(rng.integers(len(JUNK)))]
    if not spot:
        return value
    changed = copy.deepcopy(tree)
    inner = changed
    for key in spot[:-1]:
        inner = inner[key]
    inner[spot[-1]] = value
    return changed


def named_only(read: Callable[[], object], what: str) -> int:
    """Read; count an error that is one of ours, and let any other tell what provoked it."""
    try:
        read()
    except InvalidParameterError:
        return 1
    except Exception as error:
        raise AssertionError(f'{what}: {type(error).__name__}: {error}') from error
    return 0


def wrong_json(files: list[Path], read: Callable[[], object], times: int, seed: int) -> None:
    """Read with one of some JSON files wronged, many times."""
    rng = np.random.default_rng(seed)
    refused = 0
    for path in files:
        before = path.read_text()
        tree = json.loads(before)
        for _ in range(times):
            text = json.dumps(wronged(tree, rng))
            path.write_text(text)
            refused += named_only(read, f'{path.name}: {text[:400]}')
        path.write_text(before)
    assert refused > times * len(files) / 20
    assert named_only(read, 'as written') == 0


def test_lerobot(tmp_path: Path) -> None:
    options = with_options(LeRobotKeys(), write_lerobot(tmp_path, [recording()]))
    wrong_json([tmp_path / 'meta/info.json'], lambda: LeRobotReader(tmp_path, options).read('0'), 40, 1)


def test_droid(tmp_path: Path) -> None:
    folder = write_droid(tmp_path, recording())

    def read() -> None:
        reader = DroidReader(tmp_path)
        reader.read(reader.references()[0])

    wrong_json([*sorted(folder.glob('metadata_*.json')), *sorted((tmp_path / 'annotations').iterdir())], read, 12, 2)


def test_agibot(tmp_path: Path) -> None:
    write_agibot(tmp_path, recording(), ACTIONS)

    def read() -> None:
        reader = AgibotReader(tmp_path)
        reader.read(reader.references()[0])

    wrong_json(sorted(tmp_path.rglob('*.json')), read, 12, 3)


def test_scannet(tmp_path: Path) -> None:
    folder = write_scannet(tmp_path, shot()[0], [shot()[1]])
    wrong_json(sorted(folder.glob('*.json')), lambda: ScanNetScan(folder).read('0'), 30, 4)


def test_ca1m(tmp_path: Path) -> None:
    whole, rng, refused = members(), np.random.default_rng(5), 0
    names = [n for n in whole if n.endswith('.json') and 'wide/depth' not in n and 'RT' not in n]
    path = tmp_path / 'ca1m-val-42898570.tar'
    for i in range(60):
        name = names[i % len(names)]
        text = json.dumps(wronged(json.loads(whole[name]), rng))
        write_tar(path, {**whole, name: text.encode()})
        refused += named_only(lambda: Ca1mScan(path).read('1000'), f'{name}: {text[:400]}')
    assert refused > 10


def test_embodiedscan(tmp_path: Path) -> None:
    file = write_embodiedscan(tmp_path, *shot())
    infos, rng, refused = embodiedscan_infos(shot()[0]), np.random.default_rng(6), 0

    def read() -> None:
        for where in find_scans('embodiedscan', tmp_path):
            scan = open_scan('embodiedscan', where)
            for name in scan.names:
                scan.read(name)

    for _ in range(60):
        wrong = wronged(infos, rng)
        file.write_bytes(pickle.dumps(wrong))
        embodiedscan._annotations.cache_clear()
        refused += named_only(read, repr(wrong)[:400])
    embodiedscan._annotations.cache_clear()
    assert refused > 10


@pytest.mark.parametrize('value', [{'alignment': {'invalid': 'maybe'}}, {'gripper': 3}, {'max_keypoints': 2.5}])
def test_options(value: dict[str, Any]) -> None:
    from robotracer_ros.data.video.config import VideoConfig

    with pytest.raises(InvalidParameterError, match=r"option '(alignment\.invalid|gripper|max_keypoints)'"):
        with_options(VideoConfig(), value)


@pytest.mark.parametrize('value', [{'intrinsics': [1.0, 'x', 2.0, 3.0]}, {'intrinsics': [True]}, {'instructions': [1]}])
def test_items_of_options(value: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameterError, match=r"option '\w+\[\d\]' is .*: must be a (float|str)"):
        with_options(LeRobotKeys(), value)
    assert with_options(LeRobotKeys(), {'intrinsics': [30, 31.5]}).intrinsics == (30.0, 31.5)
