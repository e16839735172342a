"""Why a stage failed on Kubeflow, in one paragraph, from what its pod wrote and how it ended."""

from __future__ import annotations

import re

from tfx_fusion.kubeflow.pods import ROOT, Pod
from tfx_fusion.modules.errors import user_error

# The launcher around a stage writes lines of glog's kind, about itself.
LAUNCHER = re.compile(r"^[IWEF]\d{4} \d\d:\d\d:\d\d|^time=\"")
RAISED = re.compile(r"^(?:\w+\.)*(?:\w*(?:Error|Exception|Interrupt|Exit))(?:: |$)")
DIED = re.compile(r"^F\d{4} [^\]]*\] (?P<why>.+)")
EXITED = re.compile(r"exit status \d+$")  # it says no more than that the stage failed
KILLED = re.compile(r"failed to execute component: signal: killed")
NO_COMMAND = re.compile(
    r'exec: "?fusion"?: (?:executable file not found|no such file)|fusion: (?:command )?not found'
    r"|exec: .*\bfusion\b.*(?:executable file not found|no such file)"
)
LONGEST = 1500


def cause(pod: Pod | None, log: str | None, image: str) -> str:
    """The cause that a pod and its log tell, with the key to change where it is known."""
    ended = pod.ended if pod else None
    told = " ".join(part for part in (log, ended) if part)
    if NO_COMMAND.search(told) or (ended and "exit code 127" in ended):
        return f"kubeflow.image: {image} has no command `fusion`: build it with kubeflow/Dockerfile"
    if ended and (ended.startswith("OOMKilled") or KILLED.search(log or "")):
        return f"{ended}: it was killed, most likely for its memory: give it more, kubeflow.memory"
    return _raised(log or "") or ended or "KFP does not say why; its log does"


def stuck_message(pod: Pod, image: str) -> str:
    """What keeps a pod from starting, with the key that says it otherwise."""
    waiting = pod.waiting or ""
    if pod.driver:
        whose = "the run" if pod.stage == ROOT else f"stage {pod.stage}"
        return f"{whose} cannot start: KFP's own driver waits: {waiting}"
    if "Image" in waiting.split(":")[0]:
        waiting = f"kubeflow.image: {image} cannot be had: {waiting}"
    elif "secret" in waiting:
        waiting = f"kubeflow.secrets: {waiting}"
    return f"stage {pod.stage} cannot start: {waiting}"


def _raised(log: str) -> str | None:
    """A log's cause: a user's error, another exception, the launcher's end, or its last line."""
    error = user_error(log)
    if error is not None:
        return str(error)[:LONGEST]
    lines = [line.rstrip() for line in log.splitlines()]
    own = [number for number, line in enumerate(lines) if line and not LAUNCHER.match(line)]
    raised = [number for number in own if RAISED.match(lines[number])]
    if raised:
        return _paragraph(lines, raised[-1])
    died = [found["why"] for line in lines if (found := DIED.match(line))]
    if died and not EXITED.search(died[-1]):
        return str(died[-1])[:LONGEST]
    return lines[own[-1]][:LONGEST] if own else None


def _paragraph(lines: list[str], start: int) -> str:
    """Lines from one on, up to the launcher's own."""
    end = start + 1
    while end < len(lines) and lines[end] and not LAUNCHER.match(lines[end]):
        end += 1
    return "\n".join(line.strip() for line in lines[start:end])[:LONGEST]
