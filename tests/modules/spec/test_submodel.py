"""Where a sub-model may come from, and which keys go together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tfx_fusion.modules.spec import Submodel

INPUTS = {"inputs": {"entry": "image"}}


def read(**keys: Any) -> Submodel:
    """As from a specification in the folder `/work/here`."""
    return Submodel.model_validate({**INPUTS, **keys}, context={"folder": Path("/work/here")})


def refusal(**keys: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        read(**keys)
    [error] = caught.value.errors()
    return error["msg"].removeprefix("Value error, ")


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({}, "none"),
        ({"path": "a.keras", "preset": "bert"}, "'path' and 'preset'"),
        ({"same_as": "other", "application": "VGG16"}, "'same_as' and 'application'"),
        (
            {"path": "a.keras", "application": "VGG16", "preset": "bert"},
            "'path' and 'application' and 'preset'",
        ),
    ],
)
def test_a_sub_model_comes_from_exactly_one_place(keys: dict[str, str], found: str) -> None:
    assert refusal(**keys) == (
        f"give one of 'path', 'same_as', 'application' and 'preset', found {found}"
    )


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            {"path": "a.keras", "config": {"alpha": 1}},
            "'config' goes with 'application' or 'preset', not with 'path'",
        ),
        (
            {"preset": "bert", "weights": "random"},
            "'weights' goes with 'application', not with 'preset'",
        ),
        (
            {"application": "VGG16", "signature": "serve"},
            "'signature' goes with 'path', not with 'application'",
        ),
        (
            {"preset": "bert", "custom_objects": ["my.layers:Gate"]},
            "'custom_objects' goes with 'path', not with 'preset'",
        ),
        (
            {"same_as": "other", "origin": "a friend"},
            "'origin' goes with 'path', not with 'same_as'",
        ),
    ],
)
def test_a_key_that_does_not_go_with_the_place_is_told(keys: dict[str, Any], expected: str) -> None:
    assert refusal(**keys) == expected


@pytest.mark.parametrize(
    ("keys", "source"),
    [
        ({"path": "a.keras"}, ("path", Path("/work/here/a.keras"))),
        ({"application": "VGG16"}, ("application", None)),
        ({"application": "VGG16", "weights": "imagenet"}, ("application", None)),
        ({"application": "VGG16", "weights": "random"}, ("application", None)),
        (
            {"application": "VGG16", "weights": "vgg.weights.h5"},
            ("weights", Path("/work/here/vgg.weights.h5")),
        ),
        ({"preset": "./bert"}, ("preset", Path("/work/here/bert"))),
        ({"preset": "models/bert"}, ("preset", Path("/work/here/models/bert"))),
        ({"preset": "/models/bert"}, ("preset", Path("/models/bert"))),
        ({"preset": "bert_tiny_en_uncased"}, ("preset", None)),
        ({"preset": "kaggle://keras/bert/keras/bert_base_en"}, ("preset", None)),
        ({"preset": "hf://someone/bert"}, ("preset", None)),
    ],
)
def test_local_files_are_found_from_the_specification_s_folder(
    keys: dict[str, str], source: tuple[str, Path | None]
) -> None:
    assert read(**keys).source == source
    # What was resolved once stays, wherever it is read again.
    assert Submodel.model_validate_json(read(**keys).model_dump_json()).source == source


@pytest.mark.parametrize("weights", ["imagnet", "vgg.keras", "weights/"])
def test_weights_that_are_no_file_of_weights_are_refused(weights: str) -> None:
    assert refusal(application="VGG16", weights=weights) == (
        f"expected 'imagenet', 'random' or the path of a .weights.h5 or .h5 file, found '{weights}'"
    )


@pytest.mark.parametrize("preset", ["gs://bucket/bert", "file:///models/bert"])
def test_a_handle_of_another_kind_is_refused(preset: str) -> None:
    assert refusal(preset=preset) == (
        "expected a name, a folder (./bert) or one of kaggle://, hf://, modelscope://, found "
        f"'{preset}'"
    )
