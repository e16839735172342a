"""From TFMA's results and the rows themselves to what a model is worth publishing for."""

from __future__ import annotations

from pathlib import Path

from tfx_fusion.modules.evaluation.quality import Quality, judge, measured
from tfx_fusion.modules.evaluation.rows import Intervals, Slice, evaluate_rows, slice_intervals
from tfx_fusion.modules.spec import Specification


def assess(
    specification: Specification,
    results: Path,
    examples: str,
    model: Path,
    champion: Path | None = None,
) -> Quality:
    """What a model came to, and which bounds it keeps.

    Args:
        specification: says what is measured and bounded.
        results: the folder that TFMA wrote.
        examples: the evaluation split's tf.Examples. They go through the models once more where
            intervals are asked for, which need each row.
        model: the SavedModel that was evaluated.
        champion: the one that it was compared with.
    """
    evaluation = specification.evaluation
    if evaluation.confidence is None:
        return judge(specification, measured(results, specification), lambda where: {})
    confidence = evaluation.confidence
    names = {name for names in specification.sliced_by() for name in names}
    rows = evaluate_rows(specification, model, examples, names)
    old = evaluate_rows(specification, champion, examples, ()) if champion else None

    def intervals_in(where: Slice) -> Intervals:
        return slice_intervals(specification, confidence, where, rows, old)

    return judge(specification, measured(results, specification), intervals_in)
