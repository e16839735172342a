"""The artifact types that the project adds to TFX's own."""

from __future__ import annotations

from tfx.types.artifact import Artifact, Property, PropertyType


class RejectedRows(Artifact):
    """`rejected_rows.csv`: the rows that could not be used, with their reasons."""

    TYPE_NAME = "RejectedRows"
    PROPERTIES = {
        "rejected": Property(type=PropertyType.INT),
        "train": Property(type=PropertyType.INT),
        "eval": Property(type=PropertyType.INT),
    }


class Submodel(Artifact):
    """A checked copy of a pretrained model: `model.keras`, or the SavedModel folder `model`."""

    TYPE_NAME = "Submodel"
    PROPERTIES = {
        "submodel": Property(type=PropertyType.STRING),
        "digest": Property(type=PropertyType.STRING),
        "origin": Property(type=PropertyType.STRING),
        "interface": Property(type=PropertyType.STRING),
        "parameters": Property(type=PropertyType.INT),
    }


class DataGateReport(Artifact):
    """`data_gate.json`: what was found in the data; `statistics.pb`: what later runs compare."""

    TYPE_NAME = "DataGateReport"


class TrainingRecord(Artifact):
    """What happened in training: `record.md` to read, `history.json` (stages, epochs, digests of
    what is frozen), `curves.svg`, `graph.svg`, and `tensorboard/`."""

    TYPE_NAME = "TrainingRecord"


class FusionWorth(Artifact):
    """`worth.json`: what the fused model is without each branch, and what each is alone."""

    TYPE_NAME = "FusionWorth"
