"""What the Evaluator measured."""

from __future__ import annotations

from pathlib import Path

import tensorflow_model_analysis as tfma

from modules.registry.manifest import Metrics
from modules.spec import Specification

# TFMA's, of the candidate's value less the champion's.
DIFFERENCE = "_diff"


def overall_metrics(folder: Path, specification: Specification) -> Metrics:
    """`{output: {metric: value}}` of the candidate over the whole evaluation split."""
    outputs = list(specification.outputs)
    result = tfma.load_eval_result(str(folder))
    for slice_key, by_output in result.slicing_metrics:
        if slice_key:
            continue
        return {
            output: {
                name: float(value["doubleValue"])
                for name, value in by_output[output if len(outputs) > 1 else ""][""].items()
                if "doubleValue" in value and not name.endswith(DIFFERENCE)
            }
            for output in outputs
        }
    raise ValueError(f"{folder} holds no metrics of the whole split")
