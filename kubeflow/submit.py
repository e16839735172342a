"""`fusion submit`: runs a specification on Kubeflow Pipelines."""

from __future__ import annotations

from pathlib import Path

import click

from tfx_fusion.kubeflow import require_packages
from tfx_fusion.pipeline.consoles import wide_console


@click.command("submit")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--host",
    required=True,
    envvar="FUSION_KFP_HOST",
    show_envvar=True,
    help="Address of KFP, for instance http://localhost:8080, where ml-pipeline-ui is forwarded.",
)
@click.option(
    "--root",
    required=True,
    envvar="FUSION_KFP_ROOT",
    show_envvar=True,
    help="Where in a bucket the run stores its artifacts: s3://, minio:// or gs://.",
)
@click.option(
    "--namespace",
    envvar="FUSION_KFP_NAMESPACE",
    show_envvar=True,
    help="The namespace of the run, where KFP has several users; that of KFP unless given.",
)
@click.option(
    "--token",
    envvar="FUSION_KFP_TOKEN",
    show_envvar=True,
    help="A token, where the server requires authentication.",
)
@click.option(
    "--experiment",
    envvar="FUSION_KFP_EXPERIMENT",
    show_envvar=True,
    help="The experiment of the run; the pipeline's name unless given.",
)
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
