# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Operators of torch that the exporter does not know, or writes in a way that runs slowly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from onnxscript import opset20

OPSET = 20
#: its types tell what a graph holds, and say nothing of the constants that stand here
op: Any = opset20


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Return the table for ``torch.onnx.export``."""
    return {
        torch.ops.aten.nanmedian.dim: _nanmedian,
        torch.ops.aten.avg_pool2d.default: _avg_pool2d,
    }


def _nanmedian(self: Any, dim: int, keepdim: bool = False) -> tuple[Any, Any]:
    """Translate ``torch.nanmedian``: the lower median of what is a number, NaN where nothing is."""
    n = self.shape[dim]
    unknown = op.IsNaN(self)
    axis, zero = op.Constant(value_ints=[dim]), op.Constant(value_ints=[0])
    count = op.ReduceSum(op.Cast(op.Not(unknown), to=ir.DataType.INT64), axis, keepdims=1)
    last = op.Where(unknown, op.Constant(value_float=float(np.finfo(np.float32).max)), self)
    ordered, _ = op.TopK(last, op.Constant(value_ints=[(n + 1) // 2]), axis=dim, largest=0, sorted=1)
    middle = op.Div(op.Sub(count, op.Constant(value_ints=[1])), op.Constant(value_ints=[2]))
    at = op.Max(middle, zero)
    median = op.GatherElements(ordered, at, axis=dim)
    median = op.Where(op.Equal(count, zero), op.Constant(value_float=float('nan')), median)
    if keepdim:
        return median, at
    return op.Squeeze(median, axis), op.Squeeze(at, axis)


def _avg_pool2d(
    self: Any,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """Translate ``avg_pool2d``; a moving mean along one axis becomes a product with a band matrix.

    ONNX Runtime sums every window anew: the smoothing over 33 pixels took a fifth of the prefix.
    """
    if divisor_override is not None:
        raise ValueError('avg_pool2d with divisor_override')
    kernel = [int(k) for k in kernel_size]
    step = [int(s) for s in stride] or kernel
    pads = [int(p) for p in padding]
    same = all(k == 2 * p + 1 for k, p in zip(kernel, pads, strict=True))
    if step == [1, 1] and 1 in kernel and max(kernel) > 8 and same and not count_include_pad:
        vertical = kernel[1] == 1
        band = op.Constant(value=ir.tensor(_band(self.shape[2 if vertical else 3], max(pads))))
        return op.MatMul(band, self) if vertical else op.MatMul(self, op.Transpose(band, perm=[1, 0]))
    return op.AveragePool(
        self,
        kernel_shape=kernel,
        strides=step,
        pads=pads * 2,
        ceil_mode=int(ceil_mode),
        count_include_pad=int(count_include_pad),
    )


def _band(n: int, reach: int) -> np.ndarray:
    """Return the matrix (n, n) that takes the mean of what is at most ``reach`` away."""
    at = np.arange(n)
    near = np.abs(at[:, None] - at) <= reach
    return (near / near.sum(1, keepdims=True)).astype(np.float32)
