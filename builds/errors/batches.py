"""What a batch or a replay is refused for (B-07, B-08)."""

from __future__ import annotations

from jobs.errors import Refusal


class BatchExceedsMaxActive(Refusal):
    """More new builds of one project than it may ever have active: waiting would not help."""

    code = "BATCH_EXCEEDS_MAX_ACTIVE"
    status = 422
    title = "The batch asks for more builds of one project than it may have active."
    next_step = "Split the batch, or raise maxActive of the project."
    example = {
        "projectId": "proj_0193a1b2c3d474e5a60718293a4b5c6d",
        "asked": 3,
        "maxActive": 1,
        "items": [0, 2, 5],
    }


class ReplayDryRunRequired(Refusal):
    """A replay for real without the digest of its dry run."""

    code = "REPLAY_DRY_RUN_REQUIRED"
    status = 428
    title = "A replay is tried first; this request does not say what the trial has shown."
    next_step = "Send `dryRun: true` first, then its `planDigest` with `dryRun: false`."


class ReplayPlanChanged(Refusal):
    """What the dry run has shown is not what would happen now."""

    code = "REPLAY_PLAN_CHANGED"
    status = 409
    title = "What would happen now is not what the dry run has shown; nothing was done."
    next_step = "Send `dryRun: true` again, look at what it answers and send its `planDigest`."
    example = {"planDigest": "5c1d" * 16, "state": "deployed", "lastSeq": 4}
