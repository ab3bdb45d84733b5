# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the robot must not do, as rows on the velocity v that hold exactly or not at all.

Everything but the feet has the form of a barrier: what is left of a distance h to a limit may shrink
by at most ``gain * h`` per second, so v = 0 is always allowed and nothing that is inside can leave.
In discrete time a tick oversteps by the curvature of h times (v dt)^2 / 2: some micrometres.
"""

from __future__ import annotations

import numpy as np
import pinocchio as pin
from numpy.typing import NDArray

from robotracer_ros.control.wbc.model import HumanoidModel
from robotracer_ros.errors import InvalidParameterError

Matrix = NDArray[np.float64]

GRAVITY = 9.81
#: kept beside the zero moment point's margin for what a tick does not see of the curvature, m
ZMP_SLACK_M = 0.003


class PlantedFeet:
    """Both soles stay where they were: 12 equations, with feedback against drift.

    Args:
        model: At the configuration whose soles are to be kept.
        gain: 1/s.
    """

    rows = 12

    def __init__(self, model: HumanoidModel, gain: float) -> None:
        self.gain = gain
        self.targets = [pin.SE3(model.placement(f)) for f in model.soles]

    def error(self, model: HumanoidModel) -> Matrix:
        """Return where the soles should be minus where they are (12,): metres and rad, world axes."""
        out = np.empty(12)
        for k, (frame, target) in enumerate(zip(model.soles, self.targets, strict=True)):
            place = model.placement(frame)
            out[6 * k : 6 * k + 3] = target.translation - place.translation
            out[6 * k + 3 : 6 * k + 6] = pin.log3(target.rotation @ place.rotation.T)
        return out

    def write(self, model: HumanoidModel, a: Matrix, lower: Matrix, upper: Matrix) -> float:
        """Fill rows (12, nv) and both bounds (12,); return the largest error."""
        a[:6] = model.frame_jacobian(model.soles[0])
        a[6:] = model.frame_jacobian(model.soles[1])
        error = self.error(model)
        np.multiply(error, self.gain, out=upper)
        lower[:] = upper
        return float(np.abs(error).max())


def support_polygon(points: Matrix) -> tuple[Matrix, Matrix]:
    """Return outward unit normals (E, 2) and offsets (E,) of the convex hull of points (N, 2+):
    inside is ``normals @ x <= offsets``.

    Raises:
        InvalidParameterError: the points span no area.
    """
    rows = np.unique(np.round(np.asarray(points)[:, :2], 9), axis=0)

    def chain(ordered: Matrix) -> list[Matrix]:
        out: list[Matrix] = []
        for p in ordered:
            while len(out) > 1:
                (ux, uy), (wx, wy) = out[-1] - out[-2], p - out[-2]
                if ux * wy - uy * wx > 1e-8:  # else the middle one is on a straight edge
                    break
                out.pop()
            out.append(p)
        return out[:-1]

    hull = np.array(chain(rows) + chain(rows[::-1])).reshape(-1, 2)
    after = np.roll(hull, -1, axis=0)
    area = float(np.sum(hull[:, 0] * after[:, 1] - hull[:, 1] * after[:, 0])) / 2
    if len(hull) < 3 or area < 1e-4:
        raise InvalidParameterError(f'support polygon of {len(points)} points has an area of '
                                    f'{area * 1e4:.2f} cm2: must be at least 1')
    edges = after - hull
    normals = np.stack([edges[:, 1], -edges[:, 0]], axis=1)
    normals /= np.linalg.norm(edges, axis=1)[:, None]
    return normals, np.einsum('ij,ij->i', normals, hull)


class Balance:
    """Centre of mass and zero moment point stay over the feet.

    One row per edge of the support polygon bounds the centre of mass's speed c' towards it from
    above (barrier on its distance d less the margin) and from below (braking at most so hard that
    the zero moment point c - (z / g) c'' keeps its own margin). With the barrier's gain below
    sqrt(g / z) braking never needs more than it is allowed.

    Args:
        model: With the feet where they will stay.
        gain: Of the barrier, 1/s.
        margin: Of the centre of mass, metres.
        zmp_margin: Of the zero moment point, metres.
        period: Seconds per tick.
    """

    def __init__(self, model: HumanoidModel, gain: float, margin: float, zmp_margin: float,
                 period: float) -> None:
        points = model.contact_points()
        self.normals, self.offsets = support_polygon(points)
        #: (2,) middle of the contact points, where the centre of mass rests best
        self.centre: Matrix = points[:, :2].mean(axis=0)
        self.gain, self.margin, self.zmp_margin, self.period = gain, margin, zmp_margin, period
        self.rows = len(self.offsets)

    def distance(self, model: HumanoidModel) -> float:
        """Return the distance (m) of the centre of mass to the nearest edge, negative outside."""
        return float((self.offsets - self.normals @ model.com[:2]).min())

    def write(self, model: HumanoidModel, previous: Matrix, a: Matrix, lower: Matrix,
              upper: Matrix) -> float:
        """Fill rows (E, nv) and bounds (E,); return the distance to the nearest edge.

        Args:
            model: At the present configuration.
            previous: (3,) velocity of the centre of mass in the tick before.
            a: Rows.
            lower: Lower bounds.
            upper: Upper bounds.
        """
        left = self.offsets - self.normals @ model.com[:2]
        np.matmul(self.normals, model.com_jacobian[:2], out=a)
        np.multiply(left - self.margin, self.gain, out=upper)
        lower[:] = self._braking(model, previous, left - self.zmp_margin - ZMP_SLACK_M)
        # What the barrier asks for goes before how hard may be braked.
        np.minimum(lower, upper, out=lower)
        return float(left.min())

    def edge(self, model: HumanoidModel, previous: Matrix) -> Matrix:
        """Return lower bounds (E,) that let the zero moment point go up to the very edge."""
        return self._braking(model, previous, self.offsets - self.normals @ model.com[:2])

    def _braking(self, model: HumanoidModel, previous: Matrix, room: Matrix) -> Matrix:
        """Return the lowest speeds (E,) with which the zero moment point moves out by ``room``."""
        step = GRAVITY * self.period / float(model.com[2])
        lowest: Matrix = self.normals @ previous[:2] - room * step
        return lowest


class JointBounds:
    """Bounds on every velocity: positions, speeds and accelerations of the joints; the base is free.

    Args:
        lower: Positions (29,), rad.
        upper: Positions (29,), rad.
        velocity: (29,) rad/s.
        acceleration: (29,) rad/s^2.
        gain: Of the barriers at the position limits, 1/s.
        period: Seconds per tick.
    """

    #: the base moves as legs and feet let it; metres and rad per second
    BASE = 10.0

    def __init__(self, lower: Matrix, upper: Matrix, velocity: Matrix, acceleration: Matrix,
                 gain: float, period: float) -> None:
        self.lower, self.upper = lower, upper
        self.velocity, self.gain = velocity, gain
        self._change = acceleration * period

    def positions(self, q: Matrix) -> tuple[Matrix, Matrix]:
        """Return the bounds (29,) that the position limits alone put on velocities."""
        return (self.lower - q[7:]) * self.gain, (self.upper - q[7:]) * self.gain

    def write(self, q: Matrix, previous: Matrix, low: Matrix, high: Matrix,
              braking: bool = False) -> None:
        """Fill bounds (nv,).

        Args:
            q: Configuration (nq,).
            previous: (nv,) velocity of the tick before.
            low: Lower bounds.
            high: Upper bounds.
            braking: Leave the accelerations out.
        """
        low[:6], high[:6] = -self.BASE, self.BASE
        near, far = self.positions(q)
        np.clip(near, -self.velocity, self.velocity, out=low[6:])
        np.clip(far, -self.velocity, self.velocity, out=high[6:])
        if not braking:
            # A position limit goes before an acceleration.
            np.minimum(np.maximum(low[6:], previous[6:] - self._change), high[6:], out=low[6:])
            np.maximum(np.minimum(high[6:], previous[6:] + self._change), low[6:], out=high[6:])
