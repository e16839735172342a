"""What each step of a run did: a typed summary for each kind of step, written by its component.

The table of steps and the report show a summary's one line, `text`. A new component adds its class
here and to `StepSummary`; nothing else has to know of it.
"""

from abc import abstractmethod
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field

SHOWN_DIGEST = 12
SHOWN_PROBLEMS = 3

Metrics = dict[str, dict[str, float]]
Source = Literal["embeddings", "rows"]  # as in `LearnsFrom`


def metrics_text(metrics: Metrics) -> str:
    """Metrics in one line, without the number of rows."""
    return ", ".join(
        f"{output}.{name} {value:.4f}"
        for output, values in metrics.items()
        for name, value in values.items()
        if name != "example_count"
    )


class Summary(BaseModel):
    """What one step did; `kind` names its class below."""

    # `text` is written for who reads the JSON without this code, and ignored when read back.
    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: str

    @computed_field  # type: ignore[prop-decorator]
    @property
    def text(self) -> str:
        """The summary in one line."""
        return self.in_words()

    @abstractmethod
    def in_words(self) -> str:
        """The summary in one line."""


class RowsSummary(Summary):
    """The rows that were read, by split, and those that were rejected."""

    kind: Literal["rows"] = "rows"
    train: int
    eval: int
    rejected: int

    def in_words(self) -> str:
        return f"{self.train:,} train, {self.eval:,} eval, {self.rejected:,} rejected"


class ChampionSummary(Summary):
    """The published version to compare with; `not_comparable` says why it cannot be."""

    kind: Literal["champion"] = "champion"
    version: str | None = None
    not_comparable: str = ""

    def in_words(self) -> str:
        if self.version is None:
            return "no published model yet"
        reason = f", not comparable: {self.not_comparable}" if self.not_comparable else ""
        return f"version {self.version}{reason}"


class DriftedFeature(BaseModel):
    """How far a feature or label has moved from the champion's data, from 0 to 1."""

    name: str
    distance: float


class DataGateSummary(Summary):
    """What the data checks found.

    `drift` is the largest that was measured, from the data of `version`; `drift_skipped` is the
    reason why none was; `not_compared` are the features that the champion's data lack.
    """

    kind: Literal["data gate"] = "data gate"
    anomalies: tuple[str, ...] = ()
    eval_rows: int | None = None
    leaked_rows: int | None = None  # None where the rows have no media
    drift: DriftedFeature | None = None
    drift_skipped: str = ""
    not_compared: tuple[str, ...] = ()
    version: str = ""

    def in_words(self) -> str:
        found = "; ".join(self.anomalies[:SHOWN_PROBLEMS])
        parts = [f"anomalies: {found}" if found else "no anomalies"]
        if self.leaked_rows is not None:
            parts.append(f"{self.leaked_rows} of {self.eval_rows} eval rows leak")
        if self.drift_skipped:
            parts.append(f"drift skipped: {self.drift_skipped}")
        elif self.drift:
            distance = f"{self.drift.distance:.3f} ({self.drift.name})"
            parts.append(f"drift from version {self.version} at most {distance}")
        if self.not_compared:
            parts.append(f"not in the champion's data: {', '.join(self.not_compared)}")
        return ", ".join(parts)


class SubmodelSummary(Summary):
    """An imported sub-model."""

    kind: Literal["sub-model"] = "sub-model"
    parameters: int
    digest: str

    def in_words(self) -> str:
        return f"{self.parameters:,} parameters, digest {self.digest[:SHOWN_DIGEST]}"


class EmbeddingsSummary(Summary):
    """The embedded rows of all splits, and how many could not be embedded."""

    kind: Literal["embeddings"] = "embeddings"
    rows: int
    bytes_per_row: int
    rejected: int = 0

    def in_words(self) -> str:
        more = f", {self.rejected:,} rejected" if self.rejected else ""
        return f"{self.rows:,} rows, {self.bytes_per_row:,} bytes each{more}"


class TrainingSummary(Summary):
    """What training learned from, stage by stage without repetition, and what it ended with.

    `loss` is None where it was no finite number; `warm_start` is empty where none was asked for.
    `rejected` counts the rows of both splits that were left out, those that Embed has rejected with
    them; `rejected_train` those of the rows to train on.
    """

    kind: Literal["training"] = "training"
    learned_from: tuple[Source, ...]
    loss: float | None
    frozen_tensors: int
    warm_start: str = ""
    rejected: int = 0
    rejected_train: int = 0

    def in_words(self) -> str:
        loss = "not finite" if self.loss is None else f"{self.loss:.4f}"
        learned = ("raw data" if source == "rows" else source for source in self.learned_from)
        start = f", {self.warm_start}" if self.warm_start else ""
        more = f", {self.rejected:,} rows left out" if self.rejected else ""
        return (
            f"on {' and '.join(learned)}, loss {loss}, "
            f"{self.frozen_tensors} frozen tensors verified unchanged{start}{more}"
        )


class Gain(BaseModel):
    """By how much the fused model is better than a head on its best branch."""

    output: str
    metric: str
    branch: str
    gain: float


class AblationSummary(Summary):
    """What fusing gains over the best single branch, by output and metric."""

    kind: Literal["ablation"] = "ablation"
    gains: tuple[Gain, ...]

    def in_words(self) -> str:
        return ", ".join(
            f"{one.output}.{one.metric} {one.gain:+.4f} over {one.branch} alone"
            for one in self.gains
        )


class EvaluationSummary(Summary):
    """The candidate's metrics on the whole evaluation split, by output."""

    kind: Literal["evaluation"] = "evaluation"
    metrics: Metrics

    def in_words(self) -> str:
        return metrics_text(self.metrics)


class ServerSpeed(BaseModel):
    """Milliseconds of requests for single rows, and rows a second of several clients at once."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    rows_per_second: float


class ServingSummary(Summary):
    """How the candidate answered in a model server; without problems it may be published."""

    kind: Literal["serving"] = "serving"
    rows: int
    server: str = ""
    problems: tuple[str, ...] = ()
    speed: ServerSpeed | None = None

    def in_words(self) -> str:
        if self.problems:
            return f"not blessed: {self.shown_problems()}"
        answered = f"{self.rows} rows answered by {self.server} as in training"
        if self.speed is None:
            return answered
        return (
            f"{answered}, p50 {self.speed.p50_ms:.1f} ms, p95 {self.speed.p95_ms:.1f}, "
            f"p99 {self.speed.p99_ms:.1f}, {self.speed.rows_per_second:.0f} rows/s"
        )

    def shown_problems(self) -> str:
        """The first problems in one line."""
        more = len(self.problems) - SHOWN_PROBLEMS
        shown = "; ".join(self.problems[:SHOWN_PROBLEMS])
        return f"{shown}; and {more} more" if more > 0 else shown


class PublishSummary(Summary):
    """What came of publishing; `version` is the one that the model is, `path` its folder."""

    kind: Literal["publishing"] = "publishing"
    status: Literal["published", "already published", "rolled back", "not blessed"]
    version: str = ""
    path: str = ""

    @property
    def is_published(self) -> bool:
        """Whether the model can be served."""
        return self.status in ("published", "already published")

    def in_words(self) -> str:
        return f"{self.status} {self.path}" if self.is_published else "not published"


StepSummary = Annotated[
    RowsSummary
    | ChampionSummary
    | DataGateSummary
    | SubmodelSummary
    | EmbeddingsSummary
    | TrainingSummary
    | AblationSummary
    | EvaluationSummary
    | ServingSummary
    | PublishSummary,
    Field(discriminator="kind"),
]
