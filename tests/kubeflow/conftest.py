"""Fixtures of the tests of a submission: servers, and a small pipeline written by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from kfp_api import FakeKfp
from kubernetes_api import FakeKubernetes
from rich.console import Console
from small_pipeline import PIPELINE, compiled

from tfx_fusion.kubeflow.kfp_server import Server
from tfx_fusion.kubeflow.run_monitor import Pace
from tfx_fusion.kubeflow.submission import Submission
from tfx_fusion.modules.spec.kubeflow import Kubeflow

FAST = Pace(run=0.005, pods=0.0, stuck=0.05, lost=0.05)


@pytest.fixture
def kfp() -> FakeKfp:
    return FakeKfp()


@pytest.fixture
def host(kfp: FakeKfp) -> Iterator[str]:
    with kfp.serving() as address:
        yield address


@pytest.fixture(autouse=True)
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """There is no kubeconfig unless a test writes it here."""
    file = tmp_path / "kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(file))
    return file


@pytest.fixture
def cluster(tmp_path: Path, kubeconfig: Path) -> Iterator[FakeKubernetes]:
    fake = FakeKubernetes()
    with fake.with_kubeconfig(tmp_path):
        yield fake


@pytest.fixture
def printed() -> StringIO:
    """All that is printed."""
    return StringIO()


@pytest.fixture
def submit(host: str, tmp_path: Path, printed: StringIO) -> Callable[..., Submission]:
    """Makes a submission of the small pipeline; keys of `kubeflow` may be given."""

    def make(
        namespace: str | None = None,
        root: str = "minio://mlpipeline/fusion",
        yaml: str = PIPELINE,
        pace: Pace = FAST,
        **kubeflow: Any,
    ) -> Submission:
        section = Kubeflow.model_validate({"image": "registry.example/fusion:1", **kubeflow})
        return Submission(
            compiled(section, yaml), Server(host, namespace), root,
            namespace or "kubeflow", tmp_path / "runs" / "kubeflow",
            Console(file=printed, width=200), pace,
        )  # fmt: skip

    return make
