# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Our tracer behind HTTP: the official ``/query`` protocol and an OpenAI-compatible endpoint."""
