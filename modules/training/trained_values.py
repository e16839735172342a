"""The values that training may change, by name, in the exported model for the next warm start.

A name is a variable's place in the specification, `graph/NODE/POSITION/VARIABLE`,
`submodels/SUBMODEL/LAYER/VARIABLE`, `missing/REFERENCE/VARIABLE` or `units/OUTPUT/VARIABLE`: it is
the same in every process, and in specifications that differ elsewhere.
"""

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.graph.build import FusedModel
from tfx_fusion.modules.submodels.layer import by_name
from tfx_fusion.modules.training.checkpoint import storable, values
from tfx_fusion.modules.training.frozen_proof import Digests
from tfx_fusion.modules.training.unusable_rows import UnusableRow

TRAINED_FILE = "assets.extra/trained.npz"
DIGESTS, UNUSABLE = "digests", "unusable"  # beside the values, whose names all hold a slash


@dataclass(frozen=True)
class Trained:
    """Trained values by name, the digest of each sub-model's imported file, and the rows that
    training has left out."""

    values: dict[str, np.ndarray]
    digests: dict[str, str]
    unusable: tuple[UnusableRow, ...] = ()


def trained_variables(fused: FusedModel, frozen: Digests) -> dict[str, keras.Variable]:
    """Every variable of the head, and of sub-models all but what stays frozen throughout."""
    named = {
        f"graph/{node}/{position}/{name}": variable
        for node, layers in fused.layers.items()
        for position, layer in enumerate(layers)
        for name, variable in by_name(layer).items()
    }
    for reference, layer in fused.replacements.items():
        for name, variable in by_name(layer).items():
            named[f"missing/{reference}/{name}"] = variable
    for output, units in fused.units.items():
        for name, variable in by_name(units).items():
            named[f"units/{output}/{name}"] = variable
    for submodel, layer in fused.submodels.items():
        variables = layer.frozen_variables()
        never = {id(variables[path]) for path in frozen[submodel]}
        for name, variable in layer.named_weights().items():
            if id(variable) not in never:
                named[f"submodels/{submodel}/{name}"] = variable
    return named


def write_trained(trained: Trained, folder: Path) -> None:
    """Writes the values into a SavedModel's folder, beside what TF Serving reads."""
    file = folder / TRAINED_FILE
    file.parent.mkdir(exist_ok=True)
    beside = {DIGESTS: trained.digests, UNUSABLE: trained.unusable}
    arrays: dict[str, Any] = {name: np.array(json.dumps(found)) for name, found in beside.items()}
    np.savez(file, **{**arrays, **trained.values})


def read_trained(version: Path) -> Trained | None:
    """The values in a published version; None where an older layout has none.

    Raises RunError where the file is damaged.
    """
    file = version / TRAINED_FILE
    if not file.is_file():
        return None
    try:
        with np.load(file, allow_pickle=False) as stored:
            digests = json.loads(str(stored[DIGESTS]))
            unusable = json.loads(str(stored[UNUSABLE])) if UNUSABLE in stored else []
            beside = (DIGESTS, UNUSABLE)
            values = {name: stored[name] for name in stored.files if name not in beside}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise RunError(
            f"{file}: expected the trained values of the last published model, the file is "
            f"damaged ({error}): delete the version folder to start from the version before, or "
            "remove training.warm_start"
        ) from error
    return Trained(values, digests, tuple(UnusableRow(*row) for row in unusable))


def values_of(variables: dict[str, keras.Variable]) -> dict[str, np.ndarray]:
    """Copies of the values, as a NumPy file holds them."""
    copies = values(list(variables.values()))
    return dict(zip(variables, map(storable, copies), strict=True))
