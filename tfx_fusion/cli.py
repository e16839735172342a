"""The `fusion` command: each subcommand is a file in `pipeline/commands` or `kubeflow`."""

import importlib
import signal
import sys
from contextlib import suppress
from typing import NamedTuple, cast

import click

from tfx_fusion.modules.errors import SpecificationError, UserError
from tfx_fusion.pipeline import ending
from tfx_fusion.pipeline.failure import machine_problem


class Place(NamedTuple):
    """Where a subcommand is, and its line in `fusion --help`."""

    module: str
    attribute: str
    help: str


# In the order in which a user meets them.
COMMANDS = {
    "validate": Place("pipeline.commands.validate", "validate", "Check a specification."),
    "run": Place("pipeline.commands.run", "run", "Run the pipeline on this machine."),
    "report": Place("pipeline.commands.report", "report", "Write the page of a run again."),
    "tune": Place("pipeline.commands.tune", "tune", "Search values for a specification."),
    "predict": Place("pipeline.commands.predict", "predict", "Predict some rows of a data file."),
    "score": Place("pipeline.commands.score", "score", "Score a large data file with Beam."),
    "serve": Place("pipeline.commands.serve", "serve", "Serve the published model."),
    "versions": Place("pipeline.commands.versions", "versions", "List the published versions."),
    "rollback": Place("pipeline.commands.rollback", "rollback", "Serve an earlier version again."),
    "lineage": Place("pipeline.commands.lineage", "lineage", "Show what a version was made from."),
    "schema": Place("pipeline.commands.schema", "schema", "Print a JSON schema."),
    "compile": Place("kubeflow.compile", "command", "Compile a pipeline for a cluster."),
    "submit": Place("kubeflow.submit", "command", "Run on Kubeflow Pipelines."),
    "manifests": Place(
        "kubeflow.manifests", "command", "Write Kubernetes manifests of a model server."
    ),
    "step": Place("kubeflow.entrypoint", "command", "Run one step inside a cluster's container."),
}


class LazyGroup(click.Group):
    """Imports a subcommand when it is called, not when the list of all is printed."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        place = COMMANDS[name]
        module = importlib.import_module(f"tfx_fusion.{place.module}")
        return cast(click.Command, getattr(module, place.attribute))

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        # Click would import every command, and cut its text off at the terminal's width.
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.help) for name, place in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tfx-fusion")
def fusion() -> None:
    """Fuse pretrained models into one, train its head, check it, publish it to TF Serving.

    A specification (YAML) names the models, how they join, and what is learned from which data.
    """


def main() -> None:
    """Runs the command; a user's error becomes a message and an exit code, never a traceback.

    2 for an invalid specification, 128 and its number for a signal, 1 for anything else that
    failed.
    """
    ending.install()
    try:
        sys.exit(fusion.main(standalone_mode=False))
    except BaseException as error:
        code = _report(error)
        if code is None:
            raise
        sys.exit(code)


def _report(error: BaseException) -> int | None:
    """Prints why a command ended; returns its exit code, or None for a fault of ours."""
    number = ending.received()
    if number is not None or isinstance(error, click.Abort):
        number = number or signal.SIGINT
        _print_error(f"interrupted by {number.name}", _texts(error))
        return ending.exit_code(number)
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, SpecificationError):
        _print_error("the specification is invalid", [f"  {line}" for line in error.problems])
        return 2
    problem = str(error) if isinstance(error, UserError) else machine_problem(error)
    if problem is None:
        return None
    _print_error("failed", [problem])
    return 1


def _texts(error: BaseException) -> list[str]:
    """What a command says of its interruption; click raises an exception of its own for it."""
    found = error.__cause__ or error
    return [found.message] if isinstance(found, ending.Interrupted) and found.message else []


def _print_error(title: str, lines: list[str] | None = None) -> None:
    from rich.console import Console

    console = Console(stderr=True, markup=False, emoji=False)
    with suppress(OSError):  # the terminal may be closed
        console.print(title, style="red" if lines else None)
        for line in lines or ():
            console.print(line, highlight=False, soft_wrap=True)
