"""Components of TFX's own behind our model: Evaluator, InfraValidator's requests, BulkInferrer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from foreign import RUNNER

from tfx_fusion.modules.spec import load_specification

pytestmark = pytest.mark.component


@pytest.fixture
def model(shared_published: Path, tmp_path: Path) -> Any:
    from tfx.types import standard_artifacts

    artifact = standard_artifacts.Model()
    artifact.uri = str(tmp_path / "model")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "Format-Serving").symlink_to(shared_published / "1")
    return artifact


@pytest.fixture
def examples(shared_training_inputs: Any) -> Any:
    from tfx.types import artifact_utils, standard_artifacts

    artifact = standard_artifacts.Examples()
    artifact.split_names = artifact_utils.encode_split_names(list(shared_training_inputs.splits))
    artifact.uri = str(shared_training_inputs.splits["train"].parent)
    return artifact


@pytest.fixture
def answers(shared_published: Path, shared_training_inputs: Any) -> tuple[Any, Any]:
    """The chances and the classes `(rows,)` of the evaluated rows, by the model's signatures."""
    loaded = tf.saved_model.load(str(shared_published / "1"))
    files = [str(file) for file in sorted(shared_training_inputs.splits["eval"].iterdir())]
    rows = tf.constant(list(tf.data.TFRecordDataset(files).as_numpy_iterator()))
    chances = loaded.signatures["predict_examples"](rows)["colour"].numpy()
    return chances, loaded.signatures["transform_labels"](rows)["colour"].numpy()


def test_tfx_evaluator_measures_and_blesses_by_the_configuration_of_a_specification(
    model: Any, examples: Any, answers: Any, shared_world: Path, tmp_path: Path
) -> None:
    import tensorflow_model_analysis as tfma
    from tfx.components.evaluator.executor import Executor
    from tfx.components.util.model_utils import is_model_blessed
    from tfx.types import standard_artifacts
    from tfx.utils import json_utils, proto_utils

    from tfx_fusion.components import eval_config
    from tfx_fusion.modules.evaluation.overall import overall_metrics

    outputs = {
        "evaluation": standard_artifacts.ModelEvaluation(),
        "blessing": standard_artifacts.ModelBlessing(),
    }
    for key, artifact in outputs.items():
        artifact.uri = str(tmp_path / key)
    config = eval_config(load_specification(shared_world / "fusion.yaml"), baseline=True)
    context = Executor.Context(beam_pipeline_args=[RUNNER], tmp_dir=str(tmp_path / "temporary"))
    Executor(context).Do(
        {"examples": [examples], "model": [model], "baseline_model": [model]},
        {key: [artifact] for key, artifact in outputs.items()},
        {
            "eval_config": proto_utils.proto_to_json(config),
            "example_splits": json_utils.dumps(["eval"]),
        },
    )

    chances, classes = answers
    assert isinstance(config, tfma.EvalConfig)
    found = overall_metrics(tmp_path / "evaluation")
    assert found[""]["example_count"] == len(classes)
    assert found[""]["accuracy"] == pytest.approx((chances.argmax(axis=1) == classes).mean())
    assert is_model_blessed(outputs["blessing"])


def test_the_requests_of_infra_validator_are_answered_by_the_signature_of_examples(
    model: Any, examples: Any, answers: Any, shared_published: Path
) -> None:
    """Its local platform needs Docker; what it sends and what is answered needs none."""
    from tfx.components.infra_validator.request_builder import build_requests
    from tfx.proto import infra_validator_pb2

    from tfx_fusion.modules.serving.server.servable import Servable
    from tfx_fusion.modules.serving.server.tensors import arrays_of

    serving = infra_validator_pb2.TensorFlowServingRequestSpec(signature_names=["predict_examples"])
    spec = infra_validator_pb2.RequestSpec(
        tensorflow_serving=serving, split_name="eval", num_examples=3
    )
    servable = Servable(shared_published / "1")

    requests = build_requests("colours", model, examples, spec)

    assert len(requests) == 3
    for request in requests:  # of any rows: it reads them shuffled
        signature, inputs = request.model_spec.signature_name, arrays_of(request.inputs)
        servable.check(signature, inputs)
        [chances] = servable.run(signature, inputs)["colour"]
        assert np.abs(answers[0] - chances).max(axis=1).min() < 1e-6


def test_bulk_inferrer_predicts_by_the_signature_of_examples(
    model: Any, examples: Any, answers: Any, tmp_path: Path
) -> None:
    from tensorflow_serving.apis import prediction_log_pb2
    from tfx.components.bulk_inferrer.executor import Executor
    from tfx.proto import bulk_inferrer_pb2
    from tfx.types import standard_artifacts
    from tfx.utils import proto_utils

    result = standard_artifacts.InferenceResult()
    result.uri = str(tmp_path / "result")
    by_examples = bulk_inferrer_pb2.ModelSpec(model_signature_name=["predict_examples"])
    context = Executor.Context(beam_pipeline_args=[RUNNER], tmp_dir=str(tmp_path / "temporary"))
    Executor(context).Do(
        {"examples": [examples], "model": [model]},
        {"inference_result": [result]},
        {
            "model_spec": proto_utils.proto_to_json(by_examples),
            "data_spec": proto_utils.proto_to_json(
                bulk_inferrer_pb2.DataSpec(example_splits=["eval"])
            ),
        },
    )

    files = [str(file) for file in Path(result.uri).iterdir()]
    logs = map(
        prediction_log_pb2.PredictionLog.FromString,
        tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator(),
    )
    found = [tf.make_ndarray(log.predict_log.response.outputs["colour"]) for log in logs]
    assert len(found) == len(answers[0])
    np.testing.assert_allclose(
        sorted(chances.ravel().tolist() for chances in found),
        sorted(chances.tolist() for chances in answers[0]),
        atol=1e-6,
    )
