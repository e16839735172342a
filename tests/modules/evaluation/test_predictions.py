"""Stored predictions are what the exported models answer, row by row."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfx_fusion.modules.errors import RejectedRowsError, RunError
from tfx_fusion.modules.evaluation.predictions import (
    Predictor,
    RowsBefore,
    read_predictions,
    rejected_rows,
)

pytestmark = pytest.mark.component


@pytest.fixture(scope="module")
def champion(export_trained: Callable[..., Any]) -> Any:
    return export_trained("champion", seed=5)


@pytest.fixture(scope="module")
def evaluation(exported: Any, champion: Any, evaluate: Callable[..., Path]) -> Path:
    return evaluate(exported.specification, champion)


def test_predictions_and_labels_are_those_of_the_signatures(
    exported: Any, champion: Any, evaluation: Path
) -> None:
    examples = exported.serialized()

    found = read_predictions(exported.specification, evaluation)

    assert found.champion is not None
    answers = exported.signature("predict_examples", examples=examples)
    earlier = champion.signature("predict_examples", examples=examples)
    labels = exported.signature("transform_labels", examples=examples)
    for output in exported.specification.outputs:
        np.testing.assert_allclose(found.predictions[output], answers[output], atol=1e-6)
        np.testing.assert_allclose(found.champion[output], earlier[output], atol=1e-6)
        assert found.predictions[output].dtype == np.float32
        np.testing.assert_array_equal(found.labels[output].squeeze(), labels[output].squeeze())


def test_rows_have_their_ids_and_the_values_they_are_sliced_by(
    exported: Any, evaluation: Path
) -> None:
    found = read_predictions(exported.specification, evaluation)

    regions = [row["region"] for row in exported.rows]
    assert found.values["region"].tolist() == regions
    assert len(set(found.values["row_id"])) == len(exported.rows)
    south = found.within((("region", "south"),))
    assert south.tolist() == [region == "south" for region in regions]
    assert found.within(()).all()


def test_the_first_rows_can_be_read_without_the_rest(exported: Any, evaluation: Path) -> None:
    whole = read_predictions(exported.specification, evaluation)

    first = read_predictions(exported.specification, evaluation, most=3)

    np.testing.assert_array_equal(first.predictions["area"], whole.predictions["area"][:3])


def test_a_folder_without_predictions_fails_with_its_path(exported: Any, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"predictions/Split-eval: expected predictions, found none"):
        read_predictions(exported.specification, tmp_path)


def test_rows_without_a_finite_prediction_are_left_out_and_listed(
    exported: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor(exported.specification, {"candidate": exported.model})
    model = predictor._models["candidate"]
    predict = model.predict

    def with_nan(rows: Any) -> dict[str, np.ndarray]:
        found = predict(rows)
        return {
            **found,
            "area": np.where(np.arange(len(rows))[:, None] == 1, np.nan, found["area"]),
        }

    monkeypatch.setattr(model, "predict", with_nan)
    [file] = [str(exported.examples)]
    rejected: list[str] = []

    batches = list(predictor.batches(file, rejected))

    ids = [row_id.decode() for batch in batches for row_id in batch["row_id"]]
    whole = [row["id"] for row in exported.rows]
    assert len(rejected) == len(batches)
    assert len(ids) + len(rejected) == len(whole)
    assert not set(ids) & set(rejected)


@pytest.mark.parametrize(("usable", "allowed"), [(99, True), (98, False), (0, False)])
def test_no_more_rows_may_lack_a_prediction_than_may_be_rejected(
    exported: Any, tmp_path: Path, usable: int, allowed: bool
) -> None:
    folder = tmp_path / "predictions" / "rejected"
    folder.mkdir(parents=True)
    content = {"rows": usable, "rejected": ["row 17"]}
    (folder / "data_tfrecord-00000-of-00001.json").write_text(json.dumps(content))

    if allowed:
        assert rejected_rows(exported.specification, tmp_path) == ["row 17"]
        return
    pattern = "1 of 99 rows were rejected.*First" if usable else "no evaluated row has a finite"
    with pytest.raises(RejectedRowsError, match=rf"{pattern}.*: row 17, expected a finite pred"):
        rejected_rows(exported.specification, tmp_path)


def test_rows_that_other_steps_have_read_and_rejected_count_as_well(
    exported: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "predictions" / "rejected"
    folder.mkdir(parents=True)
    (folder / "a.json").write_text(json.dumps({"rows": 8, "rejected": ["row 17"]}))

    assert rejected_rows(exported.specification, tmp_path, RowsBefore(200, 1)) == ["row 17"]
    with pytest.raises(RejectedRowsError, match=r"3 of 200 rows were rejected \(2 of them by ear"):
        rejected_rows(exported.specification, tmp_path, RowsBefore(200, 2))
