"""Reading what a sub-model of either format is: its interface, its digest, its safety.

As a program it reads sub-models in a process of its own, for `inspection_cache`: JSON in
(name: sub-model, path), JSON out (name: an inspection, or a list of problems). Applications and
presets are made first.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from tfx_fusion.modules.errors import SpecificationError, UserError, library_cause
from tfx_fusion.modules.files import whole_folder
from tfx_fusion.modules.spec import Submodel
from tfx_fusion.modules.submodels import keras_file, saved_model
from tfx_fusion.modules.submodels.graph_safety import check_links
from tfx_fusion.modules.submodels.interface import Inspection

# A sub-model's copy inside its artifact.
KERAS_NAME = "model.keras"
SAVED_MODEL_NAME = "model"


def detect_format(path: Path) -> str:
    """`keras` or `saved_model`. Raises UserError where the path is neither."""
    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    if path.is_dir():
        if (path / saved_model.GRAPH).is_file():
            return "saved_model"
        raise UserError(f"{path}: expected a SavedModel folder, found no {saved_model.GRAPH} in it")
    if path.suffix == ".keras":
        return "keras"
    raise UserError(
        f"{path}: expected a .keras file or a SavedModel folder; a model of another format can be "
        "saved as either by Keras (`model.save('model.keras')` or `model.export('folder')`)"
    )


def copy_submodel(path: Path, folder: Path) -> Path:
    """Copies a `.keras` file or SavedModel folder into `folder`, whole or not at all.

    Raises UserError where a link in the folder leads out of it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if detect_format(path) == "keras":
        shutil.copy2(path, folder / KERAS_NAME)
        return folder / KERAS_NAME
    check_links(path)
    with whole_folder(folder / SAVED_MODEL_NAME) as aside:
        shutil.copytree(path, aside, dirs_exist_ok=True)
    return folder / SAVED_MODEL_NAME


def copied_submodel(folder: Path) -> Path:
    """The copy inside an artifact's folder."""
    keras_file = folder / KERAS_NAME
    return keras_file if keras_file.is_file() else folder / SAVED_MODEL_NAME


def inspect_submodel(
    path: Path,
    signature: str | None = None,
    custom_objects: Sequence[str] = (),
    allow_ops: Sequence[str] = (),
) -> Inspection:
    """Loads a sub-model safely and reads its interface; takes the digest of what it is made of.

    Raises UserError where it cannot be loaded, is unsafe, or has a weight that is not finite.
    """
    if detect_format(path) == "keras":
        if signature is not None:
            raise UserError(f"{path}: a .keras file has no signatures; take the key away")
        model = keras_file.load_model(path, custom_objects)
        weights = keras_file.weights_of(model)
        # Keras's own layers draw in training only.
        drawn = keras_file.drawn_outputs(model) if custom_objects else set()
        interface = keras_file.read_interface(model, drawn)
        architecture = keras_file.digest_architecture(path)
    else:
        loaded = saved_model.load(path, allow_ops)
        function = loaded.signatures[saved_model.pick_signature(path, loaded, signature)]
        saved_model.check_stateless(path, function)
        # Before the interface: what it calls may count its calls in a variable.
        weights = saved_model.weights_of(function)
        interface = saved_model.read_interface(path, function)
        architecture = saved_model.digest_architecture(path)
    digest = hashlib.sha256(architecture)
    for name, value in weights.items():
        # NumPy does not count bfloat16 among its floating types.
        if "float" in value.dtype.name:
            bad = int(np.size(value) - np.isfinite(value.astype(np.float32)).sum())
            if bad:
                raise UserError(
                    f"{path}: the weight '{name}' has {bad} values that are NaN or infinite "
                    f"(of {np.size(value)}); the model was damaged in training: save a valid one"
                )
        digest.update(f"{name} {value.dtype} {value.shape}".encode())
        digest.update(value.tobytes())
    return Inspection(interface=interface, digest=digest.hexdigest())


def _read(submodel: Submodel, path: Path) -> dict[str, Any]:
    try:
        if submodel.path is None:
            # Imports what a plain file does not need.
            from tfx_fusion.modules.submodels.sources import write_model

            write_model(submodel, path)
        inspection = inspect_submodel(
            path, submodel.signature, submodel.custom_objects, submodel.allow_ops
        )
        return {"inspection": inspection.model_dump(mode="json")}
    except SpecificationError as error:
        return {"problems": error.problems}
    except UserError as error:
        return {"problems": [f"{submodel.source[0]}: {error}"]}
    except Exception as error:  # a damaged file may make Keras or TensorFlow raise anything
        return {
            "problems": [
                f"{submodel.source[0]}: {path}: the model cannot be read, it is damaged or of "
                f"another version: {library_cause(error)}"
            ]
        }


def main() -> None:
    """Reads the sub-models on stdin and prints the answers."""
    # Downloads print their progress to stdout, which is for the answers.
    with redirect_stdout(sys.stderr):
        answers = {
            name: _read(Submodel.model_validate(wanted["submodel"]), Path(wanted["path"]))
            for name, wanted in json.load(sys.stdin).items()
        }
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
