"""ServingCheck and VersionPusher behind components of TFX's own, and what the record then says."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import foreign
import numpy as np
import pytest
import tensorflow as tf
from made_once import once

from tfx_fusion.modules.errors import RunError, SpecificationError
from tfx_fusion.modules.registry.version_record import Span, read_version_record
from tfx_fusion.modules.registry.versions import all_versions

pytestmark = pytest.mark.component

FINGERPRINT = "split:rows,num_files:1,total_bytes:1234,xor_checksum:1,sum_checksum:1"


@pytest.fixture(scope="module")
def data(shared_folder: Path) -> Path:
    return once(shared_folder / "foreign", foreign.write_examples)


# ServingCheck


def check(data: Path, model: Any, blessing_folder: Path, split: str = "validation") -> Any:
    from tfx.types import channel_utils, standard_artifacts

    from tfx_fusion.components.serving_check import executor
    from tfx_fusion.components.serving_check.component import ServingCheck

    examples, blessing = foreign.examples_in(data), standard_artifacts.InfraBlessing()
    blessing.uri = str(blessing_folder)
    blessing_folder.mkdir()
    node = ServingCheck(
        channel_utils.as_channel([examples]), channel_utils.as_channel([model]), split=split
    )
    executor.Executor().Do(
        {executor.EXAMPLES_KEY: [examples], executor.MODEL_KEY: [model]},
        {executor.BLESSING_KEY: [blessing]},
        node.exec_properties,
    )
    return blessing


def test_a_model_of_a_trainer_is_checked_in_a_server_and_its_warm_up_holds_examples(
    data: Path, tmp_path: Path
) -> None:
    from tfx_fusion.components.base import summary_of

    blessing = check(data, foreign.save_model(tmp_path / "model"), tmp_path / "blessing")

    assert blessing.get_int_custom_property("blessed") == 1, summary_of([blessing])
    report = json.loads((tmp_path / "blessing" / "serving_check.json").read_text())
    assert report["problems"] == []
    assert report["rows"] == 32
    stamped = tmp_path / "blessing" / "stamped_model"
    assert (stamped / "assets.extra" / "tf_serving_warmup_requests").is_file()


def test_features_are_sent_to_a_model_that_takes_them_by_name(data: Path, tmp_path: Path) -> None:
    from tfx_fusion.modules.serving.check.expected import expected

    model = foreign.save_model(tmp_path / "model", by_examples=False, slope=2.0)
    split = str(data / "examples" / "Split-validation")

    found = expected(Path(model.uri, "Format-Serving"), [split], 5)

    columns = {name: values[:5] for name, values in foreign.read(data, "validation").items()}
    np.testing.assert_array_equal(found.inputs["width"][:, 0], columns["width"])
    np.testing.assert_allclose(
        found.outputs["steep"], foreign.chances(columns, slope=2.0), atol=1e-6
    )
    assert found.row_ids[0] == "record 0 of Split-validation/data_tfrecord-00000-of-00001.gz"
    assert set(found.malformed) == {
        "inputs missing", "input 'width' of another shape", "input 'height' of another shape",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("model", "split", "message"),
    [
        ({}, "eval", "expected a split 'eval' of the examples, found training, validation"),
        ({"by_examples": False, "features": ("width", "depth")}, "training", "takes 'depth'"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence_and_no_blessing(
    data: Path, model: dict[str, Any], split: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=message):
        check(data, foreign.save_model(tmp_path / "model", **model), tmp_path / "blessing", split)
    assert not (tmp_path / "blessing" / "INFRA_BLESSED").exists()


# VersionPusher


@pytest.fixture
def nodes(tmp_path: Path) -> dict[str, Any]:
    """Components of a pipeline of TFX's own."""
    from tfx.components import CsvExampleGen, Evaluator, SchemaGen, StatisticsGen, Trainer
    from tfx.proto import trainer_pb2

    example_gen = CsvExampleGen(input_base="/data/of/theirs")
    statistics = StatisticsGen(examples=example_gen.outputs["examples"])
    schema = SchemaGen(statistics=statistics.outputs["statistics"])
    trainer = Trainer(
        run_fn="theirs.run_fn",
        examples=example_gen.outputs["examples"],
        schema=schema.outputs["schema"],
        train_args=trainer_pb2.TrainArgs(),
        eval_args=trainer_pb2.EvalArgs(),
    )
    evaluator = Evaluator(examples=example_gen.outputs["examples"], model=trainer.outputs["model"])
    return {"examples": example_gen, "trainer": trainer, "evaluator": evaluator}


@pytest.fixture
def push(nodes: dict[str, Any], tmp_path: Path) -> Callable[..., Any]:
    """Runs the executor as the component would have it; returns the artifact that it filled."""

    def run(model: Any, examples: list[Any], blessing: Any = None, **inputs: Any) -> Any:
        from tfx.types import standard_artifacts

        from tfx_fusion.components.version_pusher import executor
        from tfx_fusion.components.version_pusher.component import VersionPusher

        trainer, evaluator = nodes["trainer"], nodes["evaluator"]
        node = VersionPusher(
            tmp_path / "serving",
            model=trainer.outputs["model"],
            model_blessing=evaluator.outputs["blessing"],
            champion=trainer.outputs["model"] if "champion" in inputs else None,
        )
        pushed = standard_artifacts.PushedModel()
        pushed.uri = tempfile.mkdtemp(dir=tmp_path)
        executor.Executor(executor.Executor.Context(pipeline_run_id="run-7")).Do(
            {
                executor.MODEL_KEY: [model],
                executor.MODEL_BLESSING_KEY: [blessing or blessing_of(model)],
                executor.examples_key(0): examples,
                **{key: [one for one in [given] if one] for key, given in inputs.items()},
            },
            {executor.PUSHED_KEY: [pushed]},
            node.exec_properties,
        )
        return pushed

    return run


def blessing_of(model: Any) -> Any:
    """The blessing of TFX's own Evaluator, which names the model's URI."""
    from tfx.types import standard_artifacts

    blessing = standard_artifacts.ModelBlessing()
    blessing.uri = f"{model.uri}-blessing"
    blessing.set_int_custom_property("blessed", 1)
    blessing.set_string_custom_property("current_model", model.uri)
    return blessing


def span(data: Path, number: int, fingerprint: str = FINGERPRINT) -> Any:
    """The examples as the driver of their ExampleGen leaves them."""
    from tfx.components.example_gen.driver import update_output_artifact

    examples = foreign.examples_in(data)
    properties = {"input_fingerprint": fingerprint, "span": number, "version": None}
    update_output_artifact(properties, examples.mlmd_artifact)
    return examples


def test_the_pipeline_itself_says_where_the_data_are_from(nodes: dict[str, Any]) -> None:
    from tfx.dsl.components.common.importer import Importer
    from tfx.types import channel_utils, standard_artifacts

    from tfx_fusion.components.data_source import examples_before, place_of
    from tfx_fusion.components.version_pusher.component import VersionPusher

    channel = nodes["examples"].outputs["examples"]
    pusher = VersionPusher(
        "serving",
        model=nodes["trainer"].outputs["model"],
        model_blessing=nodes["evaluator"].outputs["blessing"],
    )
    assert pusher.inputs["examples_0"] is channel
    assert json.loads(pusher.exec_properties["data_places"]) == ["/data/of/theirs"]

    imported = Importer("/shared/examples", standard_artifacts.Examples).outputs["result"]
    assert place_of(imported) == "/shared/examples"
    alone = channel_utils.as_channel([standard_artifacts.Model()])
    assert examples_before(alone) == []
    assert place_of(channel_utils.as_channel([standard_artifacts.Examples()])).startswith("unknown")
    with pytest.raises(SpecificationError, match="model: expected a channel of a model"):
        VersionPusher("serving", model_blessing=nodes["evaluator"].outputs["blessing"])


def test_a_version_behind_an_example_gen_of_tfx_records_its_data_and_what_is_unknown(
    push: Callable[..., Any], data: Path, tmp_path: Path
) -> None:
    pushed = push(foreign.save_model(tmp_path / "model"), [span(data, 3)])

    [version] = all_versions(tmp_path / "serving")
    record = read_version_record(version.path)
    assert record is not None
    assert record.data.path == "/data/of/theirs"
    assert record.data.fingerprint == FINGERPRINT
    uri = str(data / "examples")
    assert record.data.spans == (Span(uri=uri, span=3, version=None, fingerprint=FINGERPRINT),)
    assert record.run == "run-7"
    assert record.specification["unknown"].startswith("FusionTrainer did not make the model")
    assert record.gates.evaluation["unknown"].startswith("the blessing does not say")
    assert (record.submodels, record.metrics, record.gates.champion) == ({}, {}, None)
    stored = json.loads(pushed.get_string_custom_property("version_record"))
    assert stored["data"]["spans"][0]["span"] == 3
    answer = tf.saved_model.load(str(version.path)).signatures["serving_default"]
    assert list(answer.structured_outputs) == ["steep"]


def test_spans_without_a_fingerprint_are_known_by_their_examples(data: Path) -> None:
    from tfx_fusion.components.data_source import data_source

    found = data_source([span(data, 1), span(data, 2, fingerprint="")], '["/data"]')
    again = data_source([span(data, 1), span(data, 2, fingerprint="")], '["/data"]')

    assert [one.span for one in found.spans] == [1, 2]
    assert found.spans[1].fingerprint.startswith("sha256 of the examples: ")
    assert found == again
    assert len(found.fingerprint) == 64
    nothing = data_source([], "[]")
    assert nothing.path == nothing.fingerprint
    assert nothing.path.startswith("unknown: the model has no ExampleGen before it")


def test_a_model_of_this_project_says_itself_what_it_came_from(
    shared_published: Path, shared_world: Path
) -> None:
    from tfx_fusion.modules.registry.origin import origin_of

    found = origin_of(shared_published / "1", {"thresholds": {"colour": {}}})

    assert found.specification["name"] == "colours"
    assert found.specification["evaluation"] == {"thresholds": {"colour": {}}}
    assert set(found.submodels) == {"vision", "text"}
    assert found.submodels["vision"].origin == str(shared_world / "models" / "vision.keras")


def test_a_blessing_of_another_model_publishes_nothing(
    push: Callable[..., Any], data: Path, tmp_path: Path
) -> None:
    from tfx.types import standard_artifacts

    model = foreign.save_model(tmp_path / "model")
    other = foreign.save_model(tmp_path / "other", slope=2.0)
    ours = standard_artifacts.ModelBlessing()
    ours.uri = str(tmp_path / "ours")
    ours.set_int_custom_property("blessed", 1)
    ours.set_string_custom_property("model_digest", "of another model")
    gone = blessing_of(model)
    gone.set_string_custom_property("current_model", str(tmp_path / "gone"))

    for blessing in (blessing_of(other), ours):
        with pytest.raises(RunError, match="the blessing is of another model than "):
            push(model, [span(data, 0)], blessing)
    with pytest.raises(RunError, match=r"the blessing is of .*/gone, which cannot be read here"):
        push(model, [span(data, 0)], gone)
    refused = blessing_of(model)
    refused.set_int_custom_property("blessed", 0)
    assert push(model, [span(data, 0)], refused).get_int_custom_property("pushed") == 0
    assert all_versions(tmp_path / "serving") == []


def test_the_model_of_another_resolver_must_be_the_one_that_is_served(
    push: Callable[..., Any], data: Path, tmp_path: Path
) -> None:
    first, second, third = (
        foreign.save_model(tmp_path / str(slope), slope=slope) for slope in (1.0, 2.0, 3.0)
    )
    examples = [span(data, 0)]
    push(first, examples, champion=None)

    with pytest.raises(RunError, match=r"compared with .*/3.0/Format-Serving, but now version"):
        push(second, examples, champion=third)
    with pytest.raises(RunError, match="compared with no version, there was none, but now version"):
        push(second, examples, champion=None)
    push(second, examples, champion=first)

    older, newer = all_versions(tmp_path / "serving")
    record = read_version_record(newer.path)
    assert record is not None
    assert record.gates.champion == older.name
