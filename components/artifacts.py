"""The artifact types that the project adds to TFX's own.

Their names have the form that Kubeflow's compiler asks for, and their facts are custom properties,
since it knows no declared ones but TFX's own.
"""

from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact
from tfx.types.component_spec import COMPATIBLE_TYPES_KEY


class RejectedRows(Artifact):
    """`rejected_rows.csv`: the rows that could not be used, with their reasons.

    Its properties `train`, `eval` and `rejected` count rows.
    """

    TYPE_NAME = "fusion.RejectedRows"


class Submodel(Artifact):
    """A checked copy of a pretrained model: SavedModel `Format-Serving`, or `model.keras` in it.

    Its properties are `submodel` (the name), `digest`, `origin`, `interface` (JSON) and
    `parameters` (a count). Components that take TFX's Model take it too, as Trainer's `base_model`.
    """

    TYPE_NAME = "fusion.Submodel"


_alike: set[type[Artifact]] = getattr(standard_artifacts.Model, COMPATIBLE_TYPES_KEY, set())
setattr(standard_artifacts.Model, COMPATIBLE_TYPES_KEY, {*_alike, Submodel})


class DataGateReport(Artifact):
    """`data_gate.json`: what was found in the data; `statistics.pb`: what later runs compare."""

    TYPE_NAME = "fusion.DataGateReport"


class TrainingRecord(Artifact):
    """What happened in training: `record.md` to read, `history.json` (stages, epochs, digests of
    what is frozen), `curves.svg`, `graph.svg`, and `tensorboard/`."""

    TYPE_NAME = "fusion.TrainingRecord"


class FusionWorth(Artifact):
    """`ablation.json`: the fused model without each branch, and a head on each branch by itself."""

    TYPE_NAME = "fusion.FusionWorth"


class RunRecordFile(Artifact):
    """`run.json`, from which the page was made."""

    TYPE_NAME = "fusion.RunRecord"


class ReportPage(Artifact):
    """`report.html`.

    The type is Kubeflow's own, whose pages show it.
    """

    TYPE_NAME = "system.HTML"
