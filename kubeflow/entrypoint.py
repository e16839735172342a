"""`fusion step`: runs one step of the pipeline inside a container of the cluster.

TFX's own entrypoint (`kubeflow_v2_run_executor`) was written for Vertex AI. Open-source Kubeflow
Pipelines passes inputs and outputs of a step in three other ways, each of which makes TFX's fail;
they are translated here, around it, and nothing else is. The driver and the launcher that do so are
in the repository kubeflow/pipelines, backend/src/v2.

1. Input artifacts come without the schema that holds their type: it is taken from the input
   definitions, which TFX passes to its entrypoint as well.
2. There is one output more than the component declares, for the step's log: it is left out.
3. Artifacts are in an object store, and the launcher copies them from and to local folders: the
   executor gets those, and the local URIs that it returns are left out.
"""

import argparse
import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from tfx_fusion.kubeflow import require_packages
from tfx_fusion.modules.errors import user_error
from tfx_fusion.modules.report.finished import KEPT_AS_KEY

# Where the launcher puts local copies (LocalPathForURI in component/launcher_v2.go).
LOCAL = {"gs://": "/gcs/", "minio://": "/minio/", "s3://": "/s3/"}
LOG_OUTPUT = "executor-logs"


def local_path(uri: str) -> str:
    """The local path that the launcher copies an artifact from and to."""
    for scheme, folder in LOCAL.items():
        if uri.startswith(scheme):
            return folder + uri.removeprefix(scheme)
    return uri


def patch_invocation(invocation: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
    """The driver's ExecutorInput as TFX's entrypoint expects it; `inputs` is the component's
    ComponentInputsSpec."""
    given = invocation.get("inputs", {}).get("artifacts", {})
    wanted = {
        key: value
        for key, value in invocation.get("outputs", {}).get("artifacts", {}).items()
        if key != LOG_OUTPUT
    }
    for key, artifact in _artifacts(given):
        artifact["type"] = inputs["artifacts"][key]["artifactType"]
        # TFX identifies an artifact by its name, which KFP may leave out.
        artifact["name"] = artifact.get("name") or artifact["uri"]
    for _, artifact in (*_artifacts(given), *_artifacts(wanted)):
        artifact["uri"] = local_path(artifact["uri"])
    return {**invocation, "outputs": {**invocation["outputs"], "artifacts": wanted}}


def _artifacts(lists: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for key, value in lists.items():
        for artifact in value.get("artifacts", []):
            yield key, artifact


def patch_output(output: dict[str, Any], uris: dict[str, str]) -> dict[str, Any]:
    """An ExecutorOutput as the launcher expects it: without local URIs and null properties.

    An artifact with the property `KEPT_AS_KEY` names one of its files, which is copied to a fixed
    place, the artifact's new URI: `fusion submit` downloads it from there without asking KFP.

    Args:
        output: what TFX's entrypoint wrote, as JSON; it is changed.
        uris: the URI of each output.
    """
    for key, artifact in _artifacts(output.get("artifacts", {})):
        artifact.pop("uri", None)
        found = artifact.get("metadata", {})
        artifact["metadata"] = {key: value for key, value in found.items() if value is not None}
        file = found.get(KEPT_AS_KEY)
        if file:
            # From ROOT/PIPELINE/RUN/STEP/ATTEMPT/OUTPUT to ROOT/PIPELINE/RUN/STEP/FILE.
            artifact["uri"] = f"{uris[key].rsplit('/', 2)[0]}/{file}"
            shutil.copyfile(Path(local_path(uris[key]), file), local_path(artifact["uri"]))
    return output


def run(argv: list[str]) -> None:
    """Runs one step by TFX's entrypoint, given its arguments."""
    require_packages()
    from tfx.orchestration.kubeflow.v2 import compiler_utils
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor as tfx_entrypoint

    from tfx_fusion.components import artifacts
    from tfx_fusion.modules.files import write_text
    from tfx_fusion.pipeline.quiet import log_everything

    log_everything()
    logging.getLogger("fusion.progress").setLevel(logging.INFO)
    # TFX finds the class of an artifact by the title of its schema, for its own types only.
    for name, found in vars(artifacts).items():
        if getattr(found, "__module__", None) == artifacts.__name__:
            compiler_utils.TITLE_TO_CLASS_PATH[found.TYPE_NAME] = f"{artifacts.__name__}.{name}"
    parser = argparse.ArgumentParser()
    parser.add_argument("--executor_class_path")
    parser.add_argument("--json_serialized_invocation_args")
    parser.add_argument("--json_serialized_inputs_spec_args")
    arguments, beam_arguments = parser.parse_known_args(argv)
    inputs = json.loads(arguments.json_serialized_inputs_spec_args)
    given = json.loads(arguments.json_serialized_invocation_args)
    uris = {key: a["uri"] for key, a in _artifacts(given["outputs"].get("artifacts", {}))}
    invocation = patch_invocation(given, inputs)
    for _, artifact in _artifacts(invocation["outputs"]["artifacts"]):
        Path(artifact["uri"]).mkdir(parents=True, exist_ok=True)
    arguments.json_serialized_invocation_args = json.dumps(invocation)
    tfx_entrypoint._run_executor(arguments, beam_arguments)
    output_file = Path(invocation["outputs"]["outputFile"])
    output = patch_output(json.loads(output_file.read_text()), uris)
    write_text(output_file, json.dumps(output))


@click.command(
    "step", context_settings={"ignore_unknown_options": True, "help_option_names": ["-h", "--help"]}
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> None:
    """Run one step inside a container of Kubeflow Pipelines.

    A compiled pipeline calls it; ARGUMENTS are those of TFX's own entrypoint.
    """
    try:
        run(list(arguments))
    except Exception as error:
        found = user_error(error)
        if found is None:
            raise
        click.echo(found.line, err=True)  # `fusion submit` reads it in the pod's log
        raise found from error
