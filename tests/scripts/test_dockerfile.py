"""How a Dockerfile is read, and what the image of `kubeflow/Dockerfile` is made of."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from dockerfile import (  # noqa: E402
    DockerfileError,
    Stage,
    Step,
    copied,
    is_sent,
    read_ignored,
    read_stages,
    variables,
)


def test_stages_hold_their_steps_on_one_line_each() -> None:
    text = (
        "# a comment\nFROM one:1 AS build\nRUN a \\\n    # between\n    && b\n\nFROM two\nUSER 5\n"
    )

    assert read_stages(text) == [
        Stage("one:1", "build", [Step("RUN", "a      && b")]),
        Stage("two", None, [Step("USER", "5")]),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("FROM a\nADD b c", "expected one of FROM, LABEL, RUN.*found 'ADD b c'"),
        ("RUN a", "expected FROM first, found 'RUN a'"),
    ],
)
def test_what_is_not_understood_is_told(text: str, told: str) -> None:
    with pytest.raises(DockerfileError, match=told):
        read_stages(text)


def test_variables_and_copies() -> None:
    assert variables('A=/x:/y   B="two words"') == {"A": "/x:/y", "B": "two words"}
    assert copied("a b ./") == (None, ["a", "b"], "./")
    assert copied("--from=build /a /b") == ("build", ["/a"], "/b")
    with pytest.raises(DockerfileError, match="no option but --from"):
        copied("--chown=1 a b")


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("README.md", False),
        ("modules", True),
        ("modules/spec/base.py", True),
        ("modules/spec/__pycache__/base.pyc", False),
        ("modules.py", False),
        ("modules/notes/README.md", True),
    ],
)
def test_the_last_pattern_that_fits_a_path_or_its_folder_decides(path: str, sent: bool) -> None:
    patterns = read_ignored("# only this\n*\n!modules\n\n**/__pycache__\n")

    assert is_sent(path, patterns) is sent


@pytest.fixture(scope="module")
def stages() -> list[Stage]:
    return read_stages((ROOT / "kubeflow" / "Dockerfile").read_text())


def test_the_lock_is_installed_before_the_project_is_copied(stages: list[Stage]) -> None:
    steps = [f"{step.instruction} {step.text}" for step in stages[0].steps]

    [locked] = [n for n, step in enumerate(steps) if "--constraints requirements.lock" in step]
    [project] = [n for n, step in enumerate(steps) if step == "COPY modules modules"]
    assert locked < project


def test_what_is_copied_is_sent_to_docker_and_is_there(stages: list[Stage]) -> None:
    patterns = read_ignored((ROOT / ".dockerignore").read_text())
    sources = [
        source
        for step in stages[0].steps
        if step.instruction == "COPY"
        for source in copied(step.text)[1]
    ]

    assert {source for source in sources if not is_sent(source, patterns)} == set()
    assert {source for source in sources if not (ROOT / source).exists()} == set()
    assert not any(
        is_sent(path, patterns) for path in (".venv/bin/python", ".git/config", "tests/conftest.py")
    )


def test_the_image_runs_as_a_user_that_kubernetes_knows_is_not_root(stages: list[Stage]) -> None:
    last = {step.instruction: step.text for step in stages[-1].steps}

    assert last["USER"] == "1000:1000"
    assert variables(last["ENV"])["HOME"] == "/home/fusion"
