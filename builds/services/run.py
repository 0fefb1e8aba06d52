"""Run one build: unpack, build in the sandbox, store, publish (B-05)."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import DatabaseError

from builds.builders import Builder, BuilderLimits, get_builder
from builds.clients import archives, sandbox, storage
from builds.errors import SandboxUnavailable
from builds.models import Build
from builds.services.log import LogWriter
from builds.services.moves import fail_build, mark_deployed, start_build
from builds.services.pulse import Pulse
from builds.services.sources import archive_limits
from credits.errors import CreditAccountFrozen, InsufficientCredits
from jobs.context import JobContext
from jobs.errors import Interrupted, LeaseLost, Refusal, Snooze

# Left of the job's time for unpacking, storing and publishing.
MARGIN_S: Final = 60.0
# Until a build on a frozen account is tried again; its hold lasts longer than that.
FROZEN_WAIT_S: Final = 300.0

_CODES: Final = {
    "failed": "BUILD_FAILED",
    "timed_out": "BUILD_TIMED_OUT",
    "out_of_memory": "BUILD_OUT_OF_MEMORY",
    "output_limit": "OUTPUT_TOO_LARGE",
    "log_limit": "BUILD_LOG_TOO_LARGE",
}


class SourceProblem(Exception):
    """The source cannot be built, and another attempt would not change that."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(message)


def run_build(*, build_id: uuid.UUID, context: JobContext) -> None:
    """Take a build from queued, or from a lost worker, to its final state.

    What is wrong with the source fails the build and gives its credits back; the job has then
    done its work. Whatever else goes wrong is raised: the job is tried again. An interruption
    passes through: processes are gone by then, and the engine's answer to it moves the build.
    """
    try:
        build = start_build(build_id=build_id, context=context)
        if build is not None:
            _run(build, context)
    except InsufficientCredits as refusal:
        fail_build(build_id=build_id, code=refusal.code, message=refusal.message, context=context)
    except CreditAccountFrozen as refusal:
        # Not the customer's fault, and no attempt: it is built and charged once that is settled.
        raise Snooze(FROZEN_WAIT_S, refusal.message) from refusal


def _run(build: Build, context: JobContext) -> None:
    log = LogWriter(build_id=build.id, context=context)
    log.say(f"attempt {context.attempt}: builder {build.builder}, source {build.source.sha256}")
    log.flush()
    try:
        with (
            storage.workspace() as workspace,
            Pulse(build_id=build.id, context=context, flush=log.flush, wake=log.full),
        ):
            artifact, duration_s = _make(build, workspace, log, context)
    except SourceProblem as problem:
        log.say(f"failed: {problem.message}")
        log.flush()
        fail_build(build_id=build.id, code=problem.code, message=problem.message, context=context)
        return
    except Interrupted as interruption:
        _say_last(log, f"stopped: {interruption or type(interruption).__name__}")
        raise
    size = f"{artifact.file_count} files, {artifact.size_bytes} bytes"
    log.say(f"publishing {size} as {artifact.sha256}, built in {duration_s:.1f} s")
    log.flush()
    mark_deployed(build_id=build.id, artifact=artifact, duration_s=duration_s, context=context)


def _make(
    build: Build, workspace: Path, log: LogWriter, context: JobContext
) -> tuple[storage.StoredArtifact, float]:
    """Return the stored artifact and the seconds its process took.

    Raises: SourceProblem; the interruptions; anything else is a fault of ours.
    """
    source, output = workspace / "source", workspace / "output"
    source.mkdir()
    output.mkdir()
    builder = get_builder(build.builder)
    try:
        archives.extract_archive(storage.source_path(build.source.sha256), source, archive_limits())
        root = archives.source_root(source)
        for line in builder.prepare(root, output, build.options):
            log.say(line)
        context.check()
        command = builder.command(root, output, build.options)
        duration_s = 0.0
        if command is not None:
            duration_s = _execute(command, builder.LIMITS, workspace, output, log, context)
        _judge(builder, output, log)
        context.check()
        artifact = storage.store_artifact(
            output, max_bytes=settings.BUILD_OUTPUT_BYTES, max_files=settings.SOURCE_FILES
        )
    except SandboxUnavailable:
        raise
    except Refusal as refusal:
        raise SourceProblem(refusal.code, refusal.message) from refusal
    context.check()
    return artifact, duration_s


def _execute(
    command: list[str],
    allowed: BuilderLimits,
    workspace: Path,
    output: Path,
    log: LogWriter,
    context: JobContext,
) -> float:
    """Run the builder's process in the sandbox; return its seconds."""
    timeout_s = min(
        settings.BUILD_TIMEOUT_S, allowed.timeout_s, max(context.remaining_s() - MARGIN_S, 1.0)
    )
    hidden = f"{workspace}/"  # where things lie on our machine is nobody's business
    context.rest()
    result = sandbox.run_sandboxed(
        command,
        workspace=workspace,
        writable=[output],
        limits=sandbox.SandboxLimits(
            timeout_s=timeout_s,
            memory_bytes=min(settings.BUILD_MEMORY_BYTES, allowed.memory_bytes),
            processes=allowed.processes,
            cpu_s=int(timeout_s) + 1,
            output_bytes=settings.BUILD_OUTPUT_BYTES,
        ),
        stop=context.stop,
        on_line=lambda stream, text: log.line(stream, text.replace(hidden, "")),
    )
    if result.outcome == "stopped":
        context.check()
        raise LeaseLost("the run was stopped")
    if result.outcome != "finished":
        message = result.message or f"The builder ended with exit code {result.exit_code}."
        raise SourceProblem(_CODES[result.outcome], message.replace(hidden, ""))
    return result.duration_s


def _judge(builder: Builder, output: Path, log: LogWriter) -> None:
    """Refuse a site that its builder finds wanting."""
    problems = builder.check(output)
    for problem in problems:
        log.say(f"problem: {problem}")
    if problems:
        raise SourceProblem("BUILD_CHECK_FAILED", problems[0])


def _say_last(log: LogWriter, text: str) -> None:
    """Add a last line where the lease still allows it."""
    log.say(text)
    try:
        log.flush()
    except (LeaseLost, DatabaseError):
        return
