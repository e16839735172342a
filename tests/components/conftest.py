"""What tests of components share. TFX takes long to import, so it is imported where it is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from executions import examples_of, run_training

if TYPE_CHECKING:
    from tfx_fusion.modules.spec import Specification


@pytest.fixture(scope="session")
def run_trainer(shared_training_inputs: Any) -> Callable[..., dict[str, Any]]:
    """Runs FusionTrainer's executor on the shared rows; returns the artifacts that it filled."""

    def run(specification: Specification, folder: Path, **options: Any) -> dict[str, Any]:
        inputs = shared_training_inputs
        examples = examples_of(inputs.splits["train"].parent, list(inputs.splits))
        return run_training(specification, [examples], inputs.transform_graph, folder, **options)

    return run
