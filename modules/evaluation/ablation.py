"""What each branch contributes to a fusion: the model without it, and a head on it alone."""

from collections.abc import Iterator
from pathlib import Path

from tfx_fusion.modules.evaluation.quality import Bound, Line, Quality, shown
from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.metrics.formulas import Interval
from tfx_fusion.modules.spec.base import Part
from tfx_fusion.modules.spec.evaluated import Evaluated
from tfx_fusion.modules.spec.evaluation import Metric

ABLATION_FILE = "ablation.json"


class Comparison(Part):
    """The fused model and one of its branches, by a metric of an output on the evaluation split.

    `single` is a head trained on the branch alone. `without` is the fused model with the branch
    held at its mean, or at what replaces it where it may be missing. `gain` is by how much the
    fused model is better than the single branch, whether or not more of the metric is better.
    """

    output: str
    metric: Metric
    branch: str
    fused: float
    single: float
    without: float
    gain: float
    single_interval: Interval | None = None
    without_interval: Interval | None = None
    gain_interval: Interval | None = None


class Ablation(Part):
    """Every branch by every metric, on so many rows."""

    rows: int
    comparisons: tuple[Comparison, ...]

    def best(self) -> Iterator[Comparison]:
        """For each metric of each output, the branch that is best by itself."""
        best: dict[tuple[str, str], Comparison] = {}
        for item in self.comparisons:
            at = item.output, item.metric
            if at not in best or item.gain < best[at].gain:
                best[at] = item
        yield from best.values()


def write_ablation(ablation: Ablation, folder: Path) -> None:
    """Writes it into a folder, for `read_ablation`."""
    write_text(folder / ABLATION_FILE, ablation.model_dump_json(indent=1) + "\n")


def read_ablation(folder: Path) -> Ablation:
    """What `write_ablation` wrote."""
    return Ablation.model_validate_json((folder / ABLATION_FILE).read_text())


def with_ablation(quality: Quality, ablation: Ablation, specification: Evaluated) -> Quality:
    """A model's quality with the lines of its ablation, and the margins that it meets or misses."""
    worth = specification.evaluation.worth
    margins = worth.margin if worth else {}
    lines: list[Line] = []
    missed: list[str] = []
    for item in ablation.comparisons:
        for of, value, interval in (
            (f"{item.branch} alone", item.single, item.single_interval),
            (f"without {item.branch}", item.without, item.without_interval),
        ):
            lines.append(_line(ablation, item, of, value, interval))
    for item in ablation.best():
        of = f"over {item.branch} alone"
        line = _line(ablation, item, of, item.gain, item.gain_interval)
        margin = margins.get(item.output, {}).get(item.metric)
        if margin is not None:
            met = item.gain >= margin
            line = line.changed(bounds=(Bound(text=f"≥ {margin:g}", met=met),))
            if not met:
                gain = shown(item.gain, item.gain_interval, quality.confidence, "+.4f")
                missed.append(
                    f"{item.output}.{item.metric} of the fusion is better by {gain} than that of "
                    f"'{item.branch}' alone, at least {margin:g} is needed"
                )
        lines.append(line)
    return quality.changed(lines=(*quality.lines, *lines), missed=(*quality.missed, *missed))


def _line(
    ablation: Ablation, item: Comparison, of: str, value: float, interval: Interval | None
) -> Line:
    return Line(
        output=item.output, metric=item.metric, of=of, rows=ablation.rows, value=value,
        interval=interval,
    )  # fmt: skip
