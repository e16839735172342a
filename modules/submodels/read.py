"""Reads sub-models in a process of its own: JSON in (name: path, signature), JSON out."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from modules.errors import UserError
from modules.submodels.inspection import inspect_submodel


def main() -> None:
    answers = {}
    for name, wanted in json.load(sys.stdin).items():
        try:
            inspection = inspect_submodel(**{**wanted, "path": Path(wanted["path"])})
            answers[name] = inspection.model_dump(mode="json")
        except UserError as error:
            answers[name] = {"error": str(error)}
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
