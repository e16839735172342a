"""`fusion compile`: a specification as a pipeline of Kubeflow, or of Vertex AI."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import click

from tfx_fusion.kubeflow.cure import check_stages, cure, kubernetes_platform
from tfx_fusion.kubeflow.volumes import check_paths
from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.spec import Kubeflow, Specification

# What the image is asked to run: it holds the project, so `fusion` is on its path.
COMMAND = ("fusion", "step")
# KFP puts the run's id in its place.
RUN_ID = "{{$.pipeline_job_uuid}}"
# Where training keeps its state in a container that has no other place for it.
CHECKPOINTS = "/tmp/fusion-checkpoints"  # noqa: S108
VERTEX_BUCKETS = Path("/gcs")  # where Vertex AI mounts buckets, without any volume


@dataclass(frozen=True)
class Compiled:
    """A pipeline as KFP takes it: a PipelineSpec 2.1, and what only Kubernetes understands."""

    specification: Specification
    spec: dict[str, Any]
    platform: dict[str, Any]

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self.spec["pipelineInfo"]["name"]

    @property
    def stages(self) -> list[str]:
        """The names of the tasks, each after those that it waits for."""
        tasks = self.spec["root"]["dag"]["tasks"]  # TFX's compiler gives them in no order
        waited_for = {name: tasks[name].get("dependentTasks", ()) for name in sorted(tasks)}
        return list(TopologicalSorter(waited_for).static_order())

    def text(self) -> str:
        """Both as documents of one YAML file."""
        import yaml  # YAML 1.1, as KFP reads it: `no` must stand in quotes

        return yaml.safe_dump_all([self.spec, self.platform], sort_keys=False, width=1000)

    def vertex_job(self) -> str:
        """As the JSON of a PipelineJob, which Vertex AI Pipelines takes."""
        job = {"displayName": self.name, "pipelineSpec": self.spec, "runtimeConfig": {}}
        return json.dumps(job, indent=1) + "\n"


def compile_file(file: Path, tell: Callable[[str], None], target: str = "kubeflow") -> Compiled:
    """Compiles the specification in a file; `tell` is called before what takes longer.

    Raises SpecificationError where it is wrong, or says something that the cluster cannot do.
    """
    from tfx_fusion.pipeline.prepare import prepare
    from tfx_fusion.pipeline.quiet import import_tensorflow_quietly

    prepared = prepare(file, tell)
    specification, kubeflow = prepared.specification, prepared.specification.kubeflow
    if kubeflow is None:
        raise SpecificationError(
            ["kubeflow: this key is missing; it says at least the `image`, see kubeflow/README.md"]
        )
    if target == "vertex":
        _check_vertex(kubeflow)
    check_paths(specification, kubeflow)
    tell("importing TensorFlow, Beam and TFX")
    import_tensorflow_quietly()
    from tfx_fusion.components.run_report.component import RunReport
    from tfx_fusion.modules.registry.manifest import Provenance
    from tfx_fusion.pipeline.pipeline import Seen, create_steps
    from tfx_fusion.pipeline.run import stage_plans

    provenance = Provenance.of(specification, prepared.inspections, "", RUN_ID)
    stages = create_steps(
        specification,
        provenance,
        prepared.inspections,
        stage_plans(prepared),
        Seen(),
        str(kubeflow.checkpoints or CHECKPOINTS),
    )
    report = RunReport(stages, provenance).with_id("Report")
    spec = pipeline_spec(specification.name, [*stages, report], kubeflow.image)
    check_stages(spec, kubeflow)
    cure(spec, kubeflow)
    return Compiled(specification, spec, kubernetes_platform(spec, kubeflow))


def _check_vertex(kubeflow: Kubeflow) -> None:
    problems = [
        f"{key}: Vertex AI gives no Kubernetes secrets to stages; take it out"
        for key, _ in kubeflow.all_secrets()
    ]
    for key, volume in kubeflow.all_volumes():
        if not Path(volume.mount).is_relative_to(VERTEX_BUCKETS):
            problems.append(
                f"{key}.mount: Vertex AI mounts no volumes, but every bucket below "
                f"{VERTEX_BUCKETS}: expected {VERTEX_BUCKETS}/BUCKET/…, found {volume.mount}"
            )
    if problems:
        raise SpecificationError(problems)


def pipeline_spec(name: str, stages: list[Any], image: str) -> dict[str, Any]:
    """What TFX's own compiler makes of stages."""
    from tfx import v1 as tfx
    from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import (
        KubeflowV2DagRunner,
        KubeflowV2DagRunnerConfig,
    )

    pipeline = tfx.dsl.Pipeline(
        pipeline_name=name, pipeline_root="given to the run", components=stages
    )
    config = KubeflowV2DagRunnerConfig(
        default_image=image, default_commands=list(COMMAND), use_pipeline_spec_2_1=True
    )
    return KubeflowV2DagRunner(config).run(pipeline, write_out=False)["pipelineSpec"]


@click.command("compile")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--target",
    type=click.Choice(["kubeflow", "vertex"]),
    default="kubeflow",
    show_default=True,
    help="kubeflow: YAML for open-source Kubeflow Pipelines v2. vertex: JSON for Vertex AI.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path),
    help="The file to write. [default: NAME.yaml or NAME.json in this folder]",
)  # fmt: skip
def command(file: Path, target: str, output: Path | None) -> None:
    """Compile the specification FILE to a pipeline that runs on a cluster.

    The file needs a section `kubeflow`: the image that holds this project, and the volumes on which
    the stages find data, sub-models and the publish folder. `fusion submit` compiles by itself.
    """
    from tfx_fusion.pipeline.consoles import wide_console

    console = wide_console()
    compiled = compile_file(file, lambda text: console.print(text, highlight=False), target)
    vertex = target == "vertex"
    place = output or Path(f"{compiled.name}.{'json' if vertex else 'yaml'}")
    write_text(place, compiled.vertex_job() if vertex else compiled.text())
    size = place.stat().st_size / 1000
    console.print(
        f"[green]compiled[/] {place}: {len(compiled.stages)} stages, {size:.0f} kB",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
