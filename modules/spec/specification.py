"""The specification: everything a user says about a fusion, exactly typed.

Read from YAML by `modules.spec.load`, or built in Python; the file is only the serialised form.
What can be checked of a single part is checked here; how parts fit, in `modules.validation`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    field_validator,
    model_validator,
)

from tfx_fusion.modules.errors import suggestion
from tfx_fusion.modules.metrics.table import Kind
from tfx_fusion.modules.spec.base import (
    ByClass,
    Column,
    Count,
    Flag,
    Fraction,
    LocalFolder,
    LocalPath,
    Name,
    Part,
    PositiveNumber,
    Reference,
    Whole,
)
from tfx_fusion.modules.spec.beam import Beam, BeamChoice
from tfx_fusion.modules.spec.card import Card
from tfx_fusion.modules.spec.data_checks import DataChecks
from tfx_fusion.modules.spec.evaluation import Evaluation, Metric
from tfx_fusion.modules.spec.features import Feature, Label, may_be_missing, missing_name
from tfx_fusion.modules.spec.kubeflow import Kubeflow
from tfx_fusion.modules.spec.losses import NamedLoss
from tfx_fusion.modules.spec.submodel import Submodel
from tfx_fusion.modules.spec.tuning import Tuning


class HashSplit(Part):
    """Rows go to a split by a hash of one column: the same value always to the same split."""

    by: Column
    train: Fraction
    eval: Fraction

    @model_validator(mode="after")
    def _sums_to_one(self) -> HashSplit:
        if not 0 < self.train < 1:
            raise ValueError(f"train must lie between 0 and 1, found {self.train:g}")
        if abs(self.train + self.eval - 1) > 1e-6:
            raise ValueError(f"train and eval must sum to 1, found {self.train + self.eval:g}")
        return self


class ColumnSplit(Part):
    """A column says `train` or `eval` for each row."""

    column: Column


def _split_kind(value: Any) -> str:
    if isinstance(value, dict):
        # A misspelt `column` is reported against the keys of a split by column.
        by_column = "column" in value or not {"by", "train", "eval"} & value.keys()
    else:
        by_column = isinstance(value, ColumnSplit)
    return "by column" if by_column else "by hash"


class Data(Part):
    """Where the rows are: CSV, JSONL or Parquet, or TFRecords of tf.Example (a file or pattern).

    The rows may name pictures and arrays below `media_root`, the data file's own folder unless
    given: who makes a data file cannot have other files of the machine read.
    """

    path: LocalPath
    split: Annotated[
        Annotated[HashSplit, Tag("by hash")] | Annotated[ColumnSplit, Tag("by column")],
        Discriminator(_split_kind),
    ]
    max_rejected: Fraction = 0.01
    media_root: LocalFolder | None = None
    checks: DataChecks = DataChecks()

    @field_validator("path")
    @classmethod
    def _known_format(cls, path: LocalPath) -> LocalPath:
        if data_file_format(path) is None:
            raise ValueError(
                f"expected a file ending in .csv, .jsonl, .parquet, .tfrecord or .tfrecord.gz, "
                f"found '{path.name}'"
            )
        return path


def data_file_format(path: LocalPath) -> str | None:
    """The format of a data file by the ending of its name; None if it is no known one."""
    endings = {
        ".csv": "csv",
        ".jsonl": "jsonl",
        ".parquet": "parquet",
        ".tfrecord": "tfrecord",
        ".tfrecord.gz": "tfrecord",
    }
    return next((kind for end, kind in endings.items() if path.name.lower().endswith(end)), None)


# The names in `modules.graph.merges`, which imports Keras; a test compares the two.
MERGES = (
    "add", "attention", "average", "bilinear", "concatenate", "dot", "gated", "maximum", "multiply",
)  # fmt: skip


def _known_merge(merge: str) -> str:
    if merge not in MERGES:
        raise ValueError(f"there is no merge '{merge}'; {suggestion(merge, MERGES)}")
    return merge


class Merge(Part):
    """Joins several nodes into one tensor; `config` is the merge's own, if it takes any."""

    merge: Annotated[
        str, AfterValidator(_known_merge), Field(json_schema_extra={"enum": list(MERGES)})
    ]
    inputs: tuple[Reference, ...] = Field(min_length=2)
    config: dict[str, JsonValue] = {}


class Layers(Part):
    """New layers, trained from scratch: any layer of Keras by name, with its config."""

    layers: tuple[dict[str, dict[str, JsonValue]], ...] = Field(min_length=1)
    inputs: Reference

    @field_validator("layers", mode="before")
    @classmethod
    def _bare_names(cls, layers: Any) -> Any:
        if not isinstance(layers, list | tuple):
            return layers
        return tuple({layer: {}} if isinstance(layer, str) else layer for layer in layers)

    @field_validator("layers")
    @classmethod
    def _one_layer_each(cls, layers: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        for position, layer in enumerate(layers):
            if len(layer) != 1:
                raise ValueError(
                    f"item {position} must name one layer, as {{Dense: {{units: 64}}}}; "
                    f"found {', '.join(layer) or 'nothing'}"
                )
        return layers


def _node_kind(value: Any) -> str:
    if isinstance(value, Part):
        return "a merge" if isinstance(value, Merge) else "new layers"
    if isinstance(value, dict) and ("merge" in value or "layers" in value):
        return "a merge" if "merge" in value else "new layers"
    # Neither key is there, perhaps one is misspelt: a merge is the one with several inputs.
    several = isinstance(value, dict) and isinstance(value.get("inputs"), list)
    return "a merge" if several else "new layers"


Node = Annotated[
    Annotated[Merge, Tag("a merge")] | Annotated[Layers, Tag("new layers")],
    Discriminator(_node_kind),
]


class Output(Part):
    """What the fused model predicts: a node against a label.

    `loss` is a name or `{name: {option: value}}`, and so is each of `metrics`
    (`{precision: {threshold: 0.3}}`, which is printed and bounded as `precision@0.3`).
    `class_weights` weigh the rows in training: `balanced`, or a weight for each class that is not
    1. `label` is the output's own name unless given. `from_logits` says whether the node gives
    logits; unless given, it is read from the node's last layer.
    """

    from_: Reference = Field(alias="from")
    label: Name | None = None
    loss: NamedLoss
    from_logits: Flag | None = None
    metrics: tuple[Metric, ...] = ()
    weight: PositiveNumber = 1.0
    class_weights: Literal["balanced"] | ByClass | None = None

    @field_validator("metrics")
    @classmethod
    def _distinct_metrics(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({metric for metric in metrics if metrics.count(metric) > 1})
        if twice:
            raise ValueError(f"each metric once, found {', '.join(twice)} more than once")
        return metrics


class Unfreeze(Part):
    """What of a sub-model a stage trains: all of it, its last layers, or those a pattern matches.

    `layers` are shell patterns of layer names (of variable names for a SavedModel). Dropout and
    BatchNorm stay in inference mode unless `training_mode` asks for the other. `learning_rate`
    is the sub-model's own; the stage's unless given.
    """

    all: Literal[True] | None = None
    last: Count | None = None
    layers: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    learning_rate: PositiveNumber | None = None
    training_mode: Flag = False

    @model_validator(mode="after")
    def _one_choice(self) -> Unfreeze:
        chosen = [self.all, self.last, self.layers]
        if sum(choice is not None for choice in chosen) != 1:
            raise ValueError("give one of 'all: true', 'last: N' or 'layers: [patterns]'")
        return self


# All of a sub-model may also be written as just that word.
UnfreezeOrAll = Annotated[
    Unfreeze, BeforeValidator(lambda value: {"all": True} if value == "all" else value)
]


class EarlyStopping(Part):
    """Ends a stage when a value has not improved for `patience` epochs; keeps the best weights."""

    monitor: str = "val_loss"
    patience: Count = 3


# A class of Keras by name, with its config: `Adam`, or `{AdamW: {weight_decay: 0.01}}`.
ByName = Annotated[
    dict[str, dict[str, JsonValue]],
    BeforeValidator(lambda value: {value: {}} if isinstance(value, str) else value),
    Field(min_length=1, max_length=1),
]


class Stage(Part):
    """One phase of training: what is unfrozen, how fast and how long it learns.

    `schedule` is one of Keras's learning-rate schedules, started from `learning_rate`.
    `clip_norm` bounds the norm of all gradients together.
    """

    name: Name
    epochs: Count
    learning_rate: PositiveNumber
    unfreeze: dict[Name, UnfreezeOrAll] = {}
    optimizer: ByName = {"Adam": {}}
    schedule: ByName | None = None
    early_stopping: EarlyStopping | None = None
    clip_norm: PositiveNumber | None = None


class Training(Part):
    """How the head learns. `precision` is what new layers compute in; sub-models keep their own.

    `warm_start: champion` begins with the values of the last published model where they fit.
    What frozen sub-models give is computed once for all epochs, unless `embed_once` is false.
    """

    batch_size: Count = 64
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    seed: Whole = 0
    embed_once: Flag = True
    warm_start: Literal["champion"] | None = None
    stages: tuple[Stage, ...] = Field(min_length=1)

    @field_validator("stages")
    @classmethod
    def _distinct_names(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        names = [stage.name for stage in stages]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"each stage needs a name of its own, found {twice[0]!r} twice")
        return stages


class Serving(Part):
    """What a candidate must achieve in a model server to be published.

    `rows` of the evaluation split are sent, one by one and then all at once. `max_p99_ms` bounds
    the time within which 99 of 100 single rows are answered, `min_rows_per_second` the rate that
    8 clients get.
    """

    rows: Count = 32
    max_p99_ms: PositiveNumber | None = None
    min_rows_per_second: PositiveNumber | None = None


class Publish(Part):
    """The folder of TF Serving's version folders.

    `keep` is how many versions are left there when a new one has been published, that one among
    them; all unless given.
    """

    path: LocalPath
    keep: Count | None = None


class Graph(Part):
    """The part of a fusion that is a graph: what enters it, and its vertices."""

    features: dict[str, Feature]
    submodels: dict[str, Submodel] = {}
    graph: dict[str, Node] = {}

    def imported(self) -> dict[str, tuple[Submodel, LocalPath]]:
        """The sub-models that are imported from a path, by name: all but those same as another.

        Applications and presets have a path once a file is made of them (`pipeline.prepare`).
        """
        return {
            name: (submodel, submodel.path)
            for name, submodel in self.submodels.items()
            if submodel.path is not None
        }

    def owner(self, submodel: str) -> str:
        """The imported sub-model whose weights a sub-model uses: itself, or its `same_as`."""
        return self.submodels[submodel].same_as or submodel

    def ends(self) -> Iterator[tuple[str, str, str]]:
        """What is taken out of the graph, as (key, name of the consumer, reference)."""
        raise NotImplementedError


class Specification(Graph):
    """The whole file."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
    data: Data
    features: dict[Name, Feature] = Field(min_length=1)
    labels: dict[Name, Label] = Field(min_length=1)
    submodels: dict[Name, Submodel] = {}
    graph: dict[Name, Node] = {}
    outputs: dict[Name, Output] = Field(min_length=1)
    training: Training
    evaluation: Evaluation = Evaluation()
    tuning: Tuning | None = None
    card: Card = Card()
    serving: Serving = Serving()
    beam: BeamChoice = Beam()
    publish: Publish
    kubeflow: Kubeflow | None = None

    def ends(self) -> Iterator[tuple[str, str, str]]:
        """What each output predicts from."""
        for name, output in self.outputs.items():
            yield f"outputs.{name}.from", f"outputs.{name}", output.from_

    def sliced_by(self) -> tuple[tuple[str, ...], ...]:
        """The names that evaluated rows are sliced by, those crossed together.

        Beside what the evaluation names, rows that lack a feature are measured apart.
        """
        missing = ((missing_name(name),) for name in may_be_missing(self.features))
        return (*self.evaluation.sliced_by(), *missing)

    def label_of(self, output: str) -> Label:
        """The label that an output is trained against."""
        return self.labels[self.label_name(output)]

    def kind_of(self, output: str) -> Kind:
        """What the numbers of an output are, on which the formula of a metric depends."""
        label = self.label_of(output)
        if label.type == "category" and self.outputs[output].loss.facts.one_yes:
            return "binary"
        return label.type

    def label_name(self, output: str) -> str:
        return self.outputs[output].label or output
