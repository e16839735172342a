"""The components by their public names, and those of a fusion wired behind other components."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tfx_fusion import components
from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.spec import Fusion, Publish, load_fusion, load_specification
from tfx_fusion.modules.submodels.inspection import inspect_submodel

pytestmark = pytest.mark.component


@pytest.fixture(scope="module")
def fusion(shared_world: Path) -> Fusion:
    """The small specification without its data and its publish folder."""
    given = load_specification(shared_world / "fusion.yaml")
    fields = {name: getattr(given, name) for name in Fusion.model_fields}
    return Fusion.model_construct(**{**fields, "data": None, "publish": None})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it is remembered what the sub-models are: to read them takes a process of its own."""
    return tmp_path_factory.mktemp("runs")


def channel(kind: str) -> Any:
    from tfx.types import channel_utils, standard_artifacts

    return channel_utils.as_channel([getattr(standard_artifacts, kind)()])


def wired(fusion: Fusion, folder: Path, **options: Any) -> Any:
    given = {"examples": channel("Examples"), "transform_graph": channel("TransformGraph")}
    return components.components_for(fusion, **{**given, **options}, folder=folder)


def test_every_component_has_a_public_name() -> None:
    names = {
        "ChampionResolver", "DataGate", "EmbeddingGen", "FusionEvaluator", "FusionTrainer",
        "FusionWorthGen", "ManifestExampleGen", "ServingCheck", "SubmodelImporter", "VersionPusher",
    }  # fmt: skip
    assert names <= set(components.__all__)
    for name in components.__all__:
        assert getattr(components, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'Trainer'"):
        components.Trainer  # noqa: B018


def test_the_names_alone_import_neither_tfx_nor_tensorflow() -> None:
    script = (
        "import sys, tfx_fusion.components\n"
        "print([name for name in ('tfx', 'tensorflow', 'keras') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_importers_embedders_and_trainer_feed_each_other(fusion: Fusion, folder: Path) -> None:
    names = {"colour": "colour_xf"}
    found = wired(fusion, folder, splits={"train": "a"}, names=names)

    assert [node.id for node in found.components] == [
        "Import-vision", "Import-text", "Embed", "Train",
    ]  # fmt: skip
    [embedder], trainer = found.embedders, found.trainer
    assert trainer.inputs["embeddings_0"] is embedder.outputs["embeddings"]
    for name, importer in found.importers.items():
        path = fusion.submodels[name].path
        assert path is not None
        assert importer.exec_properties["digest"] == inspect_submodel(path).digest
        for node in (embedder, trainer):
            assert node.inputs[f"submodel_{name}"] is importer.outputs["submodel"]
    for node in (embedder, trainer):
        assert node.exec_properties["binding"] == (
            '{"splits":{"train":"a","eval":"eval"},"names":{"colour":"colour_xf"}}'
        )


def test_a_fusion_is_a_file_without_data_and_publish(shared_world: Path, fusion: Fusion) -> None:
    file = shared_world / "fusion.yaml"
    lines = file.read_text().splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("data:"))
    last = next(n for n, line in enumerate(lines) if line.startswith("features:"))
    rest = [line for line in [*lines[:first], *lines[last:]] if not line.startswith("publish:")]
    short = shared_world / "short.yaml"
    short.write_text("\n".join(rest) + "\n")
    try:
        assert load_fusion(short) == fusion
        with pytest.raises(SpecificationError) as caught:
            load_specification(short)
    finally:
        short.unlink()
    assert [problem.key for problem in caught.value.found] == ["data", "publish"]


def test_what_does_not_fit_is_reported_when_the_pipeline_is_built(
    fusion: Fusion, folder: Path
) -> None:
    from tfx.components.example_gen.csv_example_gen.component import CsvExampleGen

    examples = CsvExampleGen("csv").outputs["examples"]
    wired(fusion, folder, examples=examples)  # it has the splits train and eval
    for options, problems in (
        ({"names": {"colours": "x"}},
         ["names.colours: there is no feature or label 'colours'; did you mean 'colour'?"]),
        ({"splits": {"test": "x"}}, ["splits.test: expected train or eval, found 'test'"]),
        ({"splits": {"train": "trian"}},
         ["splits.train: the examples have no split 'trian'; did you mean 'train'?: give its name "
          "there in splits"]),
    ):  # fmt: skip
        with pytest.raises(SpecificationError) as caught:
            wired(fusion, folder, examples=examples, **options)
        assert caught.value.problems == problems


def test_a_warm_start_needs_a_publish_folder(fusion: Fusion, folder: Path) -> None:
    warm = fusion.changed(training=fusion.training.changed(warm_start="champion"))

    with pytest.raises(SpecificationError, match=r"training\.warm_start: expected a folder"):
        wired(warm, folder)
    found = wired(warm.changed(publish=Publish(path=folder / "serving")), folder)
    assert found.trainer.exec_properties["publish_folder"] == str(folder / "serving")


def test_trainers_models_come_in_and_sub_models_go_out_to_tfxs_own_trainer(
    fusion: Fusion, folder: Path
) -> None:
    from tfx.components.trainer.component import Trainer

    model = channel("Model")
    found = wired(fusion, folder, models={"text": model})

    importer = found.importers["text"]
    assert importer.inputs["model"] is model
    assert (importer.exec_properties["path"], importer.exec_properties["digest"]) == ("", "")
    trainer = Trainer(
        examples=channel("Examples"), run_fn="any.run_fn", base_model=importer.outputs["submodel"]
    )
    assert trainer.inputs["base_model"] is importer.outputs["submodel"]
    with pytest.raises(SpecificationError) as caught:
        components.SubmodelImporter("text", "a.keras", model=model)
    assert caught.value.problems == [
        "submodels.text: expected either a path or a model, found both"
    ]
