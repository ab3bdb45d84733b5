# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Models for ablations: the same network without one part. They are trained and compared, never shipped."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.tracer.model.config import RoboTracerConfig
from robotracer_ros.tracer.model.encoders import unpack
from robotracer_ros.tracer.model.modeling import (
    RoboTracerForConditionalGeneration,
    RoboTracerModel,
)
from robotracer_ros.tracer.model.reader import (
    _SHUT,
    DEPTH_RANGE,
    PLACE,
    PlaceView,
    SpotView,
    StepReader,
    Steps,
    _written,
    number_waves,
)
from robotracer_ros.tracer.model.said import Said
from robotracer_ros.tracer.model.support import SupportFrame
from robotracer_ros.training.config import SftConfig


def model_class(config: SftConfig) -> type[RoboTracerForConditionalGeneration]:
    """Return the class of a run's model: the shipped one unless a switch of the run says otherwise.

    Raises:
        InvalidParameterError: the switches do not go together, or the form of answers is unknown.
    """
    if config.answer_form not in ('uvd', 'xyz'):
        raise InvalidParameterError(f"answer_form '{config.answer_form}': must be uvd or xyz")
    if config.answer_form == 'xyz':
        if not config.spatial_encoder:
            raise InvalidParameterError('answer_form xyz needs the spatial encoder')
        return _Metric
    return RoboTracerForConditionalGeneration if config.spatial_encoder else _Flat


class FlatModel(RoboTracerModel):
    """Visual tokens of the RGB encoder alone: there is no spatial encoder and no projector of it.

    The readers still look up the sensor's depth where they point, and the camera: they are no encoder. A run that
    drops all geometry (``drop_rays``, ``drop_depth``, ``drop_pose`` 1) has none there either.
    """

    def __init__(self, config: RoboTracerConfig) -> None:
        super().__init__(config)
        del self.spatial_encoder, self.spatial_projector

    def visual_tokens(self, pixel_values: Tensor) -> Tensor:
        """Encode images: (B, C, H, W) packed pixels, of which RGB is looked at, to (B, N, width)."""
        rgb, _ = unpack(pixel_values)
        seen = self.vision_tower(pixel_values=rgb.to(self.dtype)).last_hidden_state
        return self.mm_projector(self._merged(seen)) + self.visual_position


class MetricModel(RoboTracerModel):
    """Readers that write camera-frame metres (x, y, z) in place of (u, v, d).

    Otherwise the readers would put u and v at the language head's hand where x and y are to be written, and the
    comparison would be one of readers. They find a place as in the shipped model, in (u, v, d), with the same losses;
    only what is written of it is in metres: the decimals of |x| and of |y|, then z as d. Signs and whole metres are
    left to the decoder. Where the camera is not known no reader can tell x and y, and u and v are written.
    """

    def __init__(self, config: RoboTracerConfig) -> None:
        super().__init__(config)
        self.step_reader = MetricStepReader(config.text_config.hidden_size)
        self.post_init()

    def views(
        self, visual: Tensor, pixel_values: Tensor
    ) -> tuple[PlaceView, SupportFrame, SpotView]:
        """Prepare what the readers look at; places are written in metres."""
        view, frame, spots = super().views(visual, pixel_values)
        places = view.places
        uvd = torch.cat([places[..., :2], places[..., 3:PLACE] * DEPTH_RANGE], -1)
        written = torch.cat([metric_readings(uvd, frame), places[..., PLACE:]], -1)
        waves = number_waves(written.transpose(-1, -2), self.reader.pairs)
        return view._replace(waves=waves), frame, spots


class MetricStepReader(StepReader):
    """Finds a place as the shipped one does, and writes it in metres."""

    def forward(
        self, hidden: Tensor, anchor: Tensor, frame: SupportFrame, said: Said
    ) -> tuple[Tensor, Steps]:
        """Add what :class:`StepReader` adds, with the codes of |x| and |y| in place of those of u and v."""
        read, steps = super().forward(hidden, anchor, frame, said)
        told = steps.place.detach()
        uv, xy = told[..., :2], metric_readings(told, frame)[..., :2]
        waves = number_waves(xy, self.pairs) - number_waves(uv, self.pairs)
        gates = (self.gate(hidden) - _SHUT).sigmoid()[..., :2, None]
        code = waves * gates * torch.cat([self.amplitude[:2]] * 2, -1)
        return _written(read, code.sum(-2)), steps


def metric_readings(uvd: Tensor, frame: SupportFrame) -> Tensor:
    """Return how places (B, T, 3) of u, v in 0..1 and d are written in metres: (B, T, 4).

    The decimals of |x|, of |y| and of z in the optical frame, and z / 4 m.
    """
    lens = frame.lens.float()
    d = uvd[..., 2:]
    xy = (lens[..., :2] + lens[..., 2:] * uvd[..., :2]) * d
    xy = torch.where(frame.known[..., None], xy.abs() % 1.0, uvd[..., :2])
    return torch.cat([xy, d - d.detach().floor(), d / DEPTH_RANGE], -1)


class _Variant(RoboTracerForConditionalGeneration):
    """The whole model around another core."""

    core: ClassVar[type[RoboTracerModel]]

    def __init__(self, config: RoboTracerConfig) -> None:
        # What a variant shares with the shipped model begins with the same weights, hence the same draws again.
        before = torch.get_rng_state()
        super().__init__(config)
        after = torch.get_rng_state()
        torch.set_rng_state(before)
        self.model = self.core(config)
        self.post_init()
        torch.set_rng_state(after)


class _Flat(_Variant):
    core = FlatModel


class _Metric(_Variant):
    core = MetricModel
