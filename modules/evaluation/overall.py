"""The metrics of a model on its whole evaluation split, whoever has evaluated it."""

from __future__ import annotations

from pathlib import Path

from tfx_fusion.modules.errors import RunError, library_cause
from tfx_fusion.modules.evaluation.quality import QUALITY_FILE, read_quality


def overall_metrics(folder: Path) -> dict[str, dict[str, float]]:
    """`{output: {metric: value}}` of FusionEvaluator, or of TFMA in the folder of an Evaluator.

    The output of a model of one, which TFMA leaves out, is empty. Raises RunError where the
    folder is of neither.
    """
    if (folder / QUALITY_FILE).is_file():
        return read_quality(folder).overall()
    import tensorflow_model_analysis as tfma

    found: dict[str, dict[str, float]] = {}
    try:
        for part in tfma.load_metrics(str(folder)):
            if tfma.slicer.deserialize_slice_key(part.slice_key):
                continue
            for item in part.metric_keys_and_values:
                candidate = item.key.model_name in ("", tfma.CANDIDATE_KEY)
                if item.value.HasField("double_value") and candidate and not item.key.is_diff:
                    metrics = found.setdefault(item.key.output_name, {})
                    metrics[item.key.name] = item.value.double_value.value
    except Exception as error:  # TFMA and Beam raise many types here
        cause = library_cause(error)
        raise RunError(f"{folder}: expected what an Evaluator has measured: {cause}") from error
    return found
