# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The planners and the controller of the planner node: made from parameters, swapped whole."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from robotracer_ros.control.base import Controller, RobotPort
from robotracer_ros.errors import NotActiveError
from robotracer_ros.nodes.diagnostics import as_error
from robotracer_ros.nodes.parameters import NodeParameters
from robotracer_ros.nodes.plugins import Role, make_plugin, plugin_options
from robotracer_ros.planning.base import Planner


class PluginSet:
    """Holds loaded planners by name and one controller. Thread-safe.

    Args:
        parameters: Of the node; ``<role>.plugin`` and ``<role>.<plugin>.*`` say what to make.
    """

    def __init__(self, parameters: NodeParameters) -> None:
        self._p = parameters
        self._lock = threading.RLock()
        self._planners: dict[str, Planner] = {}
        self._controller: Controller | None = None
        self._connected = False

    @property
    def loaded(self) -> bool:
        """Whether :meth:`load` was called and :meth:`close` not since."""
        return self._controller is not None

    def load(self) -> None:
        """Load the default planner and make the controller. Raises RobotracerError subclasses."""
        with self._lock:
            self.close()
            controller = self._make(Role.CONTROLLER, self._p.string('controller.plugin'), {})
            name = self._p.string('planner.plugin')
            self._planners[name] = self._load_planner(name, {})
            self._controller = controller

    def planner(self, name: str = '') -> Planner:
        """Return a loaded planner, the default one for an empty name; loads others when first used.

        Raises:
            UnknownPluginError: no such plugin; the text lists the known ones.
            RobotracerError: it does not load.
        """
        with self._lock:
            chosen = name or self._p.string('planner.plugin')
            if chosen not in self._planners:
                self._planners[chosen] = self._load_planner(chosen, {})
            return self._planners[chosen]

    def controller(self, port: RobotPort) -> Controller:
        """Return the controller, connected to the port. Raises ControllerLostError, NotActiveError."""
        with self._lock:
            if self._controller is None:
                raise NotActiveError('no controller is loaded: configure the node first')
            if not self._connected:
                self._controller.connect(port)
                self._connected = True
            return self._controller

    def disconnect(self) -> None:
        """Stop the robot and let go of the port; the next use connects again."""
        with self._lock:
            if self._controller is not None:
                self._controller.close()
            self._connected = False

    def swap(self, changes: Mapping[str, Any]) -> None:
        """Make what the parameters will name after ``changes`` and put it in place of the present.

        All is made before anything is replaced: whatever does not load leaves things as they are.
        Other planners that were loaded for single goals are dropped.

        Raises:
            RobotracerError: it does not load.
        """
        with self._lock:
            if not self.loaded:
                return
            planner: Planner | None = None
            name = str(changes.get('planner.plugin', self._p['planner.plugin']))
            if _touches('planner', changes):
                planner = self._load_planner(name, changes)
            try:
                controller = None
                if _touches('controller', changes):
                    chosen = str(changes.get('controller.plugin', self._p['controller.plugin']))
                    controller = self._make(Role.CONTROLLER, chosen, changes)
            except BaseException:
                if planner is not None:
                    planner.close()
                raise
            if planner is not None:
                for old in self._planners.values():
                    old.close()
                self._planners = {name: planner}
            if controller is not None:
                self.disconnect()
                self._controller = controller

    def close(self) -> None:
        """Stop the robot and free everything; may be called twice."""
        with self._lock:
            self.disconnect()
            self._controller = None
            planners, self._planners = self._planners, {}
            for planner in planners.values():
                planner.close()

    def _load_planner(self, name: str, changes: Mapping[str, Any]) -> Planner:
        planner: Planner = self._make(Role.PLANNER, name, changes)
        try:
            planner.load()
        except Exception as e:  # the boundary: a plugin may raise anything
            planner.close()
            raise as_error(e) from e
        return planner

    def _make(self, role: Role, name: str, changes: Mapping[str, Any]) -> Any:
        def group(prefix: str) -> dict[str, Any]:
            dot = f'{prefix}.'
            changed = {n[len(dot):]: v for n, v in changes.items() if n.startswith(dot)}
            return {k: v for k, v in {**self._p.group(prefix), **changed}.items() if v is not None}

        try:
            return make_plugin(role, name, plugin_options(role, name, group))
        except Exception as e:  # the boundary: a constructor may raise anything
            raise as_error(e) from e


def _touches(role: str, changes: Mapping[str, Any]) -> bool:
    return any(name.startswith(f'{role}.') for name in changes)
