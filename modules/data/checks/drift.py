"""Drift of the training rows from those that the champion was trained on, measured by TFDV."""

from collections.abc import Mapping
from pathlib import Path

import tensorflow_data_validation as tfdv
from google.protobuf.message import DecodeError
from pydantic import BaseModel
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import (
    DatasetFeatureStatisticsList as Statistics,
)
from tensorflow_metadata.proto.v0.statistics_pb2 import FeatureNameStatistics

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.spec import Feature, Label, columns_of, drifting

TYPES = {
    FeatureNameStatistics.INT: schema_pb2.INT,
    FeatureNameStatistics.FLOAT: schema_pb2.FLOAT,
    FeatureNameStatistics.STRING: schema_pb2.BYTES,
    FeatureNameStatistics.BYTES: schema_pb2.BYTES,
}
# Whatever is measured lies between 0 and 1, so that nothing exceeds this.
NO_LIMIT = 1.0


class Drift(BaseModel):
    """How far one feature or label has moved; `change` is that in words."""

    name: str
    measure: str
    value: float
    change: str


class Drifts(BaseModel):
    """What was measured, and the names that could not be compared."""

    measured: list[Drift] = []
    not_compared: list[str] = []


def read_statistics(file: Path) -> Statistics:
    """Statistics as StatisticsGen and `comparable_statistics` make them.

    Raises RunError where the file is damaged.
    """
    try:
        found = Statistics.FromString(file.read_bytes())
    except DecodeError:
        found = Statistics()
    if not found.datasets:
        raise RunError(
            f"{file}: the statistics are damaged: restore them from a copy, or delete the file to "
            "skip the drift check"
        )
    return found


def comparable_statistics(
    statistics: Statistics, features: dict[str, Feature], labels: dict[str, Label]
) -> Statistics:
    """What a later run compares its data with: classes and numbers only, no ids, no texts."""
    [dataset] = statistics.datasets
    found = Statistics()
    copy = found.datasets.add(name=dataset.name, num_examples=dataset.num_examples)
    copy.features.extend(_by_name(statistics, drifting(features, labels)).values())
    return found


def drifts(
    now: Statistics, then: Statistics, features: dict[str, Feature], labels: dict[str, Label]
) -> Drifts:
    """Measures every class and number that both statistics hold.

    Values of text by the L-infinity distance: the change in share of the one that changed most.
    Numbers by the Jensen-Shannon divergence, those of a vector together.
    """
    compared = drifting(features, labels)
    ours, theirs = _by_name(now, compared), _by_name(then, compared)
    found = Drifts()
    schema = schema_pb2.Schema()
    names = {}
    for name in compared:
        kinds = {item[name].WhichOneof("stats") for item in (ours, theirs) if name in item}
        if name not in ours or name not in theirs or len(kinds) > 1:
            found.not_compared.append(name)
            continue
        names[_name(ours[name])] = name
        # As the statistics have it: another ExampleGen may read classes as numbers.
        feature = schema.feature.add(name=_name(ours[name]), type=TYPES[ours[name].type])
        comparator = feature.drift_comparator
        by_class = kinds == {"string_stats"}
        limit = comparator.infinity_norm if by_class else comparator.jensen_shannon_divergence
        limit.threshold = NO_LIMIT
    result = tfdv.validate_statistics(now, schema, previous_statistics=then)
    for info in result.drift_skew_info:
        [step], [measured] = info.path.step, info.drift_measurements
        name = names[step]
        classes = measured.type == measured.L_INFTY
        measure = "L-infinity distance" if classes else "Jensen-Shannon divergence"
        change = (_shares if classes else _means)(theirs[name], ours[name])
        found.measured.append(
            Drift(name=name, measure=measure, value=measured.value, change=change)
        )
    return found


def _name(item: FeatureNameStatistics) -> str:
    return item.path.step[0] if item.path.step else item.name


def _by_name(
    statistics: Statistics, parts: Mapping[str, Feature | Label]
) -> dict[str, FeatureNameStatistics]:
    """The statistics of features and labels, which go by their names there, or by their columns."""
    [dataset] = statistics.datasets
    found = {_name(item): item for item in dataset.features}
    named = {}
    for name, part in parts.items():
        columns = columns_of(part)
        at = name if name in found else columns[0]
        if at in found and (at == name or len(columns) == 1):
            named[name] = found[at]
    return named


def _shares(then: FeatureNameStatistics, now: FeatureNameStatistics) -> str:
    """The value whose share changed most."""
    before, after = (
        {
            bucket.label: bucket.sample_count / item.string_stats.common_stats.tot_num_values
            for bucket in item.string_stats.rank_histogram.buckets
        }
        for item in (then, now)
    )
    most = max({**before, **after}, key=lambda v: abs(after.get(v, 0.0) - before.get(v, 0.0)))
    return f"{most!r} from {before.get(most, 0.0):.0%} to {after.get(most, 0.0):.0%} of the rows"


def _means(then: FeatureNameStatistics, now: FeatureNameStatistics) -> str:
    return f"mean from {then.num_stats.mean:.4g} to {now.num_stats.mean:.4g}"
