"""How far data have moved, against the distances computed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow_data_validation as tfdv

from tfx_fusion.modules.data.checks.drift import (
    Drift,
    comparable_statistics,
    drifts,
    read_statistics,
)
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.spec import (
    CategoryFeature,
    CategoryLabel,
    Feature,
    ImageFeature,
    Label,
    NumberFeature,
    TextFeature,
)

FEATURES: dict[str, Feature] = {
    "image": ImageFeature(type="image", column="image", shape=(4, 4, 3)),
    "words": TextFeature(type="text", column="words", encoding="string"),
    "shop": CategoryFeature(type="category", column="shop", classes=("a", "b", "c")),
    "size": NumberFeature(type="number", column="size"),
}
LABELS: dict[str, Label] = {
    "colour": CategoryLabel(type="category", column="colour", classes=("red", "green"))
}
SHARES = {"a": 5, "b": 3, "c": 2}


def statistics(shops: dict[str, int] = SHARES, mean: float = 0.0) -> Any:
    """Of as many rows as the shops have together, and of sizes around a mean."""
    rows = sum(shops.values())
    sizes = np.random.default_rng(3).normal(mean, 1.0, rows)
    return tfdv.generate_statistics_from_dataframe(
        pd.DataFrame(
            {
                "row_id": [f"row {number}" for number in range(rows)],
                "words": [f"text {number}" for number in range(rows)],
                "image": ["picture"] * rows,
                "shop": [shop for shop, count in shops.items() for _ in range(count)],
                "size": sizes.astype("float32"),
                "colour": ["red"] * rows,
            }
        )
    )


def by_name(now: Any, then: Any) -> dict[str, Drift]:
    found = drifts(now, then, FEATURES, LABELS)
    assert found.not_compared == []
    return {item.name: item for item in found.measured}


def test_the_same_data_have_not_moved() -> None:
    found = by_name(statistics(), statistics())

    assert {name: item.value for name, item in found.items()} == {
        "shop": 0.0, "size": 0.0, "colour": 0.0,
    }  # fmt: skip


def test_classes_move_by_the_largest_change_of_a_share() -> None:
    shop = by_name(statistics({"a": 10, "b": 36, "c": 4}), statistics())["shop"]

    assert shop.value == pytest.approx(max(abs(0.2 - 0.5), abs(0.72 - 0.3), abs(0.08 - 0.2)))
    assert shop.measure == "L-infinity distance"
    assert shop.change == "'b' from 30% to 72% of the rows"


def test_a_class_that_was_not_there_before_counts_whole() -> None:
    shop = by_name(statistics({"a": 5, "new": 5}), statistics({"a": 10}))["shop"]

    assert shop.value == pytest.approx(0.5)


def test_numbers_move_the_more_the_farther_they_lie_apart() -> None:
    many = {"a": 500}
    values = [by_name(statistics(many, mean), statistics(many))["size"] for mean in (0.1, 1, 100)]

    assert 0 < values[0].value < 0.05 < values[1].value < 0.3
    assert values[2].value == pytest.approx(1.0)  # nothing in common
    assert values[2].measure == "Jensen-Shannon divergence"
    assert values[2].change.startswith("mean from ")


def test_what_the_champion_did_not_know_or_knew_as_another_type_is_not_compared() -> None:
    then = statistics()
    [dataset] = then.datasets
    for item in list(dataset.features):
        if item.path.step[0] == "shop":
            dataset.features.remove(item)
        elif item.path.step[0] == "size":
            item.string_stats.unique = 3

    found = drifts(statistics(), then, FEATURES, LABELS)

    assert found.not_compared == ["shop", "size"]
    assert [item.name for item in found.measured] == ["colour"]


def test_comparable_statistics_hold_no_texts_or_ids_and_measure_the_same(
    tmp_path: Path,
) -> None:
    then, now = statistics(), statistics({"a": 1, "b": 9}, 0.5)
    comparable = comparable_statistics(then, FEATURES, LABELS)
    (tmp_path / "statistics.pb").write_bytes(comparable.SerializeToString())

    read = read_statistics(tmp_path / "statistics.pb")

    assert {item.path.step[0] for item in read.datasets[0].features} == {"shop", "size", "colour"}
    assert by_name(now, read) == by_name(now, then)


@pytest.mark.parametrize("content", [b"\xff\xff not statistics", b""])
def test_damaged_statistics_are_refused_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "statistics.pb"
    file.write_bytes(content)

    with pytest.raises(RunError) as caught:
        read_statistics(file)

    assert str(caught.value) == (
        f"{file}: the statistics are damaged: restore them from a copy, or delete the file to "
        "skip the drift check"
    )
