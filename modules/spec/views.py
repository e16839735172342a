"""Views: for each step of the pipeline, the part of a specification that it depends on.

A view is a parameter of its step, and with it part of the step's key in TFX's cache: what it leaves
out can change without the step running again. `tests/modules/spec/test_views.py` has a table of
the keys that run each step again. Embedding plans, which need the built graph, are made of views in
`modules.embedding.plan`; what an evaluation reads is in `modules.spec.evaluated`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Self, TypeVar

from tfx_fusion.modules.spec.base import Part
from tfx_fusion.modules.spec.beam import Beam
from tfx_fusion.modules.spec.card import Card
from tfx_fusion.modules.spec.data_checks import DataChecks
from tfx_fusion.modules.spec.evaluation import Evaluation
from tfx_fusion.modules.spec.feature_part import Missing
from tfx_fusion.modules.spec.features import Feature, Label
from tfx_fusion.modules.spec.specification import (
    Data,
    Fusion,
    Publish,
    Serving,
    Specification,
)
from tfx_fusion.modules.spec.submodel import Submodel
from tfx_fusion.modules.spec.topology import used_features

AnyFusion = TypeVar("AnyFusion", bound=Fusion)


class ColumnsView(Part):
    """What stands in the rows. For DataGate."""

    features: dict[str, Feature]
    labels: dict[str, Label] = {}


class RowsView(ColumnsView):
    """What the rows are. For Rows; the limits of DataGate are no part of it."""

    data: Data

    @classmethod
    def of(cls, specification: Specification) -> Self:
        """The rows that a specification describes."""
        return cls(
            data=without_checks(specification.data),
            features=features_in_rows(specification.features),
            labels=labels_in_rows(specification.labels),
        )


class TaskView(Part):
    """What a model predicts, and from what. For Champion, which compares two models by it."""

    features: dict[str, Feature]
    labels: dict[str, Label]
    outputs: dict[str, str]  # the label of each

    @classmethod
    def of(cls, specification: Fusion) -> Self:
        """What the model of a specification predicts."""
        return cls(
            features=specification.features,
            labels=specification.labels,
            outputs={name: specification.label_name(name) for name in specification.outputs},
        )


def features_in_rows(features: Mapping[str, Feature]) -> dict[str, Feature]:
    """The features as rows are read, transformed and embedded. For Rows, Transform and Embed.

    How the model replaces or drops a missing feature is no part of it: another head needs no new
    rows.
    """
    return {
        name: feature.changed(missing=Missing(unreadable=feature.missing.unreadable))
        if feature.missing
        else feature
        for name, feature in features.items()
    }


def labels_in_rows(labels: Mapping[str, Label]) -> dict[str, Label]:
    """The labels as rows are read, transformed and embedded. For Rows, Transform and Embed.

    How the loss scales a number is no part of it.
    """
    return {
        name: label.changed(normalize="none") if label.type == "number" else label
        for name, label in labels.items()
    }


def embedded_submodels(specification: Fusion) -> dict[str, Submodel]:
    """The sub-models as an embedding depends on them. For Embed; a licence is only reported."""
    return {
        name: submodel.changed(licence=None) for name, submodel in specification.submodels.items()
    }


def training_view(specification: Fusion) -> Fusion:
    """What training depends on. For Train.

    Neither where the model is published, nor limits of data and serving, nor a search.
    """
    # A feature that only slices use must still have a use for the specification to be valid.
    used = used_features(specification)
    sliced = tuple((name,) for name in specification.features if name not in used)
    return _without_descriptions(specification).changed(
        data=specification.data and without_checks(specification.data),
        evaluation=Evaluation(slices=sliced),
        tuning=None,
        serving=Serving(),
        publish=specification.publish and Publish(path=Path("/")),
    )


def ablation_view(specification: Fusion) -> Fusion:
    """What is trained and measured of single branches. For Worth: a new margin trains nothing."""
    trained = training_view(specification)
    confidence = specification.evaluation.confidence
    evaluation = trained.evaluation.changed(confidence=confidence)
    return trained.changed(evaluation=evaluation)


def search_view(specification: Specification) -> str:
    """What the trials of a search depend on, as JSON. For `fusion tune`, which resumes a search."""
    whole = _without_descriptions(specification)
    return whole.model_dump_json(exclude={"publish", "evaluation"})


def without_checks(data: Data) -> Data:
    """The same data, whatever their limits."""
    return data.changed(checks=DataChecks())


def _without_descriptions(specification: AnyFusion) -> AnyFusion:
    """Without what no step computes from: descriptions, and where the steps run."""
    return specification.changed(
        card=Card(), submodels=embedded_submodels(specification), beam=Beam(), kubeflow=None
    )
