"""What is known of a sub-model is remembered until a file of it changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from modules.errors import SpecificationError
from modules.spec import Specification, load_specification
from modules.submodels.inspection import inspect_submodel
from modules.submodels.interface import Inspection
from modules.submodels.known import KnownSubmodels


class Remembered:
    """A specification whose sub-models were inspected once; reading them again takes seconds."""

    def __init__(self, specification: Specification, folder: Path) -> None:
        self.specification, self.folder = specification, folder
        self.told: list[str] = []
        self.first = self.inspect()

    def inspect(self) -> dict[str, Inspection]:
        # A new object each time, as each command makes its own.
        return KnownSubmodels(self.folder).inspect(self.specification, self.told.append)


def problems_of(inspect: Callable[[], object]) -> list[str]:
    with pytest.raises(SpecificationError) as caught:
        inspect()
    return caught.value.problems


@pytest.fixture(scope="module")
def remembered(shared_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Remembered:
    specification = load_specification(shared_world / "fusion.yaml")
    return Remembered(specification, tmp_path_factory.mktemp("known"))


def test_the_first_look_reads_every_sub_model_and_says_so(remembered: Remembered) -> None:
    assert remembered.told[0] == "reading the sub-models vision, text"
    assert remembered.first == {
        name: inspect_submodel(submodel.path)
        for name, submodel in remembered.specification.submodels.items()
    }


def test_the_second_look_reads_nothing(remembered: Remembered) -> None:
    already_told = list(remembered.told)

    again = remembered.inspect()

    assert again == remembered.first
    assert remembered.told == already_told


def test_another_signature_is_another_sub_model(remembered: Remembered) -> None:
    # The text model has no such signature: only by reading it can that be told.
    text = remembered.specification.submodels["text"]
    changed = remembered.specification.model_copy(
        update={"submodels": {"text": text.model_copy(update={"signature": "serving_defalt"})}}
    )
    told: list[str] = []

    problems = problems_of(lambda: KnownSubmodels(remembered.folder).inspect(changed, told.append))

    assert told == ["reading the sub-models text"]
    assert problems == [
        f"submodels.text.path: {text.path}: it has no signature 'serving_defalt'; "
        "did you mean 'serving_default'?"
    ]


def test_a_specification_without_sub_models_reads_nothing(
    remembered: Remembered, tmp_path: Path
) -> None:
    bare = remembered.specification.model_copy(update={"submodels": {}})
    told: list[str] = []

    assert KnownSubmodels(tmp_path).inspect(bare, told.append) == {}
    assert told == []


def test_a_changed_file_is_read_again_and_only_that(world: Path, tmp_path: Path) -> None:
    specification = load_specification(world / "fusion.yaml")
    remembered = Remembered(specification, tmp_path / "known")
    vision = keras.saving.load_model(world / "models" / "vision.keras")
    vision.get_layer("features").bias.assign(np.full(6, 0.25))
    vision.save(world / "models" / "vision.keras")

    after = remembered.inspect()

    assert remembered.told[1:] == ["reading the sub-models vision"]
    assert after["vision"].digest != remembered.first["vision"].digest
    assert after["vision"].interface == remembered.first["vision"].interface
    assert after["text"] == remembered.first["text"]

    # Of a SavedModel every file counts, not the folder's own time of change.
    variables = world / "models" / "text" / "variables" / "variables.data-00000-of-00001"
    variables.write_bytes(variables.read_bytes()[:-8])

    [problem] = problems_of(remembered.inspect)

    assert remembered.told[2:] == ["reading the sub-models text"]
    assert problem.startswith(f"submodels.text.path: {world}/models/text: ")


def test_every_sub_model_that_cannot_be_used_is_told_by_its_key(
    world: Path, tmp_path: Path
) -> None:
    specification = load_specification(world / "fusion.yaml")
    vision, text = (specification.submodels[name] for name in ("vision", "text"))
    vision.path.write_bytes(b"no model at all")
    missing = text.model_copy(update={"path": world / "models" / "txt"})
    broken = specification.model_copy(update={"submodels": {"vision": vision, "text": missing}})

    problems = problems_of(lambda: KnownSubmodels(tmp_path).inspect(broken, lambda _: None))

    assert sorted(problems) == [
        f"submodels.text.path: {world}/models/txt: no such file or folder",
        f"submodels.vision.path: {vision.path}: expected a .keras file, found a damaged one: "
        "File is not a zip file",
    ]
    # What failed is no knowledge: a mended file would be read afresh in any case.
    assert list(tmp_path.glob("*.json")) == []


def test_a_record_of_another_version_is_made_again(remembered: Remembered, tmp_path: Path) -> None:
    vision = remembered.specification.model_copy(
        update={"submodels": {"vision": remembered.specification.submodels["vision"]}}
    )
    for record in remembered.folder.glob("*.json"):
        (tmp_path / record.name).write_text('{"interface": {"kind": "of old"}, "digest": "1"}')

    told: list[str] = []
    again = KnownSubmodels(tmp_path).inspect(vision, told.append)

    assert told == ["reading the sub-models vision"]
    assert again == {"vision": remembered.first["vision"]}
