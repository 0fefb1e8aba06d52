"""Refusals of the place builds run in, and of what they leave there."""

from __future__ import annotations

from jobs.errors import Refusal


class SandboxUnavailable(Refusal):
    """Builds cannot be isolated on this machine as the operator demands."""

    code = "SANDBOX_UNAVAILABLE"
    status = 503
    title = "Builds cannot be isolated on this machine."
    next_step = "An operator has to install bubblewrap or change BUILD_SANDBOX; see docs/builds.md."


class OutputTooLarge(Refusal):
    """A build produced more bytes or files than a site may have."""

    code = "OUTPUT_TOO_LARGE"
    status = 422
    title = "The built site is larger than a site may be."
    next_step = "Make the site smaller and build it again."


class OutputUnsafeEntry(Refusal):
    """A build produced something that is not a plain file or directory."""

    code = "OUTPUT_UNSAFE_ENTRY"
    status = 422
    title = "The built site holds an entry that is not a plain file or directory."
    next_step = "Remove the named entry from what the build produces."
