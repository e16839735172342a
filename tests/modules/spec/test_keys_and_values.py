"""Unknown, missing and misspelt keys, and values of another type, in every section."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from specs import assert_refused, assert_reported, line_of, problems_of

Write = Callable[..., Path]

DENSE = "[Dense: {units: 8, activation: relu}]"
CLASSES = "classes: [red, green, blue]"
SPLIT = "{by: id, train: 0.7, eval: 0.3}"


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
        (
            ", encoding: multi_hot",
            "",
            "words:",
            "features.words: write encoding: ",
        ),
        ("inputs: {image: image}, ", "", "vision:", "submodels.vision.inputs: this key is missing"),
    ],
)
def test_a_missing_key_is_reported_where_it_belongs(
    write_specification: Write, old: str, new: str, marker: str, expected: str
) -> None:
    assert_refused(write_specification((old, new)), marker, expected)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("epochs: 3", "epochs: '15'", "training.stages.0.epochs: … integer … found '15'"),
        ("epochs: 3", "epochs: true", "training.stages.0.epochs: … integer … found true"),
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
            "training.stages.0.learning_rate: … number … found true",
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
            "features.image: range must ascend, found [1, 0]: write [0, 1]",
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
        (CLASSES, "classes: [null, red]", "labels.colour.classes.0: … string … found null"),
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
def test_a_value_out_of_bounds_is_refused(
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
            "outputs.colour.loss: expected a loss, found 'categorical_crossentrpy'; "
            "did you mean 'categorical_crossentropy'?",
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

    assert_reported(problem, f"{path}:{line_of(path, value)}: graph.hidden.layers.0.Dense.units: ")


def test_the_config_of_a_merge_holds_only_what_json_can_keep(write_specification: Write) -> None:
    path = write_specification(("{merge: concatenate,", "{merge: gated, config: {units: .inf},"))

    assert_refused(path, ".inf", "graph.joined.config.units: ")
