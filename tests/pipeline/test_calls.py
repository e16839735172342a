"""A process of its own for a check or a run: what comes back from it, and how it ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tfx_fusion.modules.errors import RunError, SpecificationError
from tfx_fusion.pipeline import calls
from tfx_fusion.pipeline.calls import Request, call
from tfx_fusion.pipeline.ending import Interrupted

# What a process does in place of the worker: it can send events as that does.
BEGIN = """
import json, os, signal, sys, time
asked = json.loads(sys.stdin.read())
def send(**event):
    print("\\x1e" + json.dumps(event), flush=True)
"""


def ask(script: str, monkeypatch: pytest.MonkeyPatch, **callbacks: Any) -> calls.Event:
    monkeypatch.setattr(calls, "WORKER", ("-c", BEGIN + script))
    return call(Request.of("check", Path("fusion.yaml"), Path("runs")), **callbacks)


def test_lines_and_events_come_in_their_order_and_the_last_event_is_returned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = """
print(asked["action"], asked["file"], asked["folder"])
send(step={"note": "a\\nb"})
print("  line, indented  ")
os.write(2, b"noise of a library")
send(ended={"checked": 1})
"""
    found: list[Any] = []
    ended = ask(script, monkeypatch, on_line=found.append, on_event=found.append)
    assert ended == {"checked": 1}
    assert found == [
        "check fusion.yaml runs", {"step": {"note": "a\nb"}}, "  line, indented  ",
        {"ended": {"checked": 1}},
    ]  # fmt: skip


def test_it_imports_what_this_process_can_and_takes_its_output_for_no_terminal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "models_of_mine.py").write_text("SCALE = 3\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.setenv("FORCE_COLOR", "1")  # as IPython's kernel does
    script = """
import models_of_mine
from rich.console import Console
send(ended={"scale": models_of_mine.SCALE, "terminal": Console().is_terminal})
"""
    assert ask(script, monkeypatch) == {"scale": 3, "terminal": False}


@pytest.mark.parametrize(
    ("script", "kind", "message"),
    [
        ("send(ended={'error': 'no rows'})", RunError, "no rows"),
        (
            "send(ended={'problems': [{'key': 'data', 'message': 'm', 'place': 'f:3'}]})",
            SpecificationError,
            "f:3: data: m",
        ),
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            RunError,
            "the process was ended by SIGKILL: it may need more memory than there is",
        ),
        ("raise KeyError('fault of ours')", RuntimeError, "KeyError: 'fault of ours'"),
        ("send(ended={'interrupted': 'log: x'})", Interrupted, "interrupted"),
    ],
    ids=["run", "specification", "killed", "fault", "interrupted"],
)
def test_the_error_of_the_process_is_raised_here(
    script: str, kind: type[BaseException], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(kind) as caught:
        ask(script, monkeypatch)
    assert message in str(caught.value)


# Says its process id, and what it was ended by.
CLEANS_UP = """
def end(number, frame):
    send(ended={"interrupted": "cleaned up"})
    sys.exit(1)
signal.signal(signal.SIGINT, end)
print(os.getpid(), flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("raised", "message"), [(KeyboardInterrupt, "cleaned up"), (ZeroDivisionError, None)]
)
def test_the_process_cleans_up_and_ends_where_this_one_is_interrupted_or_a_callback_fails(
    raised: type[BaseException], message: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = []

    def fail(line: str) -> None:
        processes.append(int(line))
        raise raised

    with pytest.raises(raised) as caught:
        ask(CLEANS_UP, monkeypatch, on_line=fail)
    assert getattr(caught.value, "message", None) == message
    with pytest.raises(ProcessLookupError):
        os.kill(processes[0], 0)


def test_a_second_without_news_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "TICK_SECONDS", 0.01)
    ticks: list[None] = []
    ask("time.sleep(0.3); send(ended={1: 1})", monkeypatch, on_tick=lambda: ticks.append(None))
    assert ticks
