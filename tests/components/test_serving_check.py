"""ServingCheck with real artifacts, and what Pusher makes of its blessing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

pytestmark = pytest.mark.component


@pytest.fixture
def artifacts(shared_published: Path, shared_training_inputs: Any, tmp_path: Path) -> Any:
    """A Model, Examples and an InfraBlessing to fill."""
    from tfx.types import artifact_utils, standard_artifacts

    examples = standard_artifacts.Examples()
    examples.split_names = artifact_utils.encode_split_names(list(shared_training_inputs.splits))
    examples.uri = str(shared_training_inputs.splits["train"].parent)
    model, blessing = standard_artifacts.Model(), standard_artifacts.InfraBlessing()
    model.uri, blessing.uri = str(tmp_path / "model"), str(tmp_path / "blessing")
    (tmp_path / "model").mkdir()
    (tmp_path / "blessing").mkdir()
    (tmp_path / "model" / "Format-Serving").symlink_to(shared_published / "1")
    return model, examples, blessing


def check(artifacts: Any) -> None:
    from tfx.types import channel_utils

    from tfx_fusion.components.serving_check import executor
    from tfx_fusion.components.serving_check.component import ServingCheck

    model, examples, blessing = artifacts
    node = ServingCheck(
        examples=channel_utils.as_channel([examples]),
        model=channel_utils.as_channel([model]),
    )
    executor.Executor().Do(
        {executor.EXAMPLES_KEY: [examples], executor.MODEL_KEY: [model]},
        {executor.BLESSING_KEY: [blessing]},
        node.exec_properties,
    )


def push(blessing: Any, folder: Path) -> Any:
    from tfx.components.pusher.executor import Executor
    from tfx.proto import pusher_pb2
    from tfx.types import standard_artifacts
    from tfx.utils import proto_utils

    pushed = standard_artifacts.PushedModel()
    pushed.uri = str(folder / "pushed")
    destination = pusher_pb2.PushDestination()
    destination.filesystem.base_directory = str(folder / "serving")
    Executor().Do(
        {"infra_blessing": [blessing]},
        {"pushed_model": [pushed]},
        {"push_destination": proto_utils.proto_to_json(destination)},
    )
    return pushed


def summary(blessing: Any) -> Any:
    from tfx_fusion.components.base import summary_of

    return summary_of([blessing])


def test_a_good_candidate_is_blessed_and_pushed_with_warm_up_requests(
    artifacts: Any, tmp_path: Path
) -> None:
    from tensorflow_serving.apis import prediction_log_pb2

    check(artifacts)
    blessing = artifacts[2]
    assert blessing.get_int_custom_property("blessed") == 1
    assert summary(blessing).text.startswith(
        "30 rows answered by fusion serve as in training, p50 "
    )
    assert (tmp_path / "blessing" / "INFRA_BLESSED").is_file()
    assert json.loads((tmp_path / "blessing" / "serving_check.json").read_text())["rows"] == 30

    pushed = push(blessing, tmp_path)
    version = Path(pushed.get_string_custom_property("pushed_destination"))
    records = tf.data.TFRecordDataset(str(version / "assets.extra/tf_serving_warmup_requests"))
    logs = [prediction_log_pb2.PredictionLog.FromString(r) for r in records.as_numpy_iterator()]
    assert [log.WhichOneof("log_type") for log in logs] == ["predict_log", "predict_log"]
    assert (version / "assets.extra" / "specification.json").is_file()


def test_a_candidate_that_answers_otherwise_than_in_training_is_not_pushed(
    artifacts: Any, tmp_path: Path
) -> None:
    model = tmp_path / "model" / "Format-Serving"
    loaded = tf.saved_model.load(str(model))
    skewed = tf.Module()
    skewed.loaded = loaded
    served = loaded.signatures["serving_default"]

    @tf.function(input_signature=[dict(served.structured_input_signature[1])], autograph=False)
    def off(inputs: Any) -> dict[str, Any]:
        answer = served(**inputs)
        return {**answer, "colour_probabilities": answer["colour_probabilities"] + 0.125}

    published = model.resolve()
    model.unlink()
    examples = loaded.signatures["predict_examples"]
    signatures = {"serving_default": off, "predict_examples": examples}
    tf.saved_model.save(skewed, str(model), signatures=signatures)
    shutil.copytree(published / "assets.extra", model / "assets.extra")

    check(artifacts)
    blessing = artifacts[2]
    assert blessing.get_int_custom_property("blessed") == 0
    assert (
        summary(blessing)
        .problems[0]
        .startswith("gRPC, row 60: output 'colour_probabilities' is off by 0.125: expected")
    )
    problem = "REST, row 60: output 'colour_probabilities' is off by 0.125"
    assert problem in summary(blessing).text
    assert (tmp_path / "blessing" / "INFRA_NOT_BLESSED").is_file()
    assert not (tmp_path / "blessing" / "stamped_model").exists()
    assert push(blessing, tmp_path).get_int_custom_property("pushed") == 0


def test_limits_and_the_split_are_all_that_is_checked_beside_the_model(artifacts: Any) -> None:
    from tfx.types import channel_utils

    from tfx_fusion.components.serving_check.component import ServingCheck
    from tfx_fusion.modules.spec import Serving

    model, examples = (channel_utils.as_channel([artifact]) for artifact in artifacts[:2])

    def parameters(**given: Any) -> Any:
        return ServingCheck(examples, model, **given).exec_properties

    assert parameters() == parameters(limits=Serving(), split="eval")
    assert parameters(limits=Serving(max_p99_ms=5.0)) != parameters()
    assert parameters(split="validation") != parameters()
