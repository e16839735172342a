"""How Beam runs on this machine."""

from __future__ import annotations

BEAM_ARGS = (
    # Pinned: Beam's DirectRunner would first look for another runner, and download it.
    "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner",
    # That runner starts no container. Naming one keeps TFX from packing itself up for workers
    # elsewhere, two seconds a stage (tfx/utils/dependency_utils.py).
    "--sdk_container_image=none",
)
