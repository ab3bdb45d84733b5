# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Every error this suite reports, one class per number of ``robotracer_msgs/msg/ErrorCode.msg``.

A failure names the thing, the value and the limit. Nodes catch :class:`RobotracerError` at their boundary and copy
``code`` and the text into results and diagnostics; anything else is a fault of ours and becomes ``INTERNAL``.
"""

from __future__ import annotations

from typing import Any, ClassVar


class RobotracerError(Exception):
    """Base of all errors of the suite.

    Args:
        message: What failed, naming the thing, the value and the limit.
        **details: The offending values, kept as attributes of ``details`` for programs (JSON-serialisable).
    """

    code: ClassVar[int] = 900
    name: ClassVar[str] = 'INTERNAL'

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details


class InputError(RobotracerError):
    """Base of the 1xx errors: what cameras, depth and TF deliver."""


class NoImageError(InputError):
    """No colour image has been received yet."""

    code, name = 101, 'NO_IMAGE'


class NoDepthError(InputError):
    """Depth is required but none matches the image."""

    code, name = 102, 'NO_DEPTH'


class NoIntrinsicsError(InputError):
    """Camera intrinsics are missing or hold a focal length of zero."""

    code, name = 103, 'NO_INTRINSICS'


class UnsupportedEncodingError(InputError):
    """An image or depth encoding cannot be decoded."""

    code, name = 104, 'UNSUPPORTED_ENCODING'


class ResolutionMismatchError(InputError):
    """Colour, depth and intrinsics do not share one pixel grid."""

    code, name = 105, 'RESOLUTION_MISMATCH'


class StaleInputError(InputError):
    """The newest input is older than its limit."""

    code, name = 106, 'STALE_INPUT'


class NoTransformError(InputError):
    """The transform between two frames is unknown."""

    code, name = 107, 'NO_TRANSFORM'


class StaleTransformError(InputError):
    """A transform is known, but not at the wanted stamp."""

    code, name = 108, 'STALE_TRANSFORM'


class InvalidDepthError(InputError):
    """Depth holds no usable value where one is needed."""

    code, name = 109, 'INVALID_DEPTH'


class TracerError(RobotracerError):
    """Base of the 2xx errors: instruction and model."""


class InvalidInstructionError(TracerError):
    """The instruction is empty, too long, or not text."""

    code, name = 201, 'INVALID_INSTRUCTION'


class TraceParseError(TracerError):
    """The model's answer is not a trace."""

    code, name = 202, 'TRACE_PARSE'


class TracerTimeoutError(TracerError):
    """The deadline passed before the answer was complete."""

    code, name = 203, 'TRACER_TIMEOUT'


class TracerCancelledError(TracerError):
    """The caller cancelled the prediction."""

    code, name = 204, 'TRACER_CANCELLED'


class TracerBackendError(TracerError):
    """The backend failed: connection, memory, device."""

    code, name = 205, 'TRACER_BACKEND'


class CheckpointError(TracerError):
    """A checkpoint is missing, unsafe or does not fit."""

    code, name = 206, 'CHECKPOINT'


class PlanningError(RobotracerError):
    """Base of the 3xx errors.

    Args:
        message: What failed, naming the thing, the value and the limit.
        waypoint: Index of the trace point where it failed, or -1.
        **details: The offending values.
    """

    def __init__(self, message: str, *, waypoint: int = -1, **details: Any) -> None:
        super().__init__(message, **details)
        self.waypoint = waypoint


class InvalidTraceError(PlanningError):
    """A trace has too few points, is not finite or out of range."""

    code, name = 301, 'INVALID_TRACE'


class StaleTraceError(PlanningError):
    """A trace is older than ``max_trace_age_s``."""

    code, name = 302, 'STALE_TRACE'


class CorrectionTooLargeError(PlanningError):
    """A waypoint would have to move further than allowed."""

    code, name = 303, 'CORRECTION_TOO_LARGE'


class NoGraspError(PlanningError):
    """No grasp candidate is reachable and free of collision."""

    code, name = 304, 'NO_GRASP'


class UnreachableError(PlanningError):
    """No inverse kinematics solution exists for a pose."""

    code, name = 305, 'UNREACHABLE'


class StartInCollisionError(PlanningError):
    """The robot touches something before it moves."""

    code, name = 306, 'START_IN_COLLISION'


class PathInCollisionError(PlanningError):
    """There is no collision-free path along the trace."""

    code, name = 307, 'PATH_IN_COLLISION'


class PlanningTimeoutError(PlanningError):
    """The planner used up its time."""

    code, name = 308, 'PLANNING_TIMEOUT'


class TimingFailedError(PlanningError):
    """A path cannot be timed within the limits."""

    code, name = 309, 'TIMING_FAILED'


class LimitsViolatedError(PlanningError):
    """The independent check of a trajectory found a limit exceeded."""

    code, name = 310, 'LIMITS_VIOLATED'


class NoJointStateError(PlanningError):
    """Joint states are missing, stale or incomplete."""

    code, name = 311, 'NO_JOINT_STATE'


class ObjectNotFoundError(PlanningError):
    """There is no object segment at the first trace point."""

    code, name = 312, 'OBJECT_NOT_FOUND'


class ExecutionError(RobotracerError):
    """Base of the 4xx errors: what happens while moving."""


class BusyError(ExecutionError):
    """Another goal is running."""

    code, name = 401, 'BUSY'


class PreemptedError(ExecutionError):
    """A newer goal replaced this one."""

    code, name = 402, 'PREEMPTED'


class CancelledError(ExecutionError):
    """The client cancelled the motion."""

    code, name = 403, 'CANCELLED'


class ControllerRefusedError(ExecutionError):
    """The controller did not accept a trajectory."""

    code, name = 404, 'CONTROLLER_REFUSED'


class ControllerLostError(ExecutionError):
    """The controller or its feedback vanished while moving."""

    code, name = 405, 'CONTROLLER_LOST'


class TrackingError(ExecutionError):
    """The robot left the planned path by more than allowed."""

    code, name = 406, 'TRACKING_ERROR'


class PathBlockedError(ExecutionError):
    """Fresh depth shows an obstacle on the remaining path."""

    code, name = 407, 'PATH_BLOCKED'


class GraspFailedError(ExecutionError):
    """The gripper closed on nothing."""

    code, name = 408, 'GRASP_FAILED'


class ObjectDroppedError(ExecutionError):
    """The object was lost while carried."""

    code, name = 409, 'OBJECT_DROPPED'


class ConfigurationError(RobotracerError):
    """Base of the 5xx errors."""


class UnknownPluginError(ConfigurationError):
    """No plugin has that name."""

    code, name = 501, 'UNKNOWN_PLUGIN'


class InvalidParameterError(ConfigurationError):
    """A parameter value is out of range."""

    code, name = 502, 'INVALID_PARAMETER'


class RefusedWhileMovingError(ConfigurationError):
    """A change was asked for that is only allowed at rest."""

    code, name = 503, 'REFUSED_WHILE_MOVING'


class MissingPackageError(ConfigurationError):
    """An optional package is not installed."""

    code, name = 504, 'MISSING_PACKAGE'


class NotActiveError(ConfigurationError):
    """The lifecycle node is not active."""

    code, name = 505, 'NOT_ACTIVE'


def error_from_code(code: int, message: str) -> RobotracerError:
    """Rebuild an error that came as a number and a text, from a service response or a result.

    A number that this version does not know becomes INTERNAL and is named in the text.
    """
    waiting: list[type[RobotracerError]] = [RobotracerError]
    while waiting:
        cls = waiting.pop()
        # Bases inherit their parent's number; only the class that sets one stands for it.
        if 'code' in cls.__dict__ and cls.code == code:
            return cls(message)
        waiting.extend(cls.__subclasses__())
    return RobotracerError(f'unknown error {code}: {message}')
