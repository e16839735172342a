"""The same pipeline, in which this project's components check, judge and publish the model."""

from pathlib import Path

import apache_beam  # noqa: F401 before TensorFlow, or Transform ends in a segmentation fault
from tfx import v1 as tfx

from tfx_fusion.components import (
    ChampionResolver,
    DataGate,
    FusionEvaluator,
    ServingCheck,
    VersionPusher,
    components_for,
)
from tfx_fusion.modules.spec import Bounds, Evaluation, Threshold, load_fusion

HERE = Path(__file__).resolve().parent
SPLITS = {"train": "training", "eval": "validation"}
SQLITE = tfx.orchestration.metadata.sqlite_metadata_connection_config
# An accuracy of at least 0.7, and not much below that of the model that is served.
EVALUATION = Evaluation(
    thresholds={"left": {"accuracy": Threshold(min=0.7, change=Bounds(min=-0.02))}},
    confidence=0.95,
)


def create_pipeline(folder: Path) -> tfx.dsl.Pipeline:
    """From the CSV file to `folder/serving`."""
    fusion = load_fusion(HERE / "fusion.yaml").changed(evaluation=EVALUATION)
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
        fusion, examples, transform.outputs["transform_graph"],
        splits=SPLITS, names={"days": "days_xf", "spent": "spent_xf"}, folder=folder,
    )  # fmt: skip
    model, serving = fused.trainer.outputs["model"], folder / "serving"
    champion = ChampionResolver(serving)
    gate = DataGate(
        fusion.features, fusion.labels, examples, statistics.outputs["statistics"],
        champion=champion.outputs["champion"], splits=SPLITS,
    )  # fmt: skip
    evaluator = FusionEvaluator(
        fusion, examples, model, champion.outputs["champion"], split="validation"
    )
    check = ServingCheck(examples, model, split="validation")
    pusher = VersionPusher(
        serving, evaluator.outputs["blessing"], infra_blessing=check.outputs["blessing"],
        evaluation=evaluator.outputs["evaluation"], champion=champion.outputs["champion"],
        data_gate=gate.outputs["data_gate"],
    )  # fmt: skip
    nodes = [rows, statistics, schema, transform, *fused.components]
    judges = [champion, gate, evaluator, check, pusher]
    return tfx.dsl.Pipeline(
        "judged", str(folder / "artifacts"), SQLITE(f"{folder}/metadata.sqlite"), [*nodes, *judges]
    )


if __name__ == "__main__":
    tfx.orchestration.LocalDagRunner().run(create_pipeline(HERE / "runs" / "judged"))
