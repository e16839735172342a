"""Which model the candidate is compared with, of those that resolvers give."""

from __future__ import annotations

from collections.abc import Sequence

from tfx import types

from tfx_fusion.components.channels import (
    TASK_KNOWN_KEY,
    described_champion,
    is_of_resolver,
    model_folder,
)
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.evaluation.predictions import check_predictions
from tfx_fusion.modules.evaluation.quality import NoChampion
from tfx_fusion.modules.registry.champion import other_labels
from tfx_fusion.modules.registry.version_record import model_digest
from tfx_fusion.modules.spec.evaluated import Evaluated
from tfx_fusion.modules.training.exported import ExampleRows, ExportedModel


def no_champion(
    candidate: types.Artifact,
    baseline: Sequence[types.Artifact],
    task: Evaluated,
    rows: ExampleRows,
) -> NoChampion | None:
    """Why the candidate is compared with no model; None where it is compared with the baseline.

    Whether there is a baseline is known only when a pipeline runs: it is compiled once for all
    runs. A bound on the change is skipped where there is none yet, where the baseline is the
    candidate, which cannot be better than itself, or where ChampionResolver has found that the
    task has changed since. It is missed where a model of another resolver cannot be measured.

    Args:
        candidate: the model that is judged.
        baseline: the artifacts of a resolver: none, or one.
        task: what is measured.
        rows: some rows of the evaluation split, which a model of another resolver must predict.
    """
    if not baseline:
        return NoChampion()
    if len(baseline) > 1:
        found = ", ".join(artifact.uri for artifact in baseline)
        raise RunError(f"expected one baseline model, found {len(baseline)}: {found}")
    [artifact] = baseline
    folder = model_folder(artifact)
    if is_of_resolver(artifact):
        champion = described_champion(artifact)
        if champion is None:
            return NoChampion()
        if champion.not_comparable:
            reason = f"version {champion.version} is not comparable: {champion.not_comparable}"
            return NoChampion(reason)
        digest = champion.digest
    elif not folder.is_dir() or not any(folder.iterdir()):
        return NoChampion(f"{folder} holds no model")
    else:
        digest = model_digest(folder)
    if digest == model_digest(model_folder(candidate)):
        return NoChampion("the baseline is this very model")
    if artifact.get_int_custom_property(TASK_KNOWN_KEY):
        return None
    try:
        check_predictions(task, ExportedModel(folder, list(task.outputs)), rows)
    except RunError as error:
        return NoChampion(f"the baseline cannot be measured: {error}", fails=True)
    outputs = {output: task.label_name(output) for output in task.outputs}
    reason = other_labels(folder, outputs, task.labels)
    if reason:
        return NoChampion(f"the baseline {folder} cannot be compared: {reason}", fails=True)
    return None
