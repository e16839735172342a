"""`fusion compile`: a specification as a pipeline of Kubeflow, or of Vertex AI."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import click

from tfx_fusion.kubeflow import require_packages
from tfx_fusion.kubeflow.container_paths import check_paths, in_container
from tfx_fusion.kubeflow.patch_pipeline_spec import (
    check_steps,
    kubernetes_platform,
    patch_pipeline_spec,
)
from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.spec import Kubeflow, Specification

# What a container runs: the image holds the project, so `fusion` is on its path.
COMMAND = ("fusion", "step")
# KFP replaces it by the run's id.
RUN_ID = "{{$.pipeline_job_uuid}}"
# Where training saves its state in a container that has no volume for it.
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
    def steps(self) -> list[str]:
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


def compile_file(file: Path, log: Callable[[str], None], target: str = "kubeflow") -> Compiled:
    """Compiles the specification in a file; `log` is called before what takes long.

    Raises SpecificationError where it is invalid, or asks for what the cluster cannot do.
    """
    from tfx_fusion.pipeline.prepare import prepare
    from tfx_fusion.pipeline.quiet import import_tensorflow_quietly

    require_packages()
    prepared = prepare(file, log)
    specification, kubeflow = prepared.specification, prepared.specification.kubeflow
    if kubeflow is None:
        raise SpecificationError(
            "kubeflow: this key is missing; it needs at least the `image`, see kubeflow/README.md"
        )
    if target == "vertex":
        _check_vertex(kubeflow)
    check_paths(specification, kubeflow)
    log("importing TensorFlow, Beam and TFX")
    import_tensorflow_quietly()
    from tfx_fusion.components.run_report.component import RunReport
    from tfx_fusion.modules.preprocessing.transform import vocabulary_digests
    from tfx_fusion.modules.registry.version_record import Provenance
    from tfx_fusion.pipeline.pipeline import Seen, create_steps
    from tfx_fusion.pipeline.run import stage_plans

    # Files of this machine are read here, and none by the components (see `container_paths`).
    plans = in_container(stage_plans(prepared), kubeflow.volumes)
    seen = Seen(vocabulary_digests=vocabulary_digests(specification.features))
    moved = in_container(specification, kubeflow.volumes)
    provenance = Provenance.of(moved, prepared.inspections, "", RUN_ID)
    steps = create_steps(
        moved,
        provenance,
        prepared.inspections,
        plans,
        seen,
        str(kubeflow.checkpoints or CHECKPOINTS),
    )
    report = RunReport(steps, provenance).with_id("Report")
    spec = pipeline_spec(specification.name, [*steps, report], kubeflow.image)
    check_steps(spec, kubeflow)
    patch_pipeline_spec(spec, kubeflow)
    return Compiled(specification, spec, kubernetes_platform(spec, kubeflow))


def _check_vertex(kubeflow: Kubeflow) -> None:
    problems = [
        f"{key}: Vertex AI gives steps no Kubernetes secrets; remove it"
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


def pipeline_spec(name: str, steps: list[Any], image: str) -> dict[str, Any]:
    """The PipelineSpec that TFX's own compiler makes of steps."""
    from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import (
        KubeflowV2DagRunner,
        KubeflowV2DagRunnerConfig,
    )
    from tfx.orchestration.pipeline import Pipeline

    pipeline = Pipeline(pipeline_name=name, pipeline_root="given to the run", components=steps)
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
    the steps find data, sub-models and the publish folder. `fusion submit` compiles by itself.
    """
    from tfx_fusion.pipeline.consoles import print_result, wide_console

    console = wide_console()
    compiled = compile_file(file, lambda text: console.print(text, highlight=False), target)
    vertex = target == "vertex"
    place = output or Path(f"{compiled.name}.{'json' if vertex else 'yaml'}")
    write_text(place, compiled.vertex_job() if vertex else compiled.text())
    size = place.stat().st_size / 1000
    print_result(console, "compiled", f"{place}: {len(compiled.steps)} steps, {size:.0f} kB")
