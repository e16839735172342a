"""The artifact types that the project adds to TFX's own.

Their names have the form that Kubeflow's compiler asks for, and their facts are custom properties,
since it knows no declared ones but TFX's own.
"""

from tfx.types.artifact import Artifact


class RejectedRows(Artifact):
    """`rejected_rows.csv`: the rows that could not be used, with their reasons.

    Its properties `train`, `eval` and `rejected` count rows.
    """

    TYPE_NAME = "fusion.RejectedRows"


class Submodel(Artifact):
    """A checked copy of a pretrained model: `model.keras`, or the SavedModel folder `model`.

    Its properties are `submodel` (the name), `digest`, `origin`, `interface` (JSON) and
    `parameters` (a count).
    """

    TYPE_NAME = "fusion.Submodel"


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
