"""Reading a specification: what is accepted, and how each mistake is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.spec import (
    CategoryFeature,
    CategoryLabel,
    ColumnSplit,
    Data,
    Evaluation,
    HashSplit,
    ImageFeature,
    Layers,
    Merge,
    MultiLabel,
    NumberFeature,
    NumberLabel,
    Output,
    Publish,
    RawFeature,
    SequenceFeature,
    Specification,
    Stage,
    Submodel,
    TextFeature,
    Threshold,
    Training,
    columns_of,
    data_file_format,
    load_specification,
    stored,
)

Write = Callable[..., Path]

DENSE = "[Dense: {units: 8, activation: relu}]"
CLASSES = "classes: [red, green, blue]"
SPLIT = "{by: id, train: 0.7, eval: 0.3}"
STAGE = "    - {name: head, epochs: 3, learning_rate: 1e-2}"
WORDS = "vocabulary: models/words.txt, encoding: multi_hot"


def problems_of(path: Path) -> list[str]:
    with pytest.raises(SpecificationError) as caught:
        load_specification(path)
    return caught.value.problems


def line_of(path: Path, marker: str) -> int:
    text = path.read_text()
    return text[: text.index(marker)].count("\n") + 1


def assert_told(problem: str, expected: str) -> None:
    """The message starts with what stands before the first `…` and then holds each piece."""
    start, *pieces = expected.split(" … ")
    assert problem.startswith(start)
    rest = problem.removeprefix(start)
    for piece in pieces:
        assert piece in rest, problem
        rest = rest.partition(piece)[2]


def assert_refused(path: Path, marker: str, expected: str) -> None:
    """One problem only, told with the file, the line of `marker` and the expected words."""
    found = problems_of(path)
    assert len(found) == 1, found
    assert_told(found[0], f"{path}:{line_of(path, marker)}: {expected}")


# What is accepted


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
def test_the_ending_of_the_data_file_tells_its_format(
    write_specification: Write, name: str, kind: str
) -> None:
    specification = load_specification(write_specification(("rows.csv", name)))

    assert data_file_format(specification.data.path) == kind


def test_classes_written_as_numbers_are_text(write_specification: Write) -> None:
    labels = load_specification(write_specification((CLASSES, "classes: [0, 1, 2.5]"))).labels

    assert labels["colour"] == CategoryLabel(
        type="category", column="colour", classes=("0", "1", "2.5")
    )


def test_a_label_of_several_classes_may_say_its_separator(write_specification: Write) -> None:
    kinds = ("type: category", "type: multi_label"), (CLASSES, 'classes: [0, b], separator: "|"')

    labels = load_specification(write_specification(*kinds)).labels

    assert labels["colour"] == MultiLabel(
        type="multi_label", column="colour", classes=("0", "b"), separator="|"
    )


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            'classes: [a, "b;c"]',
            "the class 'b;c' holds the separator ';': write another separator, "
            "or name the class differently",
        ),
        (
            "classes: [a, b c], separator: ' '",
            "the class 'b c' holds the separator ' ': write another separator, "
            "or name the class differently",
        ),
        ('classes: [a, " b"]', "the class ' b' has spaces around it: write 'b'"),
        ("classes: [a, b, a]", "each class once, found 'a' more than once"),
        ("classes: [a, b], separator: ''", "string should have at least 1 character, found ''"),
        ("classes: [a, b], seperator: x", "unknown key: did you mean 'separator'?"),
    ],
)
def test_classes_that_a_cell_cannot_name_are_refused(
    write_specification: Write, written: str, message: str
) -> None:
    path = write_specification(("type: category", "type: multi_label"), (CLASSES, written))

    with pytest.raises(SpecificationError) as caught:
        load_specification(path)

    [problem] = caught.value.problems
    assert "labels.colour" in problem
    assert problem.endswith(message)


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


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("all", {"all": True}),
        ("{last: 2}", {"last": 2}),
        ("{layers: ['conv*', norm]}", {"layers": ("conv*", "norm")}),
        ("{last: 1, learning_rate: 1e-6}", {"last": 1, "learning_rate": 1e-6}),
        ("{last: 1, training_mode: true}", {"last": 1, "training_mode": True}),
    ],
)
def test_a_stage_may_unfreeze_a_submodel(
    write_specification: Write, written: str, expected: dict[str, object]
) -> None:
    path = write_specification(("epochs: 3", f"epochs: 3, unfreeze: {{vision: {written}}}"))

    unfreeze = load_specification(path).training.stages[0].unfreeze

    assert {name: part.model_dump(exclude_defaults=True) for name, part in unfreeze.items()} == {
        "vision": expected
    }


@pytest.mark.parametrize("key", ["optimizer", "schedule"])
@pytest.mark.parametrize(
    ("written", "expected"),
    [("Some", {"Some": {}}), ("{Some: {rate: 1e-2}}", {"Some": {"rate": 0.01}})],
)
def test_a_stage_may_name_a_class_of_keras_with_its_config(
    write_specification: Write, key: str, written: str, expected: dict[str, object]
) -> None:
    path = write_specification(("epochs: 3", f"epochs: 3, {key}: {written}"))

    assert getattr(load_specification(path).training.stages[0], key) == expected


def test_anchors_and_merge_keys_are_understood(write_specification: Write) -> None:
    shared = "    - &shared {name: head, epochs: 3, learning_rate: 1e-2}"
    path = write_specification((STAGE, f"{shared}\n    - {{<<: *shared, name: longer, epochs: 9}}"))

    stages = load_specification(path).training.stages

    assert stages[1] == Stage(name="longer", epochs=9, learning_rate=0.01)


@pytest.mark.parametrize(
    ("written", "shape", "dtype"),
    [
        (WORDS.replace("multi_hot", "ids, length: 4"), (4,), "int64"),
        ("encoding: string", (), "string"),
    ],
)
def test_text_may_be_ids_or_left_as_it_is(
    write_specification: Write, written: str, shape: tuple[int, ...], dtype: str
) -> None:
    words = load_specification(write_specification((WORDS, written))).features["words"]

    assert (words.tensor_shape, words.tensor_dtype) == (shape, dtype)


def test_multi_hot_text_is_as_wide_as_its_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("[UNK]\nred\ngreen\n")

    words = TextFeature(
        type="text", column="t", encoding="multi_hot", vocabulary=tmp_path / "words.txt"
    )

    assert (words.tensor_shape, words.tensor_dtype) == ((3,), "float32")


@pytest.mark.parametrize(
    ("feature", "columns", "in_rows", "in_graph"),
    [
        (
            ImageFeature(type="image", column="a", shape=(8, 6, 1)),
            ("a",),
            ((), "string"),
            ((8, 6, 1), "float32"),
        ),
        (
            TextFeature(type="text", column="a", encoding="string"),
            ("a",),
            ((), "string"),
            ((), "string"),
        ),
        (
            NumberFeature(type="number", column="a"),
            ("a",),
            ((1,), "float32"),
            ((1,), "float32"),
        ),
        (
            NumberFeature(type="number", columns=("a", "b")),
            ("a", "b"),
            ((2,), "float32"),
            ((2,), "float32"),
        ),
        (
            CategoryFeature(type="category", column="a", classes=("x", "y")),
            ("a",),
            ((), "string"),
            ((2,), "float32"),
        ),
        (
            CategoryFeature(type="category", column="a", classes=("x", "y"), encoding="index"),
            ("a",),
            ((), "string"),
            ((), "int64"),
        ),
        (
            SequenceFeature(type="sequence", column="a", shape=(5, 2), variable=True),
            ("a",),
            ((5, 2), "float32"),
            ((5, 2), "float32"),
        ),
        (
            RawFeature(type="raw", column="a", dtype="int64"),
            ("a",),
            ((), "int64"),
            ((), "int64"),
        ),
        (
            RawFeature(type="raw", column="a", dtype="string", shape=(2, 3)),
            ("a",),
            ((2, 3), "string"),
            ((2, 3), "string"),
        ),
    ],
    ids=lambda value: value.type if hasattr(value, "type") else "",
)
def test_a_feature_knows_its_columns_and_shapes(
    feature: ImageFeature, columns: tuple, in_rows: tuple, in_graph: tuple
) -> None:
    assert columns_of(feature) == columns
    assert tuple(stored(feature)) == in_rows
    assert (feature.tensor_shape, feature.tensor_dtype) == in_graph


@pytest.mark.parametrize(
    ("label", "in_rows"),
    [
        (CategoryLabel(type="category", column="a", classes=("x", "y")), ((), "string")),
        (MultiLabel(type="multi_label", column="a", classes=("x", "y")), ((2,), "int64")),
        (NumberLabel(type="number", column="a"), ((), "float32")),
    ],
)
def test_a_label_knows_its_column_and_its_shape_in_a_row(
    label: NumberLabel, in_rows: tuple
) -> None:
    assert columns_of(label) == ("a",)
    assert tuple(stored(label)) == in_rows


# The file is only the serialised form


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
            "image": ImageFeature(type="image", column="image_path", shape=(8, 8, 3)),
            "words": TextFeature(
                type="text",
                column="transcript",
                vocabulary=Path("models/words.txt"),
                encoding="multi_hot",
            ),
        },
        labels={
            "colour": CategoryLabel(
                type="category", column="colour", classes=("red", "green", "blue")
            )
        },
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


# Keys


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("publish: {", "publsh: {", "publsh: unknown key: did you mean 'publish'?"),
        (
            "  batch_size:",
            "  batchsize:",
            "training.batchsize: unknown key: did you mean 'batch_size'?",
        ),
        (
            "epochs: 3",
            "epoch: 3",
            "training.stages.0.epoch: unknown key: did you mean 'epochs'?",
        ),
        (
            "epochs: 3",
            "epochs: 3, unfreez: {vision: all}",
            "training.stages.0.unfreez: unknown key: did you mean 'unfreeze'?",
        ),
        ("from: scores", "form: scores", "outputs.colour.form: unknown key: did you mean 'from'?"),
        (
            "merge: concatenate",
            "mrege: concatenate",
            "graph.joined.mrege: unknown key: did you mean 'merge'?",
        ),
        (f"layers: {DENSE}", "layer: [ReLU]", "graph.hidden.layer: … did you mean 'layers'?"),
        (
            "column: image_path",
            "colunm: image_path",
            "features.image.colunm: unknown key: did you mean 'column'?",
        ),
        (
            "{min: 0.2}",
            "{minimum: 0.2}",
            "evaluation.thresholds.colour.accuracy.minimum: … did you mean 'min'?",
        ),
        (
            "seed: 7",
            "verbose: true",
            "training.verbose: unknown key: known: batch_size, embed_once, precision, se",
        ),
        ("{by: id, train", "{bye: id, train", "data.split.bye: unknown key: did you mean 'by'?"),
        (SPLIT, "{colum: part}", "data.split.colum: unknown key: did you mean 'column'?"),
        (
            SPLIT,
            "{column: part, train: 0.7}",
            "data.split.train: unknown key: known: column",
        ),
        (
            "joined: {merge: concatenate",
            "joined: {merge: add, layers: [ReLU]",
            "graph.joined.layers: unknown key: … merge",
        ),
        ("seed: 7", "seed: 7\n  0: 9", "training.0: unknown key"),
    ],
)
def test_an_unknown_key_suggests_the_nearest(
    write_specification: Write, old: str, new: str, expected: str
) -> None:
    path = write_specification((old, new))

    assert_refused(path, new.rpartition("\n")[2], expected)


@pytest.mark.parametrize(
    ("old", "new", "marker", "expected"),
    [
        ("name: colours\n", "", "data:", "name: this key is missing"),
        (", eval: 0.3}", "}", "split:", "data.split.eval: this key is missing"),
        ("epochs: 3, ", "", "{name: head", "training.stages.0.epochs: this key is missing"),
        ("column: image_path, ", "", "image:", "features.image.column: this key is missing"),
        ("type: image, ", "", "image:", "features.image: the key 'type' is missing"),
        (
            "loss: categorical_crossentropy, ",
            "",
            "from: scores",
            "outputs.colour.loss: this key is missing",
        ),
        (", encoding: multi_hot", "", "words:", "features.words.encoding: this key is missing"),
        ("inputs: {image: image}, ", "", "vision:", "submodels.vision.inputs: this key is missing"),
    ],
)
def test_a_missing_key_is_told_where_it_belongs(
    write_specification: Write, old: str, new: str, marker: str, expected: str
) -> None:
    assert_refused(write_specification((old, new)), marker, expected)


@pytest.mark.parametrize(
    ("old", "new", "line", "key"),
    [
        ("  seed: 7\n", "  seed: 7\n  seed: 8\n", "  seed: 8", "seed"),
        (
            "  scores: {layers",
            "  hidden: {layers",
            "  hidden: {layers: [Dense: {units: 3",
            "hidden",
        ),
        ("epochs: 3", "epochs: 3, epochs: 4", "epochs: 3", "epochs"),
        ("seed: 7", '"seed": 7\n  seed: 8', "  seed: 8", "seed"),
    ],
)
def test_a_key_that_stands_twice_is_told_with_its_line(
    write_specification: Write, old: str, new: str, line: str, key: str
) -> None:
    path = write_specification((old, new))

    (problem,) = problems_of(path)

    assert problem == (
        f"{path}:{line_of(path, line)}: '{key}' stands twice in the same mapping; each name once"
    )


def test_every_problem_is_told_at_once(write_specification: Write) -> None:
    path = write_specification(
        ("epochs: 3", "epochs: many"),
        ("batch_size: 16", "batch_size: 0"),
        ("train: 0.7", "train: 0.6"),
        ("merge: concatenate", "merge: concat"),
    )

    told = "\n".join(problems_of(path))

    for key in ("training.stages.0.epochs", "training.batch_size", "data.split", "graph.joined"):
        assert f" {key}" in told


def test_an_unknown_key_does_not_hide_other_problems(write_specification: Write) -> None:
    path = write_specification(
        ("name: colours", "name: colours\ntitle: Colours"),
        ("batch_size: 16", "bathc_size: 16\n  sed: 3"),
        ("epochs: 3", "epochs: many"),
    )

    told = "\n".join(problems_of(path))

    for key in ("title", "training.bathc_size", "training.sed", "training.stages.0.epochs"):
        assert f" {key}: " in told


def test_a_mistake_behind_a_merge_key_is_told_with_a_line(write_specification: Write) -> None:
    shared = "    - &shared {name: head, epochs: 3, learning_rate: fast}"
    path = write_specification((STAGE, f"{shared}\n    - {{<<: *shared, name: longer}}"))

    first, second = problems_of(path)

    assert_told(first, f"{path}:{line_of(path, '&shared')}: training.stages.0.learning_rate: ")
    # The key itself stands only in the merged mapping; the item that merges it is named.
    assert "training.stages.1.learning_rate: " in second
    assert second.startswith(
        (f"{path}:{line_of(path, '&shared')}:", f"{path}:{line_of(path, '<<')}:")
    )


# Types and values


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("epochs: 3", "epochs: '15'", "training.stages.0.epochs: … integer … found '15'"),
        ("epochs: 3", "epochs: true", "training.stages.0.epochs: … integer … found True"),
        ("epochs: 3", "epochs: 2.5", "training.stages.0.epochs: … integer … found 2.5"),
        ("epochs: 3", "epochs: 0", "training.stages.0.epochs: … greater than 0 … found 0"),
        ("batch_size: 16", "batch_size: -1", "training.batch_size: … greater than 0 … found -1"),
        ("seed: 7", "seed: -1", "training.seed: … greater than or equal to 0 … found -1"),
        (
            "learning_rate: 1e-2",
            "learning_rate: '1e-2'",
            "training.stages.0.learning_rate: … number … found '1e-2'",
        ),
        (
            "learning_rate: 1e-2",
            "learning_rate: true",
            "training.stages.0.learning_rate: … number … found True",
        ),
        (
            "learning_rate: 1e-2",
            "learning_rate: 0",
            "training.stages.0.learning_rate: … greater than 0 … found 0",
        ),
        (
            "learning_rate: 1e-2",
            "learning_rate: .inf",
            "training.stages.0.learning_rate: … finite … found inf",
        ),
        (
            "from: scores",
            "from: scores, from_logits: yes",
            "outputs.colour.from_logits: … boolean … found 'yes'",
        ),
        (
            "from: scores",
            "from: scores, weight: 0",
            "outputs.colour.weight: … greater than 0 … found 0",
        ),
        ("{min: 0.2}", "{min: .nan}", "evaluation.thresholds.colour.accuracy.min: … finite"),
        ("column: colour", "column: 7", "labels.colour.column: … string … found 7"),
        ("column: colour", "column: ''", "labels.colour.column: … at least 1 character"),
        ("by: id", "by: 7", "data.split.by: … string … found 7"),
        ("path: data/rows.csv", "path: 7", "data.path: … path … found 7"),
        ("name: colours", "name: [colours]", "name: … string … found ['colours']"),
    ],
)
def test_a_value_of_another_type_is_refused(
    write_specification: Write, old: str, new: str, expected: str
) -> None:
    assert_refused(write_specification((old, new)), new, expected)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("metrics: [accuracy]", "metrics: accuracy", "outputs.colour.metrics: … list … 'accuracy'"),
        (CLASSES, "classes: red", "labels.colour.classes: … list … found 'red'"),
        (f"layers: {DENSE}", "layers: Flatten", "graph.hidden.layers: … list … found 'Flatten'"),
        ("publish: {path: serving}", "publish: serving", "publish: … mapping … found 'serving'"),
        (f"split: {SPLIT}", "split: id", "data.split: … mapping … found 'id'"),
        ("image: {type: image, ", "other: 3\n  image: {type: image, ", "features.other: … mapping"),
        ("inputs: {image: image}", "inputs: image", "submodels.vision.inputs: … mapping"),
    ],
)
def test_a_list_or_mapping_is_asked_for_in_those_words(
    write_specification: Write, old: str, new: str, expected: str
) -> None:
    assert_refused(write_specification((old, new)), new.partition("\n")[0], expected)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[8, 8, 3]", "[8, 8, 2]", "features.image.shape.2: expected 1, 3 or 4, found 2"),
        ("[8, 8, 3]", "[8, 0, 3]", "features.image.shape.1: … greater than 0 … found 0"),
        ("[8, 8, 3]", "[8, 8, 3, 1]", "features.image.shape: … at most 3 items … 4"),
        ("[8, 8, 3]", "[8, 8]", "features.image.shape: expected … items … found [8, 8]"),
        (
            "[8, 8, 3]",
            "[8, 8, 3], range: [1, 0]",
            "features.image: range must ascend, found [1.0, 0.0]: write [0, 1]",
        ),
        (CLASSES, "classes: [red]", "labels.colour.classes: … at least 2 items … found ['red']"),
        (
            CLASSES,
            "classes: [red, green, red]",
            "labels.colour.classes: each class once, found 'red' more than once",
        ),
        (
            CLASSES,
            "classes: [1, '1']",
            "labels.colour.classes: each class once, found '1' more than once",
        ),
        (CLASSES, "classes: [red, '']", "labels.colour.classes.1: … at least 1 character"),
        (CLASSES, "classes: [true, red]", "labels.colour.classes.0: … string … found True"),
        (
            "[vision, text]",
            "[vision]",
            "graph.joined.inputs: … at least 2 items … found ['vision']",
        ),
        ("inputs: {image: image}", "inputs: {}", "submodels.vision.inputs: … at least 1 item"),
        (DENSE, "[]", "graph.hidden.layers: … at least 1 item"),
        (
            DENSE,
            "[Dense: {units: 8}, {Flatten: {}, ReLU: {}}]",
            "graph.hidden.layers: item 1 must name one layer, as {Dense: {units: 64}}; "
            "found Flatten, ReLU",
        ),
        (DENSE, "[{}]", "graph.hidden.layers: item 0 must name one layer … found nothing"),
        (DENSE, "[Dense: 8]", "graph.hidden.layers.0.Dense: … found 8"),
        (
            "{min: 0.2}",
            "{}",
            "evaluation.thresholds.colour.accuracy: give 'min', 'max' or 'change'",
        ),
        ("eval: 0.3", "eval: 0.2", "data.split: train and eval must sum to 1, found 0.9"),
        (
            "train: 0.7, eval: 0.3",
            "train: 1, eval: 0",
            "data.split: train must lie between 0 and 1, found 1",
        ),
        ("train: 0.7", "train: 1.7", "data.split.train: … less than or equal to 1 … found 1.7"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(
    write_specification: Write, old: str, new: str, expected: str
) -> None:
    assert_refused(write_specification((old, new)), new, expected)


@pytest.mark.parametrize("name", ["rows.txt", "rows.csv.gz", "rows", "rows.tfrecords"])
def test_a_data_file_of_unknown_ending_is_refused(write_specification: Write, name: str) -> None:
    assert_refused(
        write_specification(("rows.csv", name)),
        name,
        "data.path: expected a file ending in .csv, .jsonl, .parquet, .tfrecord or .tfrecord.gz, "
        f"found '{name}'",
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "loss: categorical_crossentropy",
            "loss: categorical_crossentrpy",
            "outputs.colour.loss: expected 'categorical_crossentropy', … or 'huber', "
            "found 'categorical_crossentrpy'; did you mean 'categorical_crossentropy'?",
        ),
        (
            "metrics: [accuracy]",
            "metrics: [acuracy]",
            "outputs.colour.metrics.0: … found 'acuracy'; did you mean 'accuracy'?",
        ),
        (
            "merge: concatenate",
            "merge: concat",
            "graph.joined.merge: there is no merge 'concat'; did you mean 'concatenate'?",
        ),
        (
            "type: image,",
            "type: imgae,",
            "features.image: expected 'image', 'text', … as 'type', found 'imgae'; "
            "did you mean 'image'?",
        ),
        (
            "encoding: multi_hot",
            "encoding: multihot",
            "features.words.encoding: expected 'multi_hot', 'ids' or 'string', found 'multihot'; "
            "did you mean 'multi_hot'?",
        ),
        (
            "seed: 7",
            "warm_start: champoin\n  seed: 7",
            "training.warm_start: expected 'champion', found 'champoin'; did you mean 'champion'?",
        ),
        (
            "{accuracy: {min",
            "{acuracy: {min",
            "evaluation.thresholds.colour.acuracy: … did you mean 'accuracy'?",
        ),
        (
            "colour: {type: category",
            "colour: {type: text",
            "labels.colour: expected 'category', 'multi_label', 'number' as 'type', found 'text'",
        ),
    ],
)
def test_a_misspelt_word_suggests_the_nearest(
    write_specification: Write, old: str, new: str, expected: str
) -> None:
    assert_refused(write_specification((old, new)), new, expected)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("vocabulary: w.txt, encoding: string", "encoding 'string' takes no vocabulary"),
        ("encoding: multi_hot", "encoding 'multi_hot' needs a vocabulary"),
        ("encoding: ids, length: 4", "encoding 'ids' needs a vocabulary"),
        ("vocabulary: w.txt, encoding: ids", "encoding 'ids' needs a length"),
        (
            "vocabulary: w.txt, encoding: multi_hot, length: 4",
            "encoding 'multi_hot' takes no length",
        ),
        ("encoding: string, length: 4", "encoding 'string' takes no length"),
    ],
)
def test_a_text_feature_takes_the_keys_of_its_encoding_only(
    write_specification: Write, written: str, expected: str
) -> None:
    assert_refused(write_specification((WORDS, written)), written, f"features.words: {expected}")


@pytest.mark.parametrize("written", ["", ", columns: []", ", column: a, columns: [b]"])
def test_a_number_feature_takes_either_a_column_or_columns(
    write_specification: Write, written: str
) -> None:
    feature = f"  size: {{type: number{written}}}\n"

    assert_refused(
        write_specification(("features:\n", f"features:\n{feature}")),
        feature,
        "features.size: give either 'column' (one number) or 'columns' (a list of names)",
    )


@pytest.mark.parametrize(
    ("feature", "expected"),
    [
        ("{type: sequence, column: a, shape: [3, 2], variable: 1}", "variable: … boolean … 1"),
        ("{type: sequence, column: a, shape: [3]}", "shape: expected … items … found [3]"),
        ("{type: sequence, column: a, shape: [3, 2], padding: none}", "padding: … number … 'none'"),
        ("{type: raw, column: a, dtype: int32}", "dtype: … 'int32'; did you mean 'int64'?"),
        ("{type: raw, column: a, dtype: int64, shape: [-1]}", "shape.0: … greater than 0 … -1"),
        ("{type: number, column: a, normalize: zscore}", "normalize: expected 'none', 'standard'"),
        ("{type: category, column: a, classes: [x]}", "classes: … at least 2 items"),
    ],
)
def test_every_kind_of_feature_checks_its_own_keys(
    write_specification: Write, feature: str, expected: str
) -> None:
    path = write_specification(("features:\n", f"features:\n  other: {feature}\n"))

    assert_refused(path, "  other:", f"features.other.{expected}")


def test_each_stage_needs_a_name_of_its_own(write_specification: Write) -> None:
    path = write_specification((STAGE, f"{STAGE}\n{STAGE}"))

    assert_refused(
        path, "  stages:", "training.stages: each stage needs a name of its own, found 'head' twice"
    )


def test_training_needs_a_stage(write_specification: Write) -> None:
    path = write_specification((f"  stages:\n{STAGE}", "  stages: []"))

    assert_refused(path, "  stages:", "training.stages: … at least 1 item")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("unfreeze: {vision: {}}", "unfreeze.vision: give one of 'all: true', 'last: N' or 'la"),
        (
            "unfreeze: {vision: {all: true, last: 2}}",
            "unfreeze.vision: give one of 'all: true', 'last: N' or 'layers: [patterns]'",
        ),
        ("unfreeze: {vision: {lsat: 2}}", "unfreeze.vision.lsat: … did you mean 'last'?"),
        ("unfreeze: {vision: {last: 0}}", "unfreeze.vision.last: … greater than 0 … found 0"),
        ("unfreeze: {vision: {layers: []}}", "unfreeze.vision.layers: … at least 1 item"),
        ("unfreeze: {vision: {all: false}}", "unfreeze.vision.all: expected True, found False"),
        ("unfreeze: {vision: some}", "unfreeze.vision: … mapping … found 'some'"),
        ("unfreeze: [vision]", "unfreeze: … mapping … found ['vision']"),
        ("optimizer: {SGD: {}, Adam: {}}", "optimizer: … at most 1 item"),
        ("optimizer: {}", "optimizer: … at least 1 item"),
        ("optimizer: [SGD]", "optimizer: … mapping … found ['SGD']"),
        ("optimizer: {SGD: 3}", "optimizer.SGD: … mapping … found 3"),
        ("optimizer: {SGD: {momentum: .inf}}", "optimizer.SGD.momentum: "),
        ("early_stopping: true", "early_stopping: … mapping … found True"),
        ("early_stopping: {patience: 0}", "early_stopping.patience: … greater than 0"),
        ("clip_norm: 0", "clip_norm: … greater than 0 … found 0"),
    ],
)
def test_a_stage_checks_how_it_trains(
    write_specification: Write, written: str, expected: str
) -> None:
    path = write_specification(("epochs: 3", f"epochs: 3, {written}"))

    assert_refused(path, written, f"training.stages.0.{expected}")


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("name: colours", "name: Colours", "name"),
        ("name: colours", "name: two words", "name"),
        ("name: colours", "name: -colours", "name"),
        ("  vision: {path", "  vi-sion: {path", "submodels.vi-sion"),
        ("  image: {type", "  1mage: {type", "features.1mage"),
        ("  joined: {merge", "  a.b: {merge", "graph.a.b"),
        ("{name: head", "{name: first stage", "training.stages.0.name"),
        ("from: scores", "from: the scores", "outputs.colour.from"),
        ("inputs: hidden", "inputs: 'hidden.'", "graph.scores.inputs"),
    ],
)
def test_names_follow_a_pattern(write_specification: Write, old: str, new: str, key: str) -> None:
    assert_refused(write_specification((old, new)), new, f"{key}: expected a name that matches ^")


@pytest.mark.parametrize("value", [".inf", ".nan", "2020-01-31", "!mine 3"])
def test_a_layer_config_holds_only_what_json_can_keep(
    write_specification: Write, value: str
) -> None:
    path = write_specification(("{units: 8,", f"{{units: {value},"))

    (problem,) = problems_of(path)

    assert_told(problem, f"{path}:{line_of(path, value)}: graph.hidden.layers.0.Dense.units: ")


def test_the_config_of_a_merge_holds_only_what_json_can_keep(write_specification: Write) -> None:
    path = write_specification(("{merge: concatenate,", "{merge: gated, config: {units: .inf},"))

    assert_refused(path, ".inf", "graph.joined.config.units: ")


# The file itself


def test_a_file_that_does_not_exist_is_told(tmp_path: Path) -> None:
    assert problems_of(tmp_path / "none.yaml") == [f"{tmp_path / 'none.yaml'}: no such file"]


def test_a_folder_is_no_specification(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path)

    assert_told(problem, f"{tmp_path}: cannot be read as UTF-8 text: … directory")


def test_a_file_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    path = tmp_path / "fusion.yaml"
    path.write_bytes("name: fär\n".encode("latin-1"))

    (problem,) = problems_of(path)

    assert_told(problem, f"{path}: cannot be read as UTF-8 text: … 0xe4 in position 7")


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("name: [colours\ndata: 3\n", 2, "not valid YAML: expected ',' or ']'"),
        ("name: colours\n\tdata: 3\n", 2, "not valid YAML: found character '\\t'"),
        ("name: colours\ndata: *rows\n", 2, "not valid YAML: found undefined alias 'rows'"),
        ('name: "colours\n', 2, "not valid YAML: found unexpected end of stream"),
        ("name: a\n---\nname: b\n", 2, "not valid YAML: … another document"),
    ],
)
def test_broken_yaml_is_told_with_its_line(
    tmp_path: Path, text: str, line: int, expected: str
) -> None:
    path = tmp_path / "fusion.yaml"
    path.write_text(text)

    (problem,) = problems_of(path)

    assert_told(problem, f"{path}:{line}: {expected}")


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "colours\n", "- name\n- data\n"])
def test_a_file_must_hold_a_mapping(tmp_path: Path, text: str) -> None:
    path = tmp_path / "fusion.yaml"
    path.write_text(text)

    assert problems_of(path) == [f"{path}: expected a mapping of keys to values"]
