"""What is known of a sub-model is remembered until a file of it changes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.spec import Specification, Submodel, load_specification
from tfx_fusion.modules.submodels import inspection
from tfx_fusion.modules.submodels.inspection import inspect_submodel
from tfx_fusion.modules.submodels.inspection_cache import InspectionCache, file_states
from tfx_fusion.modules.submodels.interface import Inspection


class Remembered:
    """A specification whose sub-models were inspected once; reading them again takes seconds."""

    def __init__(self, specification: Specification, folder: Path) -> None:
        self.specification, self.folder = specification, folder
        self.reported: list[str] = []
        self.first = self.inspect(self.reported.append)

    def inspect(self, report: Callable[[str], None]) -> dict[str, Inspection]:
        # A new object each time, as each command makes its own.
        return InspectionCache(self.folder).inspect(self.specification, report)


class ReadingError(Exception):
    """Raised when sub-models are about to be read, to spare the reading itself."""


def about_to_read(specification: Specification, folder: Path) -> str:
    """What is reported before sub-models are read."""

    def stop(message: str) -> None:
        raise ReadingError(message)

    with pytest.raises(ReadingError) as caught:
        InspectionCache(folder).inspect(specification, stop)
    return str(caught.value)


def with_submodels(specification: Specification, **submodels: Submodel) -> Specification:
    return specification.model_copy(update={"submodels": submodels})


@pytest.fixture(scope="module")
def remembered(shared_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Remembered:
    specification = load_specification(shared_world / "fusion.yaml")
    return Remembered(specification, tmp_path_factory.mktemp("known"))


def test_a_folder_without_a_model_is_not_searched(tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    (tmp_path / "many" / "file").touch()
    assert file_states(tmp_path) == []
    (tmp_path / "saved_model.pb").touch()
    assert [Path(file).name for file, *_ in file_states(tmp_path)] == ["file", "saved_model.pb"]


def test_the_first_look_reads_every_sub_model_and_says_so(remembered: Remembered) -> None:
    assert remembered.reported[0] == "reading the sub-models vision, text"
    assert remembered.first == {
        name: inspect_submodel(submodel.path)
        for name, submodel in remembered.specification.submodels.items()
    }


def test_the_second_look_reads_nothing(remembered: Remembered) -> None:
    reported: list[str] = []

    assert remembered.inspect(reported.append) == remembered.first
    assert reported == []


def test_another_signature_is_another_sub_model(remembered: Remembered) -> None:
    text = remembered.specification.submodels["text"]
    changed = with_submodels(
        remembered.specification, text=text.model_copy(update={"signature": "serve"})
    )

    assert about_to_read(changed, remembered.folder) == "reading the sub-models text"


def test_a_specification_without_sub_models_reads_nothing(
    remembered: Remembered, tmp_path: Path
) -> None:
    bare = remembered.specification.model_copy(update={"submodels": {}})
    reported: list[str] = []

    assert InspectionCache(tmp_path).inspect(bare, reported.append) == {}
    assert reported == []


def test_a_changed_file_is_read_again_and_only_that(world: Path, tmp_path: Path) -> None:
    specification = load_specification(world / "fusion.yaml")
    remembered = Remembered(specification, tmp_path / "known")
    vision = keras.saving.load_model(world / "models" / "vision.keras")
    vision.get_layer("features").bias.assign(np.full(6, 0.25))
    vision.save(world / "models" / "vision.keras")
    reported: list[str] = []

    after = remembered.inspect(reported.append)

    assert reported == ["reading the sub-models vision"]
    assert after["vision"].digest != remembered.first["vision"].digest
    assert after["vision"].interface == remembered.first["vision"].interface
    assert after["text"] == remembered.first["text"]

    # Of a SavedModel every file counts, not the folder's own time of change.
    variables = world / "models" / "text" / "variables" / "variables.data-00000-of-00001"
    variables.write_bytes(variables.read_bytes()[:-8])

    assert about_to_read(specification, remembered.folder) == "reading the sub-models text"


def test_every_sub_model_that_cannot_be_used_is_reported_by_its_key(
    world: Path, tmp_path: Path
) -> None:
    specification = load_specification(world / "fusion.yaml")
    vision, text = (specification.submodels[name] for name in ("vision", "text"))
    (world / "models" / "vision.keras").write_bytes(b"no model at all")
    broken = with_submodels(
        specification,
        vision=vision,
        missing=text.model_copy(update={"path": world / "models" / "txt"}),
        misspelt=text.model_copy(update={"signature": "serving_defalt"}),
    )

    with pytest.raises(SpecificationError) as caught:
        InspectionCache(tmp_path).inspect(broken, lambda _: None)

    models = world / "models"
    assert sorted(caught.value.problems) == [
        f"submodels.missing.path: {models}/txt: no such file or folder",
        f"submodels.misspelt.path: {models}/text: it has no signature 'serving_defalt'; "
        "did you mean 'serving_default'?",
        f"submodels.vision.path: {models}/vision.keras: expected a .keras file, found a damaged "
        "one: File is not a zip file",
    ]
    # What failed is no knowledge: a mended file would be read afresh in any case.
    assert list(tmp_path.glob("*.json")) == []


def test_a_record_of_another_version_is_made_again(remembered: Remembered, tmp_path: Path) -> None:
    for record in remembered.folder.glob("*.json"):
        (tmp_path / record.name).write_text('{"interface": {"kind": "of old"}, "digest": "1"}')

    assert about_to_read(remembered.specification, tmp_path) == (
        "reading the sub-models vision, text"
    )


@pytest.mark.parametrize(
    ("code", "stderr", "ended"),
    [
        (-11, "", "by SIGSEGV"),
        (-99, "", "by signal 99"),
        (1, "Traceback (most recent call last):\n  …\nImportError: no TensorFlow\n",
         "with code 1 (ImportError: no TensorFlow)"),
    ],
)  # fmt: skip
def test_a_model_that_ends_the_process_that_reads_it_is_a_problem_of_its_own(
    remembered: Remembered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    code: int, stderr: str, ended: str,
) -> None:  # fmt: skip
    answer = {"inspection": remembered.first["text"].model_dump(mode="json")}

    def run(command: list[str], input: str, **_: object) -> subprocess.CompletedProcess[str]:
        names = json.loads(input)
        if "vision" in names:
            return subprocess.CompletedProcess(command, code, "", stderr)
        out = "a download\n" + json.dumps(dict.fromkeys(names, answer))
        return subprocess.CompletedProcess(command, 0, out, "")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(SpecificationError) as caught:
        InspectionCache(tmp_path).inspect(remembered.specification, lambda _: None)

    path = remembered.specification.submodels["vision"].path
    assert caught.value.problems == [
        f"submodels.vision.path: {path}: the process that read the model was ended {ended}: the "
        "model is damaged, or needs more memory than there is; save it again"
    ]


def test_whatever_a_library_raises_for_a_model_is_a_problem_of_its_own(
    remembered: Remembered, monkeypatch: pytest.MonkeyPatch
) -> None:
    def inspect(*_: object) -> Inspection:
        raise MemoryError("1 TiB")

    monkeypatch.setattr(inspection, "inspect_submodel", inspect)
    submodel = Submodel(path=Path("a.keras"), inputs={"x": "x"})

    assert inspection._read(submodel, Path("a.keras")) == {
        "problems": [
            "path: a.keras: the model cannot be read, it is damaged or of another version: "
            "MemoryError: 1 TiB"
        ]
    }
