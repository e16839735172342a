"""What a model says itself of its origin, where no run says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tfx_fusion.modules.registry.version_record import DataSource, Provenance, Source
from tfx_fusion.modules.spec import Fusion
from tfx_fusion.modules.training.export import SPECIFICATION_FILE
from tfx_fusion.modules.training.trained_values import read_trained

UNKNOWN = "unknown"


def origin_of(model: Path, evaluation: dict[str, Any]) -> Provenance:
    """The specification and the sub-models beside a SavedModel, or the reason why there are none.

    `evaluation` is by what it was judged, which training does not know. The run and the data are
    left to the caller.
    """
    data = DataSource(path="", fingerprint="")
    file = model / SPECIFICATION_FILE
    try:
        specification = Fusion.model_validate_json(file.read_text())
    except (OSError, ValidationError):
        reason = f"FusionTrainer did not make the model: it has no {SPECIFICATION_FILE}"
        known: dict[str, Any] = {UNKNOWN: reason, "evaluation": evaluation}
        return Provenance(specification=known, data=data, submodels={})
    trained = read_trained(model)
    digests = trained.digests if trained else {}
    return Provenance(
        specification={**specification.model_dump(mode="json"), "evaluation": evaluation},
        data=data,
        submodels={
            name: Source(
                digest=digests.get(name) or f"{UNKNOWN}: the model does not hold it",
                origin=submodel.origin or str(path),
            )
            for name, (submodel, path) in specification.imported().items()
        },
    )
