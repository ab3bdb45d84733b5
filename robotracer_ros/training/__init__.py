# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Training of the tracer: supervised fine-tuning and the scores that decide about it."""
