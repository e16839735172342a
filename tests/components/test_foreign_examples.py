"""EmbeddingGen and FusionTrainer on what TFX's own ExampleGen and Transform have made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from executions import binding, examples_of, plan_of, run_embedding, run_training
from own_pipeline import NAMES, SPLITS, OwnPipeline, columns, ran, record_of

from tfx_fusion.modules.embedding.columns import parse, read_contents
from tfx_fusion.modules.embedding.plan import StagePlan
from tfx_fusion.modules.spec import Fusion, load_fusion
from tfx_fusion.pipeline.failure import cause_of

pytestmark = pytest.mark.component
BOUND = binding(SPLITS, NAMES)
NAMED = list(SPLITS.values())


@pytest.fixture(scope="module")
def own(shared_folder: Path) -> OwnPipeline:
    return ran(shared_folder)


@pytest.fixture(scope="module")
def fusion(own: OwnPipeline) -> Fusion:
    return load_fusion(own.folder / "fusion.yaml")


def rows_of(embeddings: Any, split: str = "train") -> dict[str, np.ndarray]:
    """All embedded rows of a split by column."""
    known = {column.name: column for column in read_contents(embeddings.uri).columns}
    files = sorted(str(file) for file in Path(embeddings.uri, f"Split-{split}").iterdir())
    [rows] = tf.data.TFRecordDataset(files).batch(9999)
    return {name: values.numpy() for name, values in parse(known, rows).items()}


@pytest.fixture(scope="module")
def embedded(
    own: OwnPipeline, fusion: Fusion, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, dict[str, np.ndarray]]:
    """What EmbeddingGen made of the compressed examples, and its rows to train on."""
    folder = tmp_path_factory.mktemp("embedded")
    examples = examples_of(own.examples, NAMED)
    made = run_embedding(fusion, [examples], own.transform_graph, folder, BOUND)
    return made, rows_of(made)


def test_rows_without_an_id_go_by_their_place_and_labels_by_their_class(
    embedded: tuple[Any, dict[str, np.ndarray]], own: OwnPipeline
) -> None:
    made, rows = embedded
    given = [columns(record) for record in own.records("training")]

    assert read_contents(made.uri).rows["train"] == len(given)
    assert rows["row_id"][7] == b"record 7 of Split-training/data_tfrecord-00000-of-00001.gz"
    assert rows["left"].tolist() == [int(row["left"] == [b"yes"]) for row in given]
    assert rows["account.features"].dtype == np.float32


def test_materialized_examples_give_the_same_embeddings(
    embedded: tuple[Any, dict[str, np.ndarray]], own: OwnPipeline, fusion: Fusion, tmp_path: Path
) -> None:
    examples = examples_of(own.artifact("Transform", "transformed_examples"), NAMED)
    made = rows_of(run_embedding(fusion, [examples], own.transform_graph, tmp_path, BOUND))

    assert made.keys() == embedded[1].keys()
    # Transform writes rows in an order of its own.
    for rows in (made, embedded[1]):
        order = np.lexsort(np.concatenate([rows["letters.features"], rows["spent"]], axis=1).T)
        rows["sorted"] = np.concatenate(
            [rows["letters.features"], rows["account.features"], rows["left"][:, None]], axis=1
        )[order]
    np.testing.assert_allclose(made.pop("sorted"), embedded[1].pop("sorted"), atol=1e-6)


def test_several_spans_are_read_one_after_the_other_and_training_live_learns_the_same(
    own: OwnPipeline, fusion: Fusion, tmp_path: Path
) -> None:
    spans = [examples_of(own.examples, NAMED), examples_of(own.examples, NAMED)]
    training = fusion.training
    [stage] = training.stages
    short = training.changed(stages=(stage.changed(epochs=1),), batch_size=256)
    fusion = fusion.changed(training=short)
    made = run_embedding(fusion, spans, own.transform_graph, tmp_path, BOUND)
    count = len(own.records("training"))
    once = rows_of(made)["account.features"]
    assert len(once) == 2 * count
    np.testing.assert_array_equal(once[:count], once[count:])

    losses = []
    plan = [StagePlan(plan=plan_of(fusion))]
    for stages, embeddings in ((None, []), (plan, [made])):
        trained = run_training(
            fusion, spans, own.transform_graph, tmp_path / f"trained {len(losses)}",
            stages=stages, embeddings=embeddings, bound=BOUND,
        )  # fmt: skip
        history = json.loads(Path(trained["training_record"].uri, "history.json").read_text())
        losses.append(history["stages"][0]["epochs"][0]["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


# ------------------------------------------------------------------------------ what does not fit


def changed_examples(
    own: OwnPipeline, folder: Path, change: Callable[[dict[str, list[Any]]], Any]
) -> Any:
    """Plain examples of which the third row of `training` is another."""
    for split in NAMED:
        (folder / f"Split-{split}").mkdir(parents=True)
        records = own.records(split)[:5]
        if split == "training":
            row = columns(records[2])
            change(row)
            records[2] = record_of(row)
        file = str(folder / f"Split-{split}" / "data_tfrecord-00000-of-00001")
        with tf.io.TFRecordWriter(file) as writer:
            for record in records:
                writer.write(record)
    return examples_of(folder, NAMED)


PLACE = "record 2 of Split-training/data_tfrecord-00000-of-00001: "


@pytest.mark.parametrize("step", ["embedding", "training"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda row: row.update(left=[b"perhaps"]),
            PLACE + "labels.left: expected no, yes, found 'perhaps' in the Transform graph's "
            "output 'left'",
        ),
        (
            lambda row: row.pop("visits"),
            PLACE + "column 'visits': expected 1 int64 value, found none, by the Transform graph",
        ),
        (
            lambda row: row.update(visits=[0.5]),
            PLACE + "column 'visits': expected int64, found float32, by the Transform graph",
        ),
    ],
    ids=["class", "absent", "dtype"],
)
def test_a_row_that_does_not_fit_fails_with_its_place_and_column(
    change: Callable[[Any], Any],
    message: str,
    step: str,
    own: OwnPipeline,
    fusion: Fusion,
    tmp_path: Path,
) -> None:
    examples = changed_examples(own, tmp_path / "examples", change)
    run = run_embedding if step == "embedding" else run_training
    with pytest.raises(Exception) as caught:  # noqa: PT011 Beam wraps it in an error of its own
        run(fusion, [examples], own.transform_graph, tmp_path, bound=BOUND)
    assert cause_of(caught.value) == message


def test_a_missing_split_and_a_missing_output_fail_with_the_names_on_both_sides(
    own: OwnPipeline, fusion: Fusion, tmp_path: Path
) -> None:
    given = examples_of(own.examples, NAMED)
    for step, bound, message in (
        (
            run_embedding, binding(names=NAMES),
            f"{own.examples}: expected a split 'train' of the examples, found training, "
            "validation: name one of these",
        ),
        (
            run_training, binding(SPLITS, {"days": "days_xf"}),
            "features.spent: expected an output 'spent' of the Transform graph, float32 (batch, "
            "1), found none; did you mean 'spent_xf'?: return it from preprocessing_fn, or give "
            "the output's name for 'spent' in names",
        ),
    ):  # fmt: skip
        with pytest.raises(Exception) as caught:  # noqa: PT011 as above
            step(fusion, [given], own.transform_graph, tmp_path, bound=bound)
        assert cause_of(caught.value) == message
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
