"""How Beam runs on this machine."""

from __future__ import annotations

# Pinned: Beam's DirectRunner would first look for another runner, and download it.
BEAM_ARGS = ("--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner",)
