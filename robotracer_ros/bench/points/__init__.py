# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of points in masks and of traces in the picture, in their public layouts; doc/evaluation.md."""
