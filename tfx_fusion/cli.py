"""The `fusion` command: each subcommand is a file in `pipeline/commands` or `kubeflow`."""

from __future__ import annotations

import sys

import click
from rich.console import Console

from tfx_fusion.kubeflow.compile import command as compile_command
from tfx_fusion.kubeflow.entrypoint import command as step
from tfx_fusion.kubeflow.manifests import command as manifests
from tfx_fusion.kubeflow.submit import command as submit
from tfx_fusion.modules.errors import SpecificationError, UserError
from tfx_fusion.pipeline.commands.lineage import lineage
from tfx_fusion.pipeline.commands.predict import predict
from tfx_fusion.pipeline.commands.report import report
from tfx_fusion.pipeline.commands.rollback import rollback
from tfx_fusion.pipeline.commands.run import run
from tfx_fusion.pipeline.commands.schema import schema
from tfx_fusion.pipeline.commands.score import score
from tfx_fusion.pipeline.commands.serve import serve
from tfx_fusion.pipeline.commands.tune import tune
from tfx_fusion.pipeline.commands.validate import validate
from tfx_fusion.pipeline.commands.versions import versions


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tfx-fusion")
def fusion() -> None:
    """Fuse pretrained models into one, train its head, check it, publish it to TF Serving.

    A specification (YAML) says which models, how they join, and what is learned from which data.
    """


for command in (
    validate, run, report, tune, predict, score, serve, versions, rollback, lineage, schema,
    compile_command, submit, manifests, step,
):  # fmt: skip
    fusion.add_command(command)


def main() -> None:
    """Runs the command; a user's error becomes a message and an exit code, never a traceback.

    2 for a wrong specification, 1 for anything else that failed.
    """
    errors = Console(stderr=True)
    try:
        sys.exit(fusion.main(standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        errors.print("stopped")
        sys.exit(130)
    except SpecificationError as error:
        errors.print("[red]the specification is wrong[/]")
        for problem in error.problems:
            errors.print(f"  {problem}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except UserError as error:
        errors.print("[red]failed[/]")
        errors.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
