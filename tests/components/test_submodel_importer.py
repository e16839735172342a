"""SubmodelImporter: a checked copy with interface, digest and origin, or a clear refusal.

TFX takes long to import, so it is imported where it is used.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

from tfx_fusion.modules.errors import RunError, UserError
from tfx_fusion.modules.submodels.inspection import inspect_submodel
from tfx_fusion.modules.submodels.interface import Interface

pytestmark = pytest.mark.component


@pytest.fixture
def import_submodel(tmp_path: Path) -> Callable[..., Any]:
    """Runs the executor; returns the artifact that it filled."""

    def run(path: Path, digest: str, signature: str = "", origin: str = "") -> Any:
        from tfx_fusion.components.artifacts import Submodel
        from tfx_fusion.components.submodel_importer import executor

        artifact = Submodel()
        artifact.uri = str(tmp_path / "artifact")
        executor.Executor().Do(
            {},
            {executor.SUBMODEL_KEY: [artifact]},
            {
                executor.NAME_KEY: "encoder",
                executor.PATH_KEY: str(path),
                executor.SIGNATURE_KEY: signature,
                executor.CUSTOM_OBJECTS_KEY: "[]",
                executor.ALLOW_OPS_KEY: "[]",
                executor.DIGEST_KEY: digest,
                executor.ORIGIN_KEY: origin or str(path),
            },
        )
        return artifact

    return run


@pytest.mark.parametrize(
    ("origin", "copy"), [("vision.keras", "model.keras"), ("text", "model")], ids=["keras", "saved"]
)
def test_the_artifact_records_what_was_imported_and_holds_a_copy_of_it(
    origin: str, copy: str, import_submodel: Callable[..., Any], shared_world: Path
) -> None:
    path = shared_world / "models" / origin
    known = inspect_submodel(path)

    artifact = import_submodel(path, known.digest)

    assert artifact.get_string_custom_property("submodel") == "encoder"
    assert artifact.get_string_custom_property("origin") == str(path)
    assert artifact.get_string_custom_property("digest") == known.digest
    assert artifact.get_int_custom_property("parameters") == known.interface.parameters
    assert (
        Interface.model_validate_json(artifact.get_string_custom_property("interface"))
        == known.interface
    )
    assert inspect_submodel(Path(artifact.uri) / copy) == known
    # Nothing else is left behind, no half-written folder either.
    assert {entry.name for entry in Path(artifact.uri).iterdir()} == {copy, "files.json"}


def test_the_copy_does_not_depend_on_the_origin(
    import_submodel: Callable[..., Any], world: Path
) -> None:
    path = world / "models" / "vision.keras"
    known = inspect_submodel(path)
    artifact = import_submodel(path, known.digest)

    path.unlink()

    assert inspect_submodel(Path(artifact.uri) / "model.keras") == known


def test_another_origin_than_the_path_is_recorded_where_one_is_known(
    import_submodel: Callable[..., Any], shared_world: Path
) -> None:
    path = shared_world / "models" / "vision.keras"
    origin = "keras.applications.MobileNetV2 (imagenet)"

    artifact = import_submodel(path, inspect_submodel(path).digest, origin=origin)

    assert artifact.get_string_custom_property("origin") == origin


def test_a_signature_is_handed_on(import_submodel: Callable[..., Any], shared_world: Path) -> None:
    path = shared_world / "models" / "text"

    with pytest.raises(UserError, match=f"^{path}.* no signature 'serving_defalt'; did you mean"):
        import_submodel(path, inspect_submodel(path).digest, signature="serving_defalt")


def test_a_model_that_changed_since_it_was_checked_is_refused(
    import_submodel: Callable[..., Any], world: Path
) -> None:
    path = world / "models" / "vision.keras"
    checked = inspect_submodel(path).digest
    model = keras.saving.load_model(path)
    bias = model.get_layer("features").bias
    bias.assign(bias + 1e-3)
    model.save(path)
    found = inspect_submodel(path).digest

    with pytest.raises(RunError) as caught:
        import_submodel(path, checked)

    assert str(caught.value) == (
        f"{path}: the model changed while the run was starting (expected digest {checked[:12]}, "
        f"found {found[:12]}): run again"
    )


def test_what_is_unsafe_is_refused_at_import_too(
    import_submodel: Callable[..., Any], tmp_path: Path
) -> None:
    entry = keras.Input((2,))
    path = tmp_path / "code.keras"
    keras.Model(entry, keras.layers.Lambda(lambda x: x, name="odd")(entry)).save(path)

    with pytest.raises(UserError, match=r"layer 'odd' holds code \(Lambda\)"):
        import_submodel(path, "any")


def test_the_component_declares_what_the_cache_must_see() -> None:
    from tfx_fusion.components.artifacts import Submodel
    from tfx_fusion.components.submodel_importer.component import SubmodelImporter

    component = SubmodelImporter("encoder", "models/a.keras", "d1", None, ["my.layers:Gate"])

    assert component.exec_properties == {
        "submodel_name": "encoder",
        "path": "models/a.keras",
        "signature": "",
        "custom_objects": json.dumps(["my.layers:Gate"]),
        "allow_ops": "[]",
        "digest": "d1",
        "origin": "models/a.keras",
    }
    assert component.inputs == {}
    assert {key: channel.type for key, channel in component.outputs.items()} == {
        "submodel": Submodel
    }
