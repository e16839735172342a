"""EmbeddingGen: its channels and parameters, and its executor on real artifacts.

TFX takes long to import, so it is imported where it is used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from executions import binding, examples_of, plan_of, run_embedding

from tfx_fusion.modules.embedding.columns import CONTENTS_FILE, parse, read_contents
from tfx_fusion.modules.embedding.plan import EmbeddingPlan, StagePlan
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.spec import Specification, load_specification
from tfx_fusion.pipeline.failure import cause_of

pytestmark = pytest.mark.component


@pytest.fixture(scope="module")
def specification(shared_world: Path) -> Specification:
    return load_specification(shared_world / "fusion.yaml")


def run(specification: Specification, inputs: Any, folder: Path) -> Any:
    """Runs the executor on the shared rows; returns the artifact of embeddings."""
    examples = examples_of(inputs.splits["train"].parent, list(inputs.splits))
    return run_embedding(specification, [examples], inputs.transform_graph, folder)


def test_every_split_is_embedded_and_the_summary_has_rows_and_size(
    specification: Specification, shared_training_inputs: Any, tmp_path: Path
) -> None:
    from tfx_fusion.components.base import summary_of
    from tfx_fusion.modules.report.summaries import EmbeddingsSummary

    embeddings = run(specification, shared_training_inputs, tmp_path)

    contents = read_contents(embeddings.uri)
    assert contents.plan == plan_of(specification)
    assert contents.rows == {"train": 60, "eval": 30}
    # 6 of vision, 4 of text, the class and the place of the row's id.
    size = 4 * 6 + 4 * 4 + 8 + 8
    assert summary_of([embeddings]) == EmbeddingsSummary(rows=90, bytes_per_row=size)
    assert embeddings.split_names == '["train", "eval"]'
    columns = {column.name: column for column in contents.columns}
    for split, count in contents.rows.items():
        files = [str(file) for file in Path(embeddings.uri, f"Split-{split}").iterdir()]
        [rows] = tf.data.TFRecordDataset(files).batch(99)
        found = parse(columns, rows)
        assert found["vision.features"].shape == (count, 6)
        assert found["text.features"].shape == (count, 4)
        assert np.isfinite(found["vision.features"]).all()
    assert not Path(embeddings.uri, "shards").exists()


def test_a_sub_model_that_gives_no_numbers_fails_with_the_row_and_leaves_no_contents(
    world: Path, shared_training_inputs: Any, tmp_path: Path
) -> None:
    class Broken(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 6), tf.float32, name="tokens")])
        def serve(self, tokens: Any) -> dict[str, Any]:
            return {"features": tokens / tokens[:, :1]}  # no row says an unknown word

    module = Broken()
    tf.saved_model.save(module, str(world / "models" / "text"), signatures=module.serve)
    with pytest.raises(Exception, match="finite") as caught:
        run(load_specification(world / "fusion.yaml"), shared_training_inputs, tmp_path)

    assert re.match(
        r"\d+ of \d+ rows were rejected, data.max_rejected allows 1 %. First: row \d+, "
        r"column 'text.features': expected finite values, found NaN or infinity: ",
        cause_of(caught.value),
    )
    assert not (tmp_path / "embeddings" / CONTENTS_FILE).exists()


def test_the_trainer_learns_on_what_embedding_gen_wrote_and_refuses_what_is_damaged(
    run_trainer: Callable[..., dict[str, Any]],
    specification: Specification,
    shared_training_inputs: Any,
    tmp_path: Path,
) -> None:
    embeddings = run(specification, shared_training_inputs, tmp_path)
    stages = [StagePlan(plan=plan_of(specification))]
    made = run_trainer(specification, tmp_path / "trained", stages=stages, embeddings=[embeddings])
    record = Path(made["training_record"].uri, "record.md").read_text()
    assert f"| head | {stages[0]} |" in record
    assert Path(made["model"].uri, "Format-Serving", "saved_model.pb").is_file()

    Path(embeddings.uri, CONTENTS_FILE).write_text("{")
    with pytest.raises(RunError, match=rf"{CONTENTS_FILE}: expected [\d,]+ bytes, found 1"):
        run_trainer(specification, tmp_path / "again", stages=stages, embeddings=[embeddings])
    assert not list((tmp_path / "again" / "model").rglob("saved_model.pb"))


# ------------------------------------------------------------------------------ the component


def component_of(plan: EmbeddingPlan, names: list[str]) -> Any:
    from tfx.types import channel_utils, standard_artifacts

    from tfx_fusion.components.artifacts import Submodel
    from tfx_fusion.components.embedding_gen.component import EmbeddingGen

    return EmbeddingGen(
        plan,
        examples=channel_utils.as_channel([standard_artifacts.Examples()]),
        transform_graph=channel_utils.as_channel([standard_artifacts.TransformGraph()]),
        submodels={name: channel_utils.as_channel([Submodel()]) for name in names},
    )


def test_only_the_plans_sub_models_are_inputs_so_that_no_other_makes_it_run_again(
    specification: Specification,
) -> None:
    from tfx.types import standard_artifacts

    from tfx_fusion.components.artifacts import Submodel

    plan = plan_of(specification)
    fewer = plan.model_copy(
        update={"submodels": {"text": plan.submodels["text"]}, "embeddings": ("text.features",)}
    )
    kinds = {"examples": standard_artifacts.Examples,
             "transform_graph": standard_artifacts.TransformGraph,
             "submodel_text": Submodel}  # fmt: skip

    found = component_of(fewer, ["vision", "text"])
    assert {key: channel.type for key, channel in found.inputs.items()} == kinds
    both = component_of(plan, ["vision", "text"])
    assert set(both.inputs) == {*kinds, "submodel_vision"}
    assert set(both.outputs) == {"embeddings"}


def test_the_plan_is_a_parameter_and_comes_back_whole(specification: Specification) -> None:
    plan = plan_of(specification)
    parameters = component_of(plan, ["vision", "text"]).exec_properties

    assert set(parameters) == {"plan", "binding"}
    assert json.loads(parameters["binding"]) == json.loads(binding())
    assert EmbeddingPlan.model_validate_json(parameters["plan"]) == plan
