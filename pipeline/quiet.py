"""The libraries' flood of messages goes to a log file; the terminal is for the user."""

import importlib
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

# Said by ML Metadata at every query, and of no use to anyone.
NOISE = ("property_predicate is not supported", "ZetaSQL")


def import_tensorflow_quietly() -> None:
    """Imports TensorFlow without its greetings, some of which no setting turns off.

    An import that fails still raises, so nothing is lost with what it prints.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.filterwarnings("ignore", module=r"keras\.")
    sys.stderr.flush()
    saved = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            importlib.import_module("tensorflow")
        finally:
            os.dup2(saved, 2)
            os.close(saved)


@contextmanager
def output_to(path: Path) -> Iterator[TextIO]:
    """Sends both standard streams to a file, native libraries' writes too; gives the terminal.

    The redirection is of file descriptors, since TensorFlow and gRPC write past Python.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with path.open("a", encoding="utf-8") as log, os.fdopen(os.dup(1), "w") as terminal:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            yield terminal
        finally:
            _flush()
            for descriptor, original in zip((1, 2), saved, strict=True):
                os.dup2(original, descriptor)
                os.close(original)


def _flush() -> None:
    """Flushes both streams into the log; what a full disk does not take is dropped.

    It would else be printed on the terminal, where the streams lead next.
    """
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
            sys.stdout.flush()
            sys.stderr.flush()


def log_everything() -> None:
    """TFX's and Beam's messages in the log, less the noise. To be called after their import."""
    from absl import logging as absl_logging

    absl_logging.set_verbosity(absl_logging.INFO)
    absl_logging.use_absl_handler()
    absl_logging.get_absl_handler().addFilter(
        lambda record: not any(words in record.getMessage() for words in NOISE)
    )
