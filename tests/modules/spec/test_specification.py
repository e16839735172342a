"""The specification as types: what is accepted, and its defaults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tfx_fusion.modules.spec import (
    CategoryLabel,
    ColumnSplit,
    Data,
    Evaluation,
    HashSplit,
    ImageFeature,
    Layers,
    Merge,
    Output,
    Publish,
    Specification,
    Stage,
    Submodel,
    TextFeature,
    Threshold,
    Training,
    data_file_format,
    load_specification,
)

Write = Callable[..., Path]

DENSE = "[Dense: {units: 8, activation: relu}]"
CLASSES = "classes: [red, green, blue]"
SPLIT = "{by: id, train: 0.7, eval: 0.3}"


def test_a_whole_specification_is_read(write_specification: Write) -> None:
    specification = load_specification(write_specification())

    assert specification.name == "colours"
    assert list(specification.features) == ["image", "words"]
    assert specification.features["image"] == ImageFeature(
        type="image", column="image_path", shape=(8, 8, 3), range=(0.0, 1.0)
    )
    assert specification.outputs["colour"].from_ == "scores"
    assert specification.outputs["colour"].from_logits is None
    assert specification.evaluation.thresholds["colour"]["accuracy"] == Threshold(min=0.2)
    assert specification.label_of("colour") == specification.labels["colour"]


def test_what_is_left_out_has_a_default(write_specification: Write) -> None:
    specification = load_specification(
        write_specification(
            ("  batch_size: 16\n  seed: 7\n", ""),
            ("evaluation:\n  thresholds: {colour: {accuracy: {min: 0.2}}}\n", ""),
        )
    )

    assert (specification.training.batch_size, specification.training.seed) == (64, 0)
    assert specification.evaluation == Evaluation(slices=(), thresholds={})
    assert specification.data.max_rejected == 0.01


@pytest.mark.parametrize(
    ("written", "number"),
    [("1e-3", 0.001), ("1.5e-4", 0.00015), (".5", 0.5), ("1", 1.0), ("1E-2", 0.01)],
)
def test_a_learning_rate_may_be_written_as_any_number(
    write_specification: Write, written: str, number: float
) -> None:
    path = write_specification(("learning_rate: 1e-2", f"learning_rate: {written}"))

    assert load_specification(path).training.stages[0].learning_rate == number


def test_paths_are_relative_to_the_folder_of_the_file(
    write_specification: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_specification()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    specification = load_specification(path)

    assert specification.data.path == tmp_path / "data" / "rows.csv"
    assert specification.submodels["text"].path == tmp_path / "models" / "text"
    assert specification.publish.path == tmp_path / "serving"
    words = specification.features["words"]
    assert isinstance(words, TextFeature)
    assert words.vocabulary == tmp_path / "models" / "words.txt"


def test_paths_stay_absolute_for_a_file_named_relatively(
    write_specification: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_specification()
    monkeypatch.chdir(tmp_path)

    assert load_specification(Path("fusion.yaml")).data.path == tmp_path / "data" / "rows.csv"


def test_absolute_paths_and_the_home_folder_are_kept(
    write_specification: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    path = write_specification(("data/rows.csv", "/data/rows.csv"), ("path: serving", "path: ~/up"))

    specification = load_specification(path)

    assert specification.data.path == Path("/data/rows.csv")
    assert specification.publish.path == tmp_path / "home" / "up"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("rows.csv", "csv"),
        ("ROWS.CSV", "csv"),
        ("rows.jsonl", "jsonl"),
        ("rows.parquet", "parquet"),
        ("rows.tfrecord", "tfrecord"),
        ("rows-*.tfrecord.gz", "tfrecord"),
    ],
)
def test_the_ending_of_the_data_file_is_its_format(
    write_specification: Write, name: str, kind: str
) -> None:
    specification = load_specification(write_specification(("rows.csv", name)))

    assert data_file_format(specification.data.path) == kind


def test_yes_and_no_are_text_as_in_yaml_1_2(write_specification: Write) -> None:
    label = load_specification(write_specification((CLASSES, "classes: [yes, no]"))).labels[
        "colour"
    ]

    assert isinstance(label, CategoryLabel)
    assert label.classes == ("yes", "no")


def test_a_layer_without_config_may_be_its_bare_name(write_specification: Write) -> None:
    specification = load_specification(write_specification((DENSE, "[Flatten, ReLU: {}]")))

    assert specification.graph["hidden"] == Layers(
        layers=({"Flatten": {}}, {"ReLU": {}}), inputs="joined"
    )


def test_a_merge_may_take_a_config(write_specification: Write) -> None:
    specification = load_specification(
        write_specification(("{merge: concatenate,", "{merge: gated, config: {units: 16},"))
    )

    assert specification.graph["joined"] == Merge(
        merge="gated", inputs=("vision", "text"), config={"units": 16}
    )


def test_a_column_may_say_the_split(write_specification: Write) -> None:
    specification = load_specification(write_specification((SPLIT, "{column: part}")))

    assert specification.data.split == ColumnSplit(column="part")


def test_a_specification_survives_json(write_specification: Write) -> None:
    specification = load_specification(write_specification())

    assert Specification.model_validate_json(specification.model_dump_json()) == specification


def test_the_same_specification_can_be_built_in_python(
    write_specification: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_specification()
    monkeypatch.chdir(tmp_path)  # from Python, paths are relative to the working folder

    built = Specification(
        name="colours",
        data=Data(path=Path("data/rows.csv"), split=HashSplit(by="id", train=0.7, eval=0.3)),
        features={
            "image": ImageFeature(column="image_path", shape=(8, 8, 3)),
            "words": TextFeature(
                column="transcript", vocabulary=Path("models/words.txt"), encoding="multi_hot"
            ),
        },
        labels={"colour": CategoryLabel(column="colour", classes=("red", "green", "blue"))},
        submodels={
            "vision": Submodel(
                path=Path("models/vision.keras"), inputs={"image": "image"}, output="features"
            ),
            "text": Submodel(
                path=Path("models/text"), inputs={"tokens": "words"}, output="features"
            ),
        },
        graph={
            "joined": Merge(merge="concatenate", inputs=("vision", "text")),
            "hidden": Layers(
                layers=({"Dense": {"units": 8, "activation": "relu"}},), inputs="joined"
            ),
            "scores": Layers(layers=({"Dense": {"units": 3}},), inputs="hidden"),
        },
        outputs={
            "colour": Output(from_="scores", loss="categorical_crossentropy", metrics=("accuracy",))
        },
        training=Training(
            batch_size=16, seed=7, stages=(Stage(name="head", epochs=3, learning_rate=0.01),)
        ),
        evaluation=Evaluation(thresholds={"colour": {"accuracy": Threshold(min=0.2)}}),
        publish=Publish(path=Path("serving")),
    )

    assert built == load_specification(path)


def test_a_specification_never_changes(write_specification: Write) -> None:
    specification = load_specification(write_specification())

    with pytest.raises(ValueError, match="frozen"):
        specification.name = "other"


def test_only_a_file_must_name_the_type_of_a_feature_or_label() -> None:
    # In Python the class says it, as in the test above.
    definitions = Specification.model_json_schema()["$defs"]
    parts = [one for name, one in definitions.items() if name.endswith(("Feature", "Label"))]

    assert len(parts) == 9
    assert all("type" in one["required"] for one in parts)
