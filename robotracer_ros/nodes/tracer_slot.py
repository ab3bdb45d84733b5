# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The tracer plugin in use: loaded from parameters, swapped only when the new one works."""

from __future__ import annotations

import threading
from typing import Any

from robotracer_ros.errors import NotActiveError
from robotracer_ros.nodes.diagnostics import as_error
from robotracer_ros.nodes.parameters import NodeParameters
from robotracer_ros.nodes.plugins import Role, make_plugin, plugin_options
from robotracer_ros.tracer.base import Tracer


class TracerSlot:
    """Holds at most one loaded tracer.

    Args:
        parameters: Of the node; ``tracer.plugin``, ``tracer.checkpoint`` and
            ``tracer.<plugin>.*`` say what to load.
    """

    def __init__(self, parameters: NodeParameters) -> None:
        self._p = parameters
        self._lock = threading.Lock()
        self._tracer: Tracer | None = None
        self._staged: Tracer | None = None

    @property
    def loaded(self) -> bool:
        """Whether a tracer is loaded."""
        return self._tracer is not None

    @property
    def tracer(self) -> Tracer:
        """The loaded tracer. Raises NotActiveError without one."""
        with self._lock:
            if self._tracer is None:
                raise NotActiveError('no tracer is loaded: configure the node first')
            return self._tracer

    def load(self) -> None:
        """Load what the parameters name. Raises RobotracerError subclasses; then nothing is held."""
        self.close()
        tracer = self._make({})
        with self._lock:
            self._tracer = tracer

    def stage(self, changes: dict[str, Any]) -> None:
        """Load what the parameters will name after ``changes``, beside the present tracer.

        Raises:
            RobotracerError: it does not load; the present tracer stays.
        """
        self._drop_staged()
        self._staged = self._make(changes)

    def commit(self) -> bool:
        """Replace the present tracer by the staged one; return whether there was one."""
        with self._lock:
            staged, self._staged = self._staged, None
            if staged is None:
                return False
            old, self._tracer = self._tracer, staged
        if old is not None:
            old.close()
        return True

    def close(self) -> None:
        """Free everything."""
        self._drop_staged()
        with self._lock:
            old, self._tracer = self._tracer, None
        if old is not None:
            old.close()

    def unloaded(self) -> Tracer:
        """Make the tracer that the parameters name without loading it."""
        return self._new({})

    def _drop_staged(self) -> None:
        staged, self._staged = self._staged, None
        if staged is not None:
            staged.close()

    def _new(self, changes: dict[str, Any]) -> Tracer:
        def value(name: str) -> Any:
            return changes.get(name, self._p[name])

        def group(prefix: str) -> dict[str, Any]:
            dot = f'{prefix}.'
            changed = {n[len(dot):]: v for n, v in changes.items() if n.startswith(dot)}
            return {k: v for k, v in {**self._p.group(prefix), **changed}.items() if v is not None}

        name = str(value('tracer.plugin'))
        options = plugin_options(Role.TRACER, name, group,
                                 {'checkpoint': value('tracer.checkpoint')})
        tracer: Tracer = make_plugin(Role.TRACER, name, options)
        return tracer

    def _make(self, changes: dict[str, Any]) -> Tracer:
        try:
            tracer = self._new(changes)
            try:
                tracer.load()
            except BaseException:
                tracer.close()
                raise
        except Exception as e:  # the boundary: a plugin may raise anything
            raise as_error(e) from e
        return tracer
