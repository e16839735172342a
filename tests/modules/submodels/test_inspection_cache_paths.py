"""Where the file of an application or preset lies depends on all that it is made from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tfx_fusion.modules.spec import Submodel
from tfx_fusion.modules.submodels.inspection_cache import with_path

FOLDER = Path("/work/runs/submodels")


def vision(**changes: Any) -> Submodel:
    keys = {"application": "VGG16", "config": {"pooling": "avg"}, "inputs": {"input_layer": "a"}}
    return Submodel(**{**keys, **changes})


def place(submodel: Submodel) -> Path:
    path = with_path(submodel, FOLDER).path
    assert path is not None
    return path


def test_a_path_and_a_repeated_use_stay_as_they_are() -> None:
    for submodel in (Submodel(path="/a.keras", inputs={"x": "a"}),
                     Submodel(same_as="other", inputs={"x": "a"})):  # fmt: skip
        assert with_path(submodel, FOLDER) is submodel


@pytest.mark.parametrize(
    ("submodel", "name", "origin"),
    [
        (vision(), "VGG16", "keras.applications.VGG16 (imagenet)"),
        (vision(weights="random"), "VGG16", "keras.applications.VGG16 (random)"),
        (vision(weights="/w/v.h5"), "VGG16", "keras.applications.VGG16 (/w/v.h5)"),
        (Submodel(preset="/m/bert", inputs={"x": "a"}), "bert", "KerasHub preset /m/bert"),
        (
            Submodel(preset="hf://someone/small-bert", inputs={"x": "a"}),
            "small-bert",
            "KerasHub preset hf://someone/small-bert",
        ),
    ],
)
def test_the_file_s_name_and_the_origin_say_what_it_is(
    submodel: Submodel, name: str, origin: str
) -> None:
    placed = with_path(submodel, FOLDER)

    assert place(submodel).parent == FOLDER
    assert place(submodel).name.startswith(f"{name}-")
    assert place(submodel).suffix == ".keras"
    assert placed.origin == origin


def test_how_it_is_connected_is_kept_and_changes_nothing_else() -> None:
    cut = vision(output="block5_pool", inputs={"input_layer": "b"})

    assert with_path(cut, FOLDER).output == "block5_pool"
    assert with_path(cut, FOLDER).inputs == {"input_layer": "b"}
    assert place(cut) == place(vision())


def test_all_that_makes_another_model_makes_another_file(tmp_path: Path) -> None:
    file = tmp_path / "a.weights.h5"
    file.write_bytes(b"one")
    different = [
        vision(),
        vision(application="VGG19"),
        vision(config={"pooling": "max"}),
        vision(weights="random"),
        vision(weights=str(file)),
    ]

    assert len({place(submodel) for submodel in different}) == len(different)


def test_a_local_file_that_changes_makes_another_file(tmp_path: Path) -> None:
    folder = tmp_path / "bert"
    folder.mkdir()
    for name in ("config.json", "model.weights.h5"):
        (folder / name).write_text("same size")
    preset = Submodel(preset=str(folder), inputs={"x": "a"})
    before = place(preset)
    assert place(preset) == before

    os.utime(folder / "model.weights.h5", ns=(1, 1))

    assert place(preset) != before
