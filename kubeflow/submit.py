"""`fusion submit`: the pipeline, on Kubeflow Pipelines."""

from __future__ import annotations

from pathlib import Path

import click

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
    help="Where in a bucket the run keeps what it makes: s3://, minio:// or gs://.",
)
@click.option(
    "--namespace",
    envvar="FUSION_KFP_NAMESPACE",
    show_envvar=True,
    help="Whose namespace the run belongs to, where KFP has several users; else that of KFP.",
)
@click.option(
    "--token",
    envvar="FUSION_KFP_TOKEN",
    show_envvar=True,
    help="A token that KFP lets in, where it asks for one.",
)
@click.option(
    "--experiment",
    envvar="FUSION_KFP_EXPERIMENT",
    show_envvar=True,
    help="The experiment of the run; by default the pipeline's name.",
)
@click.option("--no-wait", is_flag=True, help="Submit, print the run's address and end.")
@click.option(
    "--report", type=click.Path(path_type=Path),
    help="Where the report goes; by default runs/kubeflow/RUN_ID/report.html beside FILE.",
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

    It is compiled as `fusion compile` does, uploaded as a pipeline (or a new version of it),
    started, and followed until its end; then the report is fetched. Secrets and volumes that the
    section `kubeflow` names are checked first where a kubeconfig is at hand. Stopping this command
    leaves the run going on.
    """
    from tfx_fusion.kubeflow.kfp_server import Server
    from tfx_fusion.kubeflow.preflight import check_root, check_server

    console = wide_console()
    root, server = check_root(root), Server(host, namespace, token)
    pods_namespace = check_server(server)
    # TFX takes ten seconds to import, so it is imported when the server is known to be sound.
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
