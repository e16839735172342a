"""What TFX's own components leave: examples of a CsvExampleGen, models of Trainers."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

RUNNER = "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"
ROWS = 60
SPLITS = ("training", "validation")


def table(seed: int = 4) -> list[dict[str, Any]]:
    """Rows that nobody numbers; whether a thing is steep can be said from its width and height."""
    random = np.random.default_rng(seed)
    rows = []
    for place in range(ROWS):
        width, height = random.uniform(0, 4, 2).round(3)
        noisy = height + random.normal(0, 0.5) > width
        rows.append(
            {
                "width": width, "height": height, "pieces": int(random.integers(1, 9)),
                "region": ("north", "south")[place % 2], "steep": "yes" if noisy else "no",
            }
        )  # fmt: skip
    return rows


def write_examples(folder: Path) -> None:
    """Runs CsvExampleGen's executor on the table: splits of its user's own names, compressed."""
    from tfx.components.example_gen.csv_example_gen.executor import Executor
    from tfx.proto import example_gen_pb2
    from tfx.utils import proto_utils

    (folder / "csv").mkdir(parents=True)
    with (folder / "csv" / "rows.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, table()[0])
        writer.writeheader()
        writer.writerows(table())
    buckets = [
        example_gen_pb2.SplitConfig.Split(name=name, hash_buckets=size)
        for name, size in zip(SPLITS, (1, 2), strict=True)
    ]
    given = example_gen_pb2.Input(
        splits=[example_gen_pb2.Input.Split(name="rows", pattern="rows.csv")]
    )
    made = example_gen_pb2.Output(split_config=example_gen_pb2.SplitConfig(splits=buckets))
    context = Executor.Context(beam_pipeline_args=[RUNNER], tmp_dir=str(folder / "temporary"))
    Executor(context).Do(
        {},
        {"examples": [examples_in(folder)]},
        {
            "input_base": str(folder / "csv"),
            "input_config": proto_utils.proto_to_json(given),
            "output_config": proto_utils.proto_to_json(made),
        },
    )


def examples_in(folder: Path) -> Any:
    """The artifact of those examples."""
    from tfx.types import artifact_utils, standard_artifacts

    examples = standard_artifacts.Examples()
    examples.uri = str(folder / "examples")
    examples.split_names = artifact_utils.encode_split_names(list(SPLITS))
    return examples


def read(folder: Path, split: str) -> dict[str, np.ndarray]:
    """The columns of a split in the order of its files, read as TensorFlow reads them."""
    import tensorflow as tf

    files = sorted((folder / "examples" / f"Split-{split}").iterdir())
    spec = {
        "width": tf.io.FixedLenFeature((), tf.float32),
        "height": tf.io.FixedLenFeature((), tf.float32),
        "region": tf.io.FixedLenFeature((), tf.string),
        "steep": tf.io.FixedLenFeature((), tf.string),
    }
    records = tf.data.TFRecordDataset([str(file) for file in files], "GZIP").batch(ROWS)
    parsed = tf.io.parse_example(next(iter(records)), spec)
    return {name: value.numpy() for name, value in parsed.items()}


def chances(columns: Mapping[str, np.ndarray], slope: float = 1.0) -> np.ndarray:
    """What the models below predict, `(rows, 1)`."""
    score = slope * (columns["height"] - columns["width"])
    return (1 / (1 + np.exp(-score)))[:, None]


def save_model(
    folder: Path,
    output: str = "steep",
    slope: float = 1.0,
    by_examples: bool = True,
    answer: Callable[[Any], Any] | None = None,
    features: tuple[str, str] = ("width", "height"),
) -> Any:
    """A Model artifact as a Trainer leaves it, whose `serving_default` gives one named output.

    Args:
        folder: of the artifact.
        output: the name of its output.
        slope: of the score that it computes.
        by_examples: whether it takes serialized tf.Examples, or the two features.
        answer: from scores `(batch, 1)` to the output; sigmoid unless given.
        features: what it reads.
    """
    import tensorflow as tf
    from tfx.types import standard_artifacts
    from tfx.utils import path_utils

    low, high = features
    module = tf.Module()
    module.slope = tf.Variable(slope)
    gives = answer or tf.sigmoid

    def score(first: Any, second: Any) -> dict[str, Any]:
        return {output: gives(module.slope * (second - first))}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="examples")])
    def of_examples(examples: Any) -> dict[str, Any]:
        spec = {name: tf.io.FixedLenFeature((1,), tf.float32) for name in features}
        parsed = tf.io.parse_example(examples, spec)
        return score(parsed[low], parsed[high])

    @tf.function(
        input_signature=[tf.TensorSpec((None, 1), tf.float32, name=name) for name in features]
    )
    def of_features(first: Any, second: Any) -> dict[str, Any]:
        return score(first, second)

    model = standard_artifacts.Model()
    model.uri = str(folder)
    default = of_examples if by_examples else of_features
    tf.saved_model.save(
        module, path_utils.serving_model_dir(model.uri), signatures={"serving_default": default}
    )
    return model
