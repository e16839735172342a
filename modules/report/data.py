"""The data of a run: what the rows hold, split by split, and those that could not be used."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from tensorflow_metadata.proto.v0 import statistics_pb2

from tfx_fusion.modules import spec
from tfx_fusion.modules.data.checks.anomalies import anomalies
from tfx_fusion.modules.data.rejected import read_rejected
from tfx_fusion.modules.report.blocks import Block, Section, Table, Text
from tfx_fusion.modules.report.finished import FinishedRun
from tfx_fusion.modules.report.summaries import RowsSummary

STATISTICS_FILE = "FeatureStats.pb"
SHOWN_REJECTED = 25
SHOWN_VALUES = 6
Statistics: TypeAlias = statistics_pb2.FeatureNameStatistics


def data_section(run: FinishedRun) -> Section:
    """What was read, what each feature and label holds, and the rejected rows."""
    blocks: list[Block] = [Text(f"Read from {run.provenance.data.path}.")]
    folder = run.record.output("statistics")
    if folder:
        blocks += _summary(run, folder)
    found = run.record.output("anomalies")
    if found:
        blocks += [Text(f"Anomaly: {anomaly}", "bad") for anomaly in anomalies(found)] or [
            Text("The data checks found no anomalies.")
        ]
    return Section("data", "Data", [*blocks, *_rejected(run)])


def _summary(run: FinishedRun, folder: Path) -> list[Block]:
    rows: dict[str, int] = {}
    by_split: dict[str, dict[str, Statistics]] = {}
    for file in sorted(folder.glob(f"Split-*/{STATISTICS_FILE}"), reverse=True):  # train first
        split = file.parent.name.removeprefix("Split-")
        [read] = statistics_pb2.DatasetFeatureStatisticsList.FromString(file.read_bytes()).datasets
        rows[split] = read.num_examples
        by_split[split] = {".".join(found.path.step): found for found in read.features}
    parts = {**run.specification.features, **run.specification.labels}
    cells = [
        [name, part.type, ", ".join(spec.columns_of(part)),
         *(_in_words(name, part, found) for found in by_split.values())]
        for name, part in parts.items()
    ]  # fmt: skip
    counts = ", ".join(f"{count:,} rows in {split}" for split, count in rows.items())
    return [
        Text(f"{counts}."),
        Table("Features and labels", ["name", "kind", "column", *by_split], cells),
    ]


def _in_words(name: str, part: spec.Feature | spec.Label, found: Mapping[str, Statistics]) -> str:
    """The values of a feature or label in one split, in words."""
    values = _values(part, found[name]) if name in found else "none"
    missing = found.get(spec.missing_name(name))
    share = missing.num_stats.mean if missing else 0.0
    return f"{values}; {share:.1%} missing" if share else values


def _values(part: spec.Feature | spec.Label, found: Statistics) -> str:
    kind = found.WhichOneof("stats")
    if isinstance(part, spec.ImageFeature):
        return f"{found.bytes_stats.avg_num_bytes / 1000:,.1f} kB each on average"
    if kind == "num_stats":
        numbers = found.num_stats
        return (
            f"mean {numbers.mean:.4g}, standard deviation {numbers.std_dev:.4g}, "
            f"{numbers.min:.4g} to {numbers.max:.4g}"
        )
    if kind != "string_stats":
        return ""
    texts = found.string_stats
    if not isinstance(part, spec.CategoryFeature | spec.CategoryLabel):
        return f"{texts.unique:,} different, {texts.avg_length:.0f} bytes on average"
    top = [f"{value.value} ×{value.frequency:,.0f}" for value in texts.top_values if value.value]
    more = f", … ({len(top)} in all)" if len(top) > SHOWN_VALUES else ""
    return ", ".join(top[:SHOWN_VALUES]) + more


def _rejected(run: FinishedRun) -> list[Block]:
    rejected = run.record.rejected
    if not rejected.rows:
        # Before the rows have been read to their end, it is not known.
        return [Text("No row was rejected.")] if run.record.summary(RowsSummary) else []
    rows = [row for file in rejected.files for row in read_rejected(str(Path(file).parent))]
    columns = Counter(row.column or "the whole row" for row in rows)
    most = ", ".join(f"{column} {count:,}" for column, count in columns.most_common(SHOWN_VALUES))
    caption = "Rejected rows"
    if len(rows) > SHOWN_REJECTED:
        caption += f", the first {SHOWN_REJECTED} of {len(rows):,}"
    return [
        Text(f"{rejected.rows:,} rows were rejected, by column: {most}.", "bad"),
        Table(caption, ["row", "column", "reason"], list(map(list, rows[:SHOWN_REJECTED]))),
        Text(f"All of them: {', '.join(rejected.files)}"),
    ]
