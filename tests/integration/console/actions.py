"""Every action of the console: how it is asked for, who may, and what it records (D-06)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from django.contrib.admin.sites import site as console
from django.contrib.auth.models import Group, User
from django.test import override_settings

from credits.models import Account, Entry, Freeze
from flagship.models import ApiKey, SignatureRollout, SignatureTally, SigningKey
from flagship.services.api_keys import issue_api_key
from flagship.services.groups import GROUPS
from jobs.admin.base import ReadOnlyAdmin
from jobs.ids import new_id
from jobs.models import FailureGroup, Schedule
from jobs.payloads import Probe
from jobs.queues import AUDIT, BILLING, CONTENT, USAGE
from jobs.selectors.letters import LetterFilter
from jobs.services.enqueue import enqueue
from jobs.services.failure_groups import acknowledge_group
from jobs.services.pauses import pause_queue
from jobs.services.schedules import pause_schedule
from tests.integration.console.rows import make_letter
from tests.integration.console.world import World
from tests.integration.jobs.letters import ask, make_letters

# What Django's own pages are called; no page of ours adds, changes or deletes by them.
STANDARD: Final = {"changelist", "add", "history", "delete", "change"}
# Addresses that show something and change nothing.
SHOWN: Final = {
    *("credits_account_statement", "jobs_redrive_standing", "jobs_redrive_plan"),
    *("jobs_failedjob_cleanup", "jobs_failedjob_edit"),
    *("jobs_job_standing", "jobs_queuepause_parts", "jobs_telemetryevent_tail"),
}
ROLES: Final = ("stranger", *GROUPS)

Asked = tuple[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Action:
    """How an action is asked for: address below /admin/ and form.

    `permission` is the one it needs, `audit` what it records.
    """

    permission: str
    audit: str
    ask: Callable[[World], Asked]
    also: tuple[str, ...] = field(default=())

    def is_for(self, role: str) -> bool:
        """Tell whether somebody in this group alone may."""
        held = GROUPS.get(role, frozenset())
        return {self.permission, *self.also} <= held


def found() -> Iterator[str]:
    """Yield the name of each action that any page of the console offers."""
    for model, page in console._registry.items():
        if not isinstance(page, ReadOnlyAdmin):
            continue
        for pattern in page.get_urls():
            name = pattern.name or ""
            if name and name.rpartition("_")[2] not in STANDARD and name not in SHOWN:
                yield name
        for action in page.actions or ():
            yield f"{model._meta.label_lower}:{action}"


def browser_user(role: str) -> User:
    """Make an operator of this group; a stranger may enter and nothing else."""
    user = User.objects.create_user(f"{role}-{new_id().hex[:8]}", is_staff=True)
    if role in GROUPS:
        user.groups.add(Group.objects.get(name=role))
    return user


def letter(path: str, **data: Any) -> Callable[[World], Asked]:
    """An action on one dead letter."""

    def ask_for(world: World) -> Asked:
        made = make_letter(payload={"action": "succeed"})
        return f"jobs/failedjob/{made.pk}/{path}/", data

    return ask_for


def letters(action: str, **data: Any) -> Callable[[World], Asked]:
    """An action on the selected ones."""

    def ask_for(world: World) -> Asked:
        chosen = [made.pk for made in make_letters(2)]
        form = {"action": action, "index": "0", "select_across": "0", "_selected_action": chosen}
        return "jobs/failedjob/", form | data

    return ask_for


def group(path: str, *, acknowledged: bool = False) -> Callable[[World], Asked]:
    """A decision about a failure group."""

    def ask_for(world: World) -> Asked:
        made = FailureGroup.objects.get(fingerprint=make_letter().fingerprint)
        if acknowledged:
            acknowledge_group(fingerprint=made.pk, actor="user:bob", note="known")
        return f"jobs/failuregroup/{made.pk}/{path}/", {"note": "seen"}

    return ask_for


def start(world: World) -> Asked:
    """A redrive of what matches."""
    make_letters(2, kind="jobs.probe")
    form = {
        "wish": new_id().hex,
        "wanted": '{"state": "open", "kind": "jobs.probe"}',
        "action": "requeue",
        "rate_per_s": "10",
        "reason": "fixed",
    }
    return "jobs/redrive/start/", form


def decide(path: str, queue: str, *, approval_size: int) -> Callable[[World], Asked]:
    """A decision about a redrive that waits for approval, or runs."""

    def ask_for(world: World) -> Asked:
        make_letters(2, queue=queue)
        with override_settings(REDRIVE_APPROVAL_SIZE=approval_size):
            redrive = ask(LetterFilter(queue=queue), actor="user:somebody-else")
        return f"jobs/redrive/{redrive.pk}/{path}/", {}

    return ask_for


def cancel(world: World) -> Asked:
    """A job that waits."""
    return f"jobs/job/{enqueue(Probe()).id}/cancel/", {}


def resume_queue(world: World) -> Asked:
    """A queue that somebody holds."""
    pause_queue(queue=USAGE, actor="user:bob", reason="a drill")
    return f"jobs/queuepause/{USAGE}/resume/", {}


def schedule(path: str, **data: Any) -> Callable[[World], Asked]:
    """An action on a schedule that the code declares; to be resumed it is paused first."""

    def ask_for(world: World) -> Asked:
        row = Schedule.objects.get(name="credits.expire-reservations")
        if path == "resume":
            pause_schedule(name=row.name, actor="user:bob", reason="a drill")
        return f"jobs/schedule/{row.pk}/{path}/", data

    return ask_for


def sign(world: World) -> Asked:
    """The first signing key of a client that has none."""
    issued, _ = issue_api_key(
        organization_id=world.organization.id, name="new", scopes=["builds:read"]
    )
    return f"flagship/apikey/{issued.pk}/sign/", {}


def stage(path: str, **data: Any) -> Callable[[World], Asked]:
    """A move of a client that has proved itself."""

    def ask_for(world: World) -> Asked:
        rollout = SignatureRollout.objects.latest("pk")
        SignatureTally.objects.filter(api_key_id=rollout.pk).delete()
        hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        SignatureTally.objects.create(api_key_id=rollout.pk, hour=hour, outcome="both", count=1000)
        SignatureRollout.objects.filter(pk=rollout.pk).update(
            stage="observe" if path == "advance" else "either",
            came_from=None if path == "advance" else "observe",
            stage_since=datetime.now(UTC) - timedelta(days=30),
        )
        return f"flagship/signaturerollout/{rollout.pk}/{path}/", data

    return ask_for


def entry(world: World) -> Asked:
    """A reversal of a grant."""
    made = Entry.objects.filter(kind="grant").latest("pk")
    form = {"amount": "1", "reason": "a test", "reference": new_id().hex}
    return f"credits/entry/{made.pk}/reverse/", form


def account(world: World) -> Asked:
    """A grant."""
    made = Account.objects.get(organization_id=world.organization.id)
    form = {"amount": "5", "priority": "10", "reason": "sorry", "reference": new_id().hex}
    return f"credits/account/{made.pk}/grant/", form


def of(model: type[Any], path: str, **data: Any) -> Callable[[World], Asked]:
    """An action on the newest row of a model."""
    meta = model._meta

    def ask_for(world: World) -> Asked:
        row = model.objects.latest("pk")
        return f"{meta.app_label}/{meta.model_name}/{row.pk}/{path}/", data

    return ask_for


ACTIONS: Final[dict[str, Action]] = {
    "jobs_failedjob_requeue": Action("jobs.requeue_failedjob", "job.requeued", letter("requeue")),
    "jobs_failedjob_discard": Action(
        "jobs.discard_failedjob", "job.discarded", letter("discard", reason="known")
    ),
    "jobs.failedjob:requeue_selected": Action(
        "jobs.requeue_failedjob", "job.requeued", letters("requeue_selected")
    ),
    "jobs.failedjob:discard_selected": Action(
        "jobs.discard_failedjob", "job.discarded", letters("discard_selected", reason="known")
    ),
    "jobs_failedjob_requeue_edited": Action(
        "jobs.edit_failedjob",
        "job.requeued_edited",
        letter("requeue-edited", payload='{"action": "succeed", "note": "mended"}'),
    ),
    "jobs_failedjob_export": Action(
        "jobs.export_failedjob",
        "dead_letters.exported",
        lambda world: (f"jobs/failedjob/export.csv?{urlencode({'kind': 'jobs.probe'})}", {}),
    ),
    "jobs_failedjob_clean": Action(
        "jobs.clean_failedjob",
        "dead_letters.cleanup_started",
        lambda world: ("jobs/failedjob/cleanup/clean/", {"days": "30", "reason": "too old"}),
    ),
    "jobs_failuregroup_acknowledge": Action(
        "jobs.acknowledge_failuregroup", "failure_group.acknowledged", group("acknowledge")
    ),
    "jobs_failuregroup_withdraw": Action(
        "jobs.acknowledge_failuregroup",
        "failure_group.withdrawn",
        group("withdraw", acknowledged=True),
    ),
    "jobs_failuregroup_note": Action(
        "jobs.acknowledge_failuregroup", "failure_group.noted", group("note")
    ),
    "jobs_redrive_start": Action(
        "jobs.start_redrive", "redrive.started", start, also=("jobs.requeue_failedjob",)
    ),
    "jobs_redrive_approve": Action(
        "jobs.approve_redrive", "redrive.approved", decide("approve", BILLING, approval_size=1)
    ),
    "jobs_redrive_abort": Action(
        "jobs.abort_redrive", "redrive.aborted", decide("abort", CONTENT, approval_size=100)
    ),
    "jobs_job_cancel": Action("jobs.cancel_job", "job.cancelled", cancel),
    "jobs_queuepause_pause": Action(
        "jobs.pause_queue",
        "queue.paused",
        lambda world: (f"jobs/queuepause/{AUDIT}/pause/", {"reason": "a drill"}),
    ),
    "jobs_queuepause_resume": Action("jobs.pause_queue", "queue.resumed", resume_queue),
    "jobs_schedule_run": Action(
        "jobs.run_schedule", "schedule.triggered", schedule("run", click_id="c1")
    ),
    "jobs_schedule_pause": Action(
        "jobs.pause_schedule", "schedule.paused", schedule("pause", reason="a drill")
    ),
    "jobs_schedule_resume": Action("jobs.pause_schedule", "schedule.resumed", schedule("resume")),
    "flagship_apikey_block": Action(
        "flagship.block_apikey", "api_key.blocked", of(ApiKey, "block", reason="leaked")
    ),
    "flagship_apikey_sign": Action("flagship.issue_signingkey", "signing_key.issued", sign),
    "flagship_signaturerollout_advance": Action(
        "flagship.move_signaturerollout", "signature_stage.advanced", stage("advance", to="either")
    ),
    "flagship_signaturerollout_back": Action(
        "flagship.move_signaturerollout", "signature_stage.stepped_back", stage("back")
    ),
    "flagship_signaturerollout_rotate": Action(
        "flagship.issue_signingkey", "signing_key.issued", stage("rotate", overlap_days="1")
    ),
    "flagship_signingkey_revoke": Action(
        "flagship.revoke_signingkey",
        "signing_key.revoked",
        of(SigningKey, "revoke", reason="leaked"),
    ),
    "flagship_organization_limits": Action(
        "flagship.set_limits",
        "organization.limits_set",
        lambda world: (
            f"flagship/organization/{world.organization.pk}/limits/",
            {"per_key": "100/60", "reason": "a larger plan"},
        ),
    ),
    "credits_account_grant": Action("credits.grant_credits", "credits.granted", account),
    "credits_entry_reverse": Action("credits.reverse_entry", "credits.reversed", entry),
    "credits_freeze_lift": Action(
        "credits.lift_freeze", "credits.freeze_lifted", of(Freeze, "lift", reason="looked at")
    ),
}
