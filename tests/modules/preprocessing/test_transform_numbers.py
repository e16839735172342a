"""Numbers scaled by the training rows: a small run of TensorFlow Transform, against NumPy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfx_fusion.modules.data.schema import implied_schema
from tfx_fusion.modules.preprocessing.transform import preprocessing_fn, transform_config
from tfx_fusion.modules.spec import (
    Feature,
    NumberFeature,
)


def analyzed(
    feature: NumberFeature, train: np.ndarray, rows: np.ndarray, folder: Path
) -> np.ndarray:
    """The feature of `rows`, transformed by what TFT learnt from `train`."""
    import apache_beam as beam
    import tensorflow_transform.beam as tft_beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from tensorflow_transform.tf_metadata import dataset_metadata

    features: dict[str, Feature] = {"x": feature}
    config = transform_config(features, {})
    metadata = dataset_metadata.DatasetMetadata(implied_schema(features, {}))

    def dicts(values: np.ndarray) -> list[dict[str, Any]]:
        missing = np.isnan(values).all(axis=1)
        return [
            {"x": row.tolist(), "row_id": f"row {number}"}
            | ({"x.missing": int(missing[number])} if feature.missing else {})
            for number, row in enumerate(values)
        ]

    found: dict[int, list[float]] = {}
    runner = "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"
    with (
        tft_beam.Context(temp_dir=str(folder / "tft")),
        beam.Pipeline(options=PipelineOptions([runner])) as pipeline,
    ):
        training = pipeline | "Train" >> beam.Create(dicts(train))
        graph = (training, metadata) | tft_beam.AnalyzeDataset(
            lambda inputs: preprocessing_fn(inputs, config)
        )
        given = pipeline | "Rows" >> beam.Create(dicts(rows))
        transformed, _ = ((given, metadata), graph) | tft_beam.TransformDataset()
        (
            transformed
            | beam.Map(lambda row: f"{row['row_id'].decode()} {row['x'].tolist()}")
            | beam.io.WriteToText(str(folder / "rows"))
        )
    for file in folder.glob("rows-*"):
        for line in file.read_text().splitlines():
            _, number, values = line.split(" ", 2)
            found[int(number)] = json.loads(values)
    return np.array([found[number] for number in range(len(rows))])


@pytest.mark.component
def test_standard_numbers_have_the_mean_and_deviation_of_the_training_rows(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    # Columns of very different scales: each is scaled by its own.
    train = random.normal([3.0, -500.0], [0.1, 40.0], (200, 2)).astype(np.float32)
    rows = np.array([[3.0, -500.0], [4.0, 0.0], *train[:3]], np.float32)
    feature = NumberFeature(type="number", columns=("a", "b"), normalize="standard")

    found = analyzed(feature, train, rows, tmp_path)

    wanted = (rows - train.mean(axis=0, dtype=np.float64)) / train.std(axis=0, dtype=np.float64)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.component
def test_min_max_numbers_lie_between_0_and_1_in_the_training_rows(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    train = random.uniform([0.0, -9.0], [1000.0, -3.0], (200, 2)).astype(np.float32)
    rows = np.array([train.min(axis=0), train.max(axis=0), [2000.0, -6.0]], np.float32)
    feature = NumberFeature(type="number", columns=("a", "b"), normalize="min_max")

    found = analyzed(feature, train, rows, tmp_path)

    low, high = train.min(axis=0).astype(np.float64), train.max(axis=0)
    np.testing.assert_allclose(found, (rows - low) / (high - low), rtol=1e-5, atol=1e-6)


def scaled(rows: np.ndarray, train: np.ndarray, normalize: str) -> np.ndarray:
    """Each column of `rows` scaled by the values of `train` that are not missing."""
    train = train.astype(np.float64)
    if normalize == "min_max":
        low, high = np.nanmin(train, axis=0), np.nanmax(train, axis=0)
        return (rows - low) / (high - low)
    return (rows - np.nanmean(train, axis=0)) / np.nanstd(train, axis=0)


@pytest.mark.component
@pytest.mark.parametrize("normalize", ["standard", "min_max"])
def test_missing_values_large_means_and_columns_that_do_not_vary(
    tmp_path: Path, normalize: str
) -> None:
    varying = np.random.default_rng(4).normal([5.0, -300.0], [2.0, 30.0], (121, 2))
    large = 1e6 + np.arange(121) % 8  # in float32, too few digits are left to square
    train = np.column_stack([varying, large, *(np.full(121, v) for v in (7.0, 0.1, np.nan))])
    train[::6] = np.nan  # rows without the feature
    train = train.astype(np.float32)
    rows = np.vstack([train[:12], [[5.0, 0.0, 1e6, 8.0, 0.2, 9.0]]]).astype(np.float32)
    feature = NumberFeature.model_validate(
        {
            "type": "number",
            "columns": ["a", "b", "large", "seven", "tenth", "never"],
            "normalize": normalize,
            "missing": "allowed",
        }
    )

    found = analyzed(feature, train, rows, tmp_path)

    there, given = train[:, :3].astype(np.float64), rows[:, :3].astype(np.float64)
    if normalize == "min_max":
        low, high = np.nanmin(there, axis=0), np.nanmax(there, axis=0)
        expected = (given - low) / (high - low)
    else:
        expected = (given - np.nanmean(there, axis=0)) / np.nanstd(there, axis=0)
    np.testing.assert_allclose(found[:, :3], np.nan_to_num(expected), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found[:, 3:], 0.0)
