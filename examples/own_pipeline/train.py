"""A pipeline of TFX's own components, with a model that fuses two pretrained ones."""

from pathlib import Path

import tensorflow_model_analysis as tfma
from tfx import v1 as tfx

from tfx_fusion import spec
from tfx_fusion.components import components_for

HERE = Path(__file__).resolve().parent
SPLITS = {"train": "training", "eval": "validation"}
SQLITE = tfx.orchestration.metadata.sqlite_metadata_connection_config


def create_pipeline(folder: Path) -> tfx.dsl.Pipeline:
    """From the CSV file to `folder/serving`."""
    split = tfx.proto.SplitConfig.Split
    parts = [split(name="training", hash_buckets=4), split(name="validation", hash_buckets=1)]
    output = tfx.proto.Output(split_config=tfx.proto.SplitConfig(splits=parts))
    rows = tfx.components.CsvExampleGen(str(HERE / "data" / "csv"), output_config=output)
    examples = rows.outputs["examples"]
    statistics = tfx.components.StatisticsGen(examples)
    schema = tfx.components.SchemaGen(statistics.outputs["statistics"])
    transform = tfx.components.Transform(
        examples, schema.outputs["schema"], preprocessing_fn="preprocessing.preprocessing_fn",
        splits_config=tfx.proto.SplitsConfig(analyze=["training"], transform=[*SPLITS.values()]),
    )  # fmt: skip
    fused = components_for(
        spec.load_fusion(HERE / "fusion.yaml"), examples, transform.outputs["transform_graph"],
        splits=SPLITS, names={"days": "days_xf", "spent": "spent_xf"}, folder=folder,
    )  # fmt: skip
    model = fused.trainer.outputs["model"]
    best = tfx.dsl.Resolver(
        strategy_class=tfx.dsl.experimental.LatestBlessedModelStrategy,
        model=tfx.dsl.Channel(type=tfx.types.standard_artifacts.Model),
        model_blessing=tfx.dsl.Channel(type=tfx.types.standard_artifacts.ModelBlessing),
    ).with_id("Best")
    evaluator = tfx.components.Evaluator(
        examples, model, best.outputs["model"], eval_config=EVALUATION,
        example_splits=["validation"],
    )  # fmt: skip
    target = tfx.proto.PushDestination(filesystem={"base_directory": str(folder / "serving")})
    pusher = tfx.components.Pusher(model, evaluator.outputs["blessing"], push_destination=target)
    nodes = [rows, statistics, schema, transform, *fused.components, best, evaluator, pusher]
    return tfx.dsl.Pipeline(
        "leaving", str(folder / "artifacts"), SQLITE(f"{folder}/metadata.sqlite"), nodes
    )


# An accuracy of at least 0.7, and not much below the best so far, by the labels of Transform.
ACCURACY = tfma.MetricConfig(class_name="SparseCategoricalAccuracy", threshold=tfma.MetricThreshold(
    value_threshold=tfma.GenericValueThreshold(lower_bound={"value": 0.7}),
    change_threshold=tfma.GenericChangeThreshold(
        direction=tfma.MetricDirection.HIGHER_IS_BETTER, absolute={"value": -0.02})))  # fmt: skip
MODEL = tfma.ModelSpec(signature_name="predict_examples", label_key="left",
                       preprocessing_function_names=["transform_labels"])  # fmt: skip
EVALUATION = tfma.EvalConfig(model_specs=[MODEL], slicing_specs=[tfma.SlicingSpec()],
                             metrics_specs=[tfma.MetricsSpec(metrics=[ACCURACY])])  # fmt: skip


if __name__ == "__main__":
    tfx.orchestration.LocalDagRunner().run(create_pipeline(HERE / "runs"))
