"""`fusion submit`: runs a specification on Kubeflow Pipelines."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tfx_fusion.kubeflow import require_packages
from tfx_fusion.pipeline.consoles import wide_console


def _option(name: str, text: str, required: bool = False) -> Callable[[Any], Any]:
    """An option that a variable of the environment may give as well."""
    return click.option(
        f"--{name}", required=required, envvar=f"FUSION_KFP_{name.upper()}", show_envvar=True,
        help=text,
    )  # fmt: skip


@click.command("submit")
@click.argument("file", type=click.Path(path_type=Path))
@_option(
    "host",
    "Address of KFP, for instance http://localhost:8080, where ml-pipeline-ui is forwarded.",
    required=True,
)
@_option(
    "root",
    "Where in a bucket the run stores its artifacts: s3://, minio:// or gs://.",
    required=True,
)
@_option(
    "namespace", "The namespace of the run, where KFP has several users; that of KFP unless given."
)
@_option("token", "A token, where the server requires authentication.")
@_option("experiment", "The experiment of the run; the pipeline's name unless given.")
@click.option("--no-wait", is_flag=True, help="Start the run, print its address and exit.")
@click.option(
    "--report", type=click.Path(path_type=Path),
    help="The file of the report; runs/kubeflow/RUN_ID/report.html beside FILE unless given.",
)  # fmt: skip
def command(
    file: Path,
    host: str,
    root: str,
    namespace: str | None,
    token: str | None,
    experiment: str | None,
    no_wait: bool,
    report: Path | None,
) -> None:
    """Run the specification FILE on Kubeflow Pipelines 2.

    It is compiled as by `fusion compile`, uploaded as a pipeline (or a new version of it), started,
    and monitored until it ends; then the report is downloaded. Secrets and claims that the section
    `kubeflow` names are checked first where there is a kubeconfig. The run continues when this
    command is stopped.
    """
    require_packages()
    from tfx_fusion.kubeflow.kfp_server import Server, check_root

    console = wide_console()
    root, server = check_root(root), Server(host, namespace, token)
    pods_namespace = server.check()
    # TFX takes ten seconds to import: only once the server is known to be healthy.
    from tfx_fusion.kubeflow.compile import compile_file
    from tfx_fusion.kubeflow.submission import Submission

    compiled = compile_file(file, lambda text: console.print(text, highlight=False))
    submission = Submission(
        compiled, server, root, pods_namespace, file.parent / "runs" / "kubeflow", console
    )
    submission.check()
    submission.start(experiment or compiled.name)
    if not no_wait:
        submission.follow(report)
