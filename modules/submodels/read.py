"""Reads sub-models in a process of its own: JSON in (name: sub-model, path), JSON out.

Applications and presets are made first. An answer is an inspection, or a list of problems.
"""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from tfx_fusion.modules.errors import SpecificationError, UserError
from tfx_fusion.modules.spec import Submodel
from tfx_fusion.modules.submodels.inspection import inspect_submodel


def main() -> None:
    # Downloads tell how far they are on the stream that the answers go to.
    with redirect_stdout(sys.stderr):
        answers = {
            name: _read(Submodel.model_validate(wanted["submodel"]), Path(wanted["path"]))
            for name, wanted in json.load(sys.stdin).items()
        }
    print(json.dumps(answers))


def _read(submodel: Submodel, path: Path) -> dict[str, Any]:
    try:
        if submodel.path is None:
            # Imports what a plain file has no need of.
            from tfx_fusion.modules.submodels.make import make

            make(submodel, path)
        inspection = inspect_submodel(path, submodel.signature, submodel.custom_objects)
        return {"inspection": inspection.model_dump(mode="json")}
    except SpecificationError as error:
        return {"problems": error.problems}
    except UserError as error:
        return {"problems": [f"{submodel.source[0]}: {error}"]}


if __name__ == "__main__":
    main()
