"""Values that are computed for a compiled pipeline; `test_compile.py` shows the whole."""

from __future__ import annotations

import pytest

from tfx_fusion.kubeflow.patch_pipeline_spec import in_bytes


@pytest.mark.parametrize(
    ("memory", "size"),
    [("128", 128), ("1k", 1e3), ("64Ki", 65536), ("500M", 5e8), ("1.5Gi", 1.5 * 2**30)],
)
def test_memory_is_read_as_kubernetes_reads_it(memory: str, size: float) -> None:
    assert in_bytes(memory) == size
