"""The order of rows in training: all of them, mixed over the whole split, by the seed and epoch."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from memory_rows import MemoryRows, specify

from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.training.data import Epochs, evaluation_rows, training_rows


def specification(batch_size: int = 64, seed: int = 0) -> Specification:
    return specify(
        {"y": {"loss": "mean_squared_error"}}, {"y": {"type": "number"}},
        batch_size=batch_size, seed=seed,
        stages=[{"name": "s", "epochs": 4, "learning_rate": 0.1}],
    )  # fmt: skip


def numbered(count: int) -> MemoryRows:
    return MemoryRows({"x": np.zeros((count, 3), "float32"), "y": np.arange(count)})


def batches(given: Specification, count: int, first: int = 0) -> list[np.ndarray]:
    epochs: Epochs = training_rows(given, numbered(count), ["x"])
    return [labels["y"].numpy() for _, labels in epochs.batches(first)]


@pytest.mark.parametrize("count", [1, 2, 3, 15, 16, 17, 5000])
def test_every_epoch_has_each_row_once(count: int) -> None:
    found = batches(specification(batch_size=16), count)
    steps = -(-count // 16)
    assert len(found) == 4 * steps
    for epoch in range(4):
        mine = found[epoch * steps : (epoch + 1) * steps]
        assert [len(batch) for batch in mine[:-1]] == [16] * (steps - 1)
        assert sorted(np.concatenate(mine)) == list(range(count))


def test_the_order_of_an_epoch_depends_on_the_seed_and_its_number_alone() -> None:
    given = specification(batch_size=16)
    whole = np.concatenate(batches(given, 100))
    np.testing.assert_array_equal(np.concatenate(batches(given, 100, first=2))[:200], whole[200:])
    assert len({tuple(whole[n * 100 : (n + 1) * 100]) for n in range(4)}) == 4
    other = np.concatenate(batches(specification(batch_size=16, seed=1), 100))
    assert not np.array_equal(other[:100], whole[:100])
    assert not np.array_equal(other[:100], whole[100:200])  # no seed is another's next epoch


@pytest.mark.parametrize("count", [5_000, 50_000, 65_536])
def test_rows_that_the_file_sorts_are_mixed_at_any_size(count: int) -> None:
    """Batches of rows sorted by class have classes as random draws have them."""
    size = 100
    found = batches(specification(batch_size=size), count)
    steps = -(-count // size)
    shares = np.array([np.mean(batch >= count / 2) for batch in found if len(batch) == size])
    error = 0.05 / np.sqrt(2 * len(shares))
    assert abs(shares - 0.5).max() < 5 * 0.05  # standard deviations of 100 draws
    assert abs(shares.std() - 0.05) < 4 * error  # neither sorted nor dealt out evenly
    # Where a row ends up says nothing of where it was.
    order = np.concatenate(found[:steps])
    assert abs(np.corrcoef(np.arange(count), order)[0, 1]) < 4 / np.sqrt(count)


def test_orders_of_few_rows_are_all_drawn_alike() -> None:
    orders: Counter[tuple[int, ...]] = Counter()
    for seed in range(300):
        found = np.concatenate(batches(specification(batch_size=3, seed=seed), 3))
        orders.update(tuple(found[n * 3 : (n + 1) * 3]) for n in range(4))
    assert len(orders) == 6
    assert min(orders.values()) > 150  # 200 each


def test_rows_to_evaluate_on_come_in_the_order_of_the_data() -> None:
    found = evaluation_rows(specification(batch_size=16), numbered(37), ["x"])
    assert found.cardinality() == 3
    assert np.concatenate([labels["y"] for _, labels in found]).tolist() == list(range(37))
