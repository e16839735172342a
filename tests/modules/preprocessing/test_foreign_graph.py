"""A Transform graph of somebody's own `preprocessing_fn`, bound by its signature."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from specs import specification_of

from tfx_fusion.modules.errors import RunError, SpecificationError
from tfx_fusion.modules.preprocessing.graph import TransformGraph
from tfx_fusion.modules.preprocessing.wanted import check_output_names
from tfx_fusion.modules.spec import Specification

AGE = tf.TensorSpec((None, 1), tf.int64)
TEXT = tf.TensorSpec((None, 1), tf.string)
SPARSE = tf.SparseTensorSpec((None, None), tf.float32)
RAW = {"age": AGE, "tip": SPARSE, "kind": TEXT, "photo": TEXT}


def specified(**features: Any) -> Specification:
    """`age` and `tip` as numbers and a label `kind` of the classes a and b; or other features."""
    number = {"type": "number", "column": "any"}
    given = features or {"age": number, "tip": number}
    return specification_of(
        features=given,
        labels={"kind": {"type": "category", "column": "kind", "classes": ["a", "b"]}},
        outputs={"kind": {"from": next(iter(given)), "loss": "categorical_crossentropy"}},
    )


def own_function(raw: dict[str, Any]) -> dict[str, Any]:
    """Numbers that fill in what a row lacks, the label as text, and a picture that is decoded."""
    tip = raw["tip"]
    dense = tf.SparseTensor(tip.indices, tip.values, [tip.dense_shape[0], 1])
    return {
        "age": raw["age"],
        "tip_xf": tf.sparse.to_dense(dense, default_value=-1.0),
        "kind": raw["kind"],
        "decoded": tf.map_fn(tf.io.decode_png, raw["photo"][:, 0], fn_output_signature=tf.uint8),
        "sparse": tip,
    }


@pytest.fixture
def graph(tmp_path: Path) -> Callable[..., TransformGraph]:
    """A Transform graph as TFT saves one, of a function and the columns it takes."""

    def make(
        specification: Specification | None = None,
        function: Callable[[dict[str, Any]], dict[str, Any]] = own_function,
        names: dict[str, str] | None = None,
        raw: dict[str, Any] = RAW,
    ) -> TransformGraph:
        module = tf.Module()
        module.transform_fn = tf.function(function, input_signature=[raw], autograph=False)
        tf.saved_model.save(module, str(tmp_path / "transform_fn"))
        given = specification or specified()
        names = {"tip": "tip_xf"} if names is None else names
        path = str(tmp_path / "transform_fn")
        return TransformGraph(path, given.features, given.labels, names)

    return make


def parsed(
    graph: TransformGraph, rows: list[bytes], names: list[str], transformed: bool = False
) -> dict[str, Any]:
    """What the graph makes of rows where TensorFlow traces, as everywhere in a run."""
    parse = tf.function(lambda rows: graph.parse(rows, names, transformed), autograph=False)
    return {name: tensor.numpy() for name, tensor in parse(tf.constant(rows)).items()}


def example(**columns: Any) -> bytes:
    found = tf.train.Example()
    for name, values in columns.items():
        feature = found.features.feature[name]
        if isinstance(values[0] if values else 0.0, bytes):
            feature.bytes_list.value.extend(values)
        elif isinstance(values[0] if values else 0.0, int):
            feature.int64_list.value.extend(values)
        else:
            feature.float_list.value.extend(values)
    return found.SerializeToString()


ROWS = [
    example(age=[30], tip=[0.5], kind=[b"b"], photo=[b""], other=[1]),
    example(age=[40], kind=[b"a"], photo=[b""]),
]
LABELS = ["kind"]
FEATURES = ["age", "tip"]


def test_names_dtypes_and_shapes_are_fitted(graph: Callable[..., TransformGraph]) -> None:
    found = parsed(graph(), ROWS, [*FEATURES, *LABELS])

    assert {name: values.dtype.name for name, values in found.items()} == {
        "age": "float32", "tip": "float32", "kind": "int64",
    }  # fmt: skip
    assert found["age"].tolist() == [[30.0], [40.0]]
    assert found["tip"].tolist() == [[0.5], [-1.0]]  # as its own function fills it
    assert found["kind"].tolist() == [1, 0]


def test_only_columns_that_are_needed_are_read(graph: Callable[..., TransformGraph]) -> None:
    made = graph()

    assert set(made.example_spec(FEATURES)) == {"age", "tip"}
    assert set(made.example_spec(LABELS)) == {"kind"}
    unlabelled = example(age=[1], tip=[2.0])
    assert parsed(made, [unlabelled], FEATURES)["age"] == [[1.0]]


def test_a_request_gives_the_raw_columns_and_nan_where_a_row_lacks_one(
    graph: Callable[..., TransformGraph],
) -> None:
    made = graph()
    specs = made.input_specs(FEATURES)

    assert specs["age"].shape.as_list() == [None, 1]
    assert (specs["tip"].shape.as_list(), specs["tip"].dtype) == ([None, None], tf.float32)
    asked = {"age": np.array([[1], [2]]), "tip": np.array([[np.nan], [0.0]], np.float32)}
    served = tf.function(lambda raw: made(raw, FEATURES), autograph=False)
    found = served({name: tf.constant(values) for name, values in asked.items()})
    assert found["tip"].numpy().tolist() == [[-1.0], [0.0]]  # a zero is a value


def test_materialized_examples_are_read_without_the_graph(
    graph: Callable[..., TransformGraph],
) -> None:
    row = example(age=[30], tip_xf=[0.25], kind=[b"b"])

    found = parsed(graph(), [row], [*FEATURES, *LABELS], transformed=True)

    assert {name: values.tolist() for name, values in found.items()} == {
        "age": [[30.0]], "tip": [[0.25]], "kind": [1],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "index"), [([1], 1), ([0.0], None), ([True], 1)], ids=["int", "float", "bool"]
)
def test_labels_may_be_class_indices(
    values: list[Any], index: int | None, graph: Callable[..., TransformGraph]
) -> None:
    dtype = tf.constant(values).dtype

    def function(raw: dict[str, Any]) -> dict[str, Any]:
        kind = tf.fill([tf.shape(raw["age"])[0]], tf.constant(values[0], dtype))
        return {"age": raw["age"], "tip_xf": raw["age"], "kind": kind}

    made = graph(function=function)
    if index is None:
        with pytest.raises(RunError, match=r"found float32 .* cast it in preprocessing_fn"):
            made.check(LABELS)
    else:
        assert parsed(made, ROWS, LABELS)["kind"].tolist() == [index, index]


def test_which_rows_lack_a_feature_is_what_its_own_function_says(
    graph: Callable[..., TransformGraph],
) -> None:
    def function(raw: dict[str, Any]) -> dict[str, Any]:
        found = own_function(raw)
        return {**found, "no_tip": tf.cast(found["tip_xf"] < 0, tf.int64)}

    given = specified(tip={"type": "number", "column": "any", "missing": "allowed"})
    made = graph(given, function, {"tip": "tip_xf", "tip.missing": "no_tip"})

    assert parsed(made, ROWS, ["tip.missing"])["tip.missing"].tolist() == [0, 1]
    unnamed = graph(given, function, {"tip": "tip_xf"})
    with pytest.raises(RunError, match=r"output 'tip\.missing' of the Transform graph, int64"):
        unnamed.check(["tip", "tip.missing"])


def test_a_class_index_outside_of_the_classes_is_refused(
    graph: Callable[..., TransformGraph],
) -> None:
    def function(raw: dict[str, Any]) -> dict[str, Any]:
        return {"age": raw["age"], "tip_xf": raw["age"], "kind": raw["age"] - 33}

    made = graph(function=function)
    with pytest.raises(tf.errors.InvalidArgumentError):
        parsed(made, ROWS, LABELS)
    assert made.unreadable(ROWS) == (
        0,
        "labels.kind: expected a class index from 0 to 1, in the order of its classes, found -3 in "
        "the Transform graph's output 'kind'",
    )


def test_row_ids_are_those_of_the_examples_or_empty(graph: Callable[..., TransformGraph]) -> None:
    assert graph().row_ids(tf.constant(ROWS)).numpy().tolist() == [b"", b""]


def test_row_ids_may_be_numbers(graph: Callable[..., TransformGraph]) -> None:
    made = graph(raw={**RAW, "row_id": AGE})
    row = example(row_id=[77])
    assert made.row_ids(tf.constant([row])).numpy().tolist() == [b"77"]


# ------------------------------------------------------------------------------ what does not fit

PHOTO = {"type": "raw", "dtype": "float32", "shape": [3, 4], "column": "any"}
WHOLE = {"type": "raw", "dtype": "int64", "column": "any"}


@pytest.mark.parametrize(
    ("feature", "names", "message"),
    [
        (
            {"tips": {"type": "number", "column": "any"}},
            {},
            "features.tips: expected an output 'tips' of the Transform graph, float32 (batch, 1), "
            "found none; did you mean 'tip_xf'?: return it from preprocessing_fn, or give the "
            "output's name for 'tips' in names",
        ),
        (
            {"tips": WHOLE},
            {"tips": "tip_xf"},
            "features.tips: expected an output 'tip_xf' of the Transform graph, int64 (batch), "
            "found float32 (batch, 1): cast it in preprocessing_fn",
        ),
        (
            {"tips": PHOTO},
            {"tips": "tip_xf"},
            "features.tips: expected an output 'tip_xf' of the Transform graph, float32 (batch, 3, "
            "4), found float32 (batch, 1): reshape it in preprocessing_fn",
        ),
        (
            {"tips": PHOTO},
            {"tips": "kind"},
            "features.tips: expected an output 'kind' of the Transform graph, float32 (batch, 3, "
            "4), found string (batch, 1): cast it in preprocessing_fn",
        ),
        (
            {"tips": PHOTO},
            {"tips": "sparse"},
            "features.tips: expected an output 'sparse' of the Transform graph, float32 (batch, 3, "
            "4), found a sparse or ragged one: make it dense in preprocessing_fn",
        ),
    ],
    ids=["absent", "dtype", "shape", "text", "sparse"],
)
def test_an_output_that_does_not_fit_is_one_sentence_with_both_names(
    feature: dict[str, Any],
    names: dict[str, str],
    message: str,
    graph: Callable[..., TransformGraph],
) -> None:
    made = graph(specified(**feature, age={"type": "number", "column": "any"}), names=names)

    made.check(["age", *LABELS])  # what is not needed does no harm
    with pytest.raises(RunError) as caught:
        made.check(feature)
    assert str(caught.value) == message


def test_a_size_that_only_rows_show_is_checked_in_each_batch(
    graph: Callable[..., TransformGraph],
) -> None:
    def function(raw: dict[str, Any]) -> dict[str, Any]:
        return {"age": tf.sparse.to_dense(raw["tip"]), "kind": raw["kind"]}

    made = graph(specified(age={**PHOTO, "shape": [2]}), function=function, names={})
    made.check(["age"])
    right, wrong = example(tip=[1.0, 2.0], kind=[b"a"]), example(tip=[1.0] * 4, kind=[b"a"])

    assert parsed(made, [right], ["age"])["age"].tolist() == [[1.0, 2.0]]
    for rows in ([wrong], [wrong, wrong]):  # never cut anew as other rows
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"features.age: expected float32"):
            parsed(made, rows, ["age"])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            example(age=[0.5], tip=[0.5], kind=[b"b"], photo=[b""]),
            "column 'age': expected int64, found float32, by the Transform graph",
        ),
        (
            example(tip=[0.5], kind=[b"b"], photo=[b""]),
            "column 'age': expected 1 int64 value, found none, by the Transform graph",
        ),
        (
            example(age=[1], kind=[b"c"], photo=[b""]),
            "labels.kind: expected a, b, found 'c' in the Transform graph's output 'kind'",
        ),
    ],
    ids=["dtype", "absent", "class"],
)
def test_a_row_that_does_not_fit_is_found_with_its_place_and_column(
    row: bytes, message: str, graph: Callable[..., TransformGraph]
) -> None:
    made = graph()
    given = [ROWS[0], row]
    with pytest.raises(tf.errors.InvalidArgumentError):
        parsed(made, given, [*FEATURES, *LABELS])

    assert made.unreadable(given) == (1, message)
    assert made.unreadable(ROWS) is None


def test_a_name_that_no_feature_has_is_refused() -> None:
    given = specified()

    with pytest.raises(SpecificationError) as caught:
        check_output_names({"agee": "age_xf", "kind": "k"}, given.features, given.labels)
    assert caught.value.problems == [
        "names.agee: there is no feature or label 'agee'; did you mean 'age'?"
    ]


def test_a_graph_of_tensorflow_1_is_refused(tmp_path: Path) -> None:
    tf.saved_model.save(tf.Module(), str(tmp_path))

    with pytest.raises(RunError, match=r"run Transform without force_tf_compat_v1"):
        TransformGraph(str(tmp_path), {}, {})
