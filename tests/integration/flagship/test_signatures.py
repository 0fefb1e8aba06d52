"""Signed requests at the edge: stages, nonces, bodies, alerts (E-05, E-06, P21, P22, P23, P29)."""

from __future__ import annotations

import hashlib
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from credits.services import grant_credits, open_account
from flagship.models import (
    ApiKey,
    AuditEvent,
    IdempotencyRecord,
    SignatureRollout,
    SignatureTally,
    SignatureUse,
    SigningKey,
)
from flagship.services.api_keys import block_api_key
from flagship.services.signing_keys import revoke_signing_key
from flagship.signatures import NONCE_LIFE_S, Outcome, Stage
from tests.asserts import assert_refused
from tests.clients import ApiCaller
from tests.drills.models import Effect
from tests.signing import Signed, Signer, make_signer, prepare

pytestmark = [pytest.mark.urls("tests.integration.flagship.routes"), pytest.mark.django_db]

EFFECTS = "/v1/test/effects"
EVENTS = "/v1/audit-events"


@pytest.fixture
def signer(caller: ApiCaller) -> Signer:
    """A client that signs with v2 and nothing else."""
    return make_signer(caller.api_key)


def send(request: Signed, **headers: str) -> Any:
    """Send a signed request as it is, with other headers where given ("" leaves one out)."""
    merged = {name: value for name, value in {**request.headers, **headers}.items() if value}
    content_type = merged.pop("Content-Type", "")
    client = Client(raise_request_exception=False)
    return client.generic(
        request.method, request.path, request.body, content_type=content_type, headers=merged
    )


def effect(signer: Signer, name: str, *, key: str = "", how: str = "", **options: Any) -> Signed:
    """A write that leaves an effect of this name."""
    return prepare(signer, "POST", EFFECTS, {"name": name, "how": how or "-"}, key=key, **options)


def read(signer: Signer, **options: Any) -> Signed:
    return prepare(signer, "GET", EVENTS, **options)


def bearer(caller: ApiCaller) -> dict[str, str]:
    return {"Authorization": f"Bearer {caller.secret}"}


def stage(caller: ApiCaller, to: Stage, **columns: Any) -> None:
    SignatureRollout.objects.filter(api_key=caller.api_key).update(stage=to, **columns)


def counted() -> dict[str, int]:
    rows = SignatureTally.objects.values_list("outcome", "count")
    return {str(outcome): count for outcome, count in rows}


# --- Who it is --------------------------------------------------------------------------------


def test_request__signed_with_v2__needs_no_api_key(caller: ApiCaller, signer: Signer) -> None:
    # E-05
    assert send(read(signer)).status_code == 200
    assert send(effect(signer, "Signed")).status_code == 201

    assert Effect.objects.filter(key="Signed").count() == 1
    uses = SignatureUse.objects.values_list("proof", flat=True)
    assert [*uses] == ["v2_only", "v2_only"]


def test_request__of_a_client_without_a_signing_key__is_as_it_always_was(caller: ApiCaller) -> None:
    # F-01
    assert caller.get(EVENTS).status_code == 200
    assert (SignatureRollout.objects.count(), SignatureUse.objects.count()) == (0, 0)


def test_request__by_an_unknown_key__gets_the_same_401_as_a_wrong_one(
    caller: ApiCaller, signer: Signer
) -> None:
    # P22
    request = read(signer)
    answers = [
        send(request, **{"X-Key-Id": f"sig_{'0' * 32}"}),
        send(request, **{"X-Signature": f"v2={'0' * 64}"}),
        send(request, **{"X-Signature": "v2=ä"}),
        send(request, **{"X-Nonce": ""}),
        send(request, **{"X-Key-Id": "sig_x"}),
    ]

    told = [assert_refused(one, 401, "SIGNATURE_INVALID") for one in answers]
    assert len({json.dumps([body["message"], body["data"]]) for body in told}) == 1
    assert not SignatureUse.objects.exists()


def test_signature__of_another_clients_key__does_not_speak_for_this_one(caller: ApiCaller) -> None:
    # P24
    from tests.integration.flagship.conftest import new_caller

    other = new_caller()
    make_signer(caller.api_key, stage=Stage.EITHER)
    theirs = make_signer(other.api_key, stage=Stage.EITHER)

    assert_refused(send(read(theirs), **bearer(caller)), 401, "SIGNATURE_INVALID")
    assert send(read(theirs), **bearer(other)).status_code == 200


def test_key__revoked_ended_or_of_a_blocked_client__stops_at_once(caller: ApiCaller) -> None:
    # E-05
    first = make_signer(caller.api_key)
    second = make_signer(caller.api_key, overlap_days=7)
    assert send(read(first)).status_code == send(read(second)).status_code == 200
    old = SigningKey.objects.get(expires_at__isnull=False)

    SigningKey.objects.filter(id=old.id).update(expires_at=datetime.now(UTC))
    assert_refused(send(read(first)), 401, "SIGNATURE_INVALID")
    third = make_signer(caller.api_key, overlap_days=7)
    newest = SigningKey.objects.order_by("-id")[0]
    revoke_signing_key(signing_key_id=newest.id, actor="user:ana", reason="leaked")
    assert_refused(send(read(third)), 401, "SIGNATURE_INVALID")
    assert send(read(second)).status_code == 200
    block_api_key(api_key_id=caller.api_key.id, actor="user:ana", reason="gone")
    assert_refused(send(read(second)), 401, "SIGNATURE_INVALID")


def test_last_use__of_a_signing_key__is_stamped_at_most_once_a_minute(
    caller: ApiCaller, signer: Signer
) -> None:
    # E-05
    send(read(signer))
    stamped = SigningKey.objects.get().last_used_at
    send(read(signer))

    assert stamped and SigningKey.objects.get().last_used_at == stamped
    rollout = SignatureRollout.objects.get()
    assert rollout.v2_at and rollout.v2_since and rollout.v1_alone_at is None


# --- Nonces -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_request__sent_again__is_refused_and_told(
    caller: ApiCaller, signer: Signer, method: str
) -> None:
    # E-06, P21
    if method == "DELETE":
        request = prepare(signer, "DELETE", "/api/jobs/job_" + "0" * 32)
        assert_refused(send(request), 404, "JOB_NOT_FOUND")
        assert_refused(send(request), 404, "JOB_NOT_FOUND")  # nothing was done, nothing is used up
        return
    request = read(signer) if method == "GET" else effect(signer, "Once", key="k" * 20)

    assert send(request).status_code in (200, 201)
    replays = [send(request) for _ in range(3)]

    for replay in replays:
        assert_refused(replay, 401, "NONCE_REPLAYED")
    assert Effect.objects.filter(key="Once").count() == (method == "POST")
    assert counted() == {"replay": 3}
    event = AuditEvent.objects.get(action="signature.replayed")
    assert event.data["keyId"] == signer.key_id
    assert event.organization_id == caller.organization.id


def test_replay__of_an_answered_key__is_refused_before_the_answer_is_given(
    caller: ApiCaller, signer: Signer
) -> None:
    # P21, E-01: a retry signs anew under the same Idempotency-Key.
    request = effect(signer, "Keyed", key="same-key-1234567890")
    first = send(request)
    for _ in range(2):  # The first time from the database, which lets the cache have it.
        anew = send(effect(signer, "Keyed", key="same-key-1234567890"))
        assert_refused(send(request), 401, "NONCE_REPLAYED")
        assert (first.status_code, anew.status_code) == (201, 201)
        assert anew.headers["Idempotency-Replayed"] == "true"
        assert anew.content == first.content
    stage(caller, Stage.EITHER)
    plain = caller.post(EFFECTS, {"name": "Keyed", "how": "-"}, key="same-key-1234567890")
    assert plain.headers["Idempotency-Replayed"] == "true"
    assert_refused(send(request), 401, "NONCE_REPLAYED")


def test_request__that_was_rolled_back__may_be_sent_again(
    caller: ApiCaller, signer: Signer
) -> None:
    # E-06: with a key, whose claim takes the nonce.
    open_account(organization_id=caller.organization.id)
    asked = {"buildId": "build_1", "estimatedCredits": 5000, "userId": "user_1"}
    request = prepare(signer, "POST", "/v1/credits/reserve", asked, key="k" * 20)

    for _ in range(2):
        assert_refused(send(request), 422, "INSUFFICIENT_CREDITS")
        assert not SignatureUse.objects.filter(use_hash=_hash(request)).exists()
    grant_credits(
        organization_id=caller.organization.id,
        amount_credits=5000,
        reason="test",
        actor="test",
        reference="more",
    )

    assert send(request).status_code == 201
    assert_refused(send(request), 401, "NONCE_REPLAYED")


def test_request__without_a_key_that_was_refused__may_be_sent_again(
    caller: ApiCaller, signer: Signer
) -> None:
    # E-06: the nonce has a statement of its own, in the same transaction.
    request = effect(signer, "Later")
    scopes = caller.api_key.scopes
    ApiKey.objects.filter(id=caller.api_key.id).update(scopes=["jobs:read"])

    for _ in range(2):
        assert_refused(send(request), 403, "FORBIDDEN")
        assert not SignatureUse.objects.exists()
    ApiKey.objects.filter(id=caller.api_key.id).update(scopes=scopes)

    assert send(request).status_code == 201
    assert_refused(send(request), 401, "NONCE_REPLAYED")


def _hash(request: Signed) -> bytes:
    text = f"{request.headers['X-Key-Id']}:{request.headers['X-Nonce']}"
    return hashlib.sha256(text.encode()).digest()


def test_nonce__of_a_request_that_does_not_hold__is_not_used_up(
    caller: ApiCaller, signer: Signer
) -> None:
    # P21: strangers cannot burn a client's nonces.
    request = effect(signer, "Later")

    for broken in ({"X-Signature": f"v2={'0' * 64}"}, {"X-Content-SHA256": "0" * 64}):
        assert_refused(send(request, **broken), 401, "SIGNATURE_INVALID")

    assert send(request).status_code == 201


def test_nonce__of_a_request_stamped_ahead__outlives_its_window(
    caller: ApiCaller, signer: Signer
) -> None:
    # P21: stamped 300 s ahead it is good for 600 s.
    at = int(time.time()) + 299
    assert send(read(signer, at=at)).status_code == 200

    use = SignatureUse.objects.get()
    assert use.expires_at.timestamp() > at + 300 + 30
    assert use.expires_at - use.used_at == timedelta(seconds=NONCE_LIFE_S)


@pytest.mark.parametrize("off_s", [-302, 302, -100_000, 100_000])
def test_request__stamped_outside_the_window__is_told_the_servers_time(
    caller: ApiCaller, signer: Signer, off_s: int
) -> None:
    # E-06
    answer = send(read(signer, at=int(time.time()) + off_s))

    told = assert_refused(answer, 401, "TIMESTAMP_OUT_OF_WINDOW")
    assert abs(told["data"]["serverTime"] - time.time()) < 5
    assert counted() == {"stale": 1}


def test_body__that_is_not_the_signed_one__is_refused(caller: ApiCaller, signer: Signer) -> None:
    # P22: the digest was signed, the body swapped.
    request = effect(signer, "Right")
    swapped = Signed(request.method, request.path, b'{"name": "Wrong"}', request.headers)

    assert_refused(send(swapped), 401, "SIGNATURE_INVALID")
    assert send(request).status_code == 201
    assert not Effect.objects.filter(key="Wrong").exists()


@pytest.mark.parametrize("header", ["Content-Type", "Idempotency-Key"])
def test_header__that_nobody_signed_and_nobody_can_read__is_refused(
    signer: Signer, header: str
) -> None:
    # P22: the server hands on as empty what has a byte beyond ASCII.
    request = read(signer)

    told = Client().get(request.path, headers={**request.headers, header: ""})

    assert_refused(told, 401, "SIGNATURE_INVALID")
    assert send(request).status_code == 200


def test_large_body__signed__is_read_once_and_checked(caller: ApiCaller, signer: Signer) -> None:
    # P22, P32
    body = b"x" * (2 * 1024 * 1024)
    path = "/v1/test/uploads"
    signed = signer.headers(
        "POST", f"http://testserver{path}", body, content_type="application/gzip"
    )
    headers = {**signed, "Content-Type": "application/gzip", "Host": "testserver"}

    answer = send(Signed("POST", path, body, headers))
    assert (answer.status_code, answer.json()) == (200, {"size": len(body)})
    signed = signer.headers(
        "POST", f"http://testserver{path}", body, content_type="application/gzip"
    )
    wrong = Signed("POST", path, body[:-1] + b"y", {**headers, **signed})
    assert_refused(send(wrong), 401, "SIGNATURE_INVALID")


def test_forgeries__beyond_the_rate_of_their_address__write_nothing(
    caller: ApiCaller, signer: Signer, settings: Any, valkey: Any
) -> None:
    # E-07, P22: whoever forges by the thousand is refused for the number.
    settings.RATE_LIMIT_IP = "3/60"
    request = read(signer)

    told = [send(request, **{"X-Signature": f"v2={number:064x}"}) for number in range(8)]

    assert [answer.status_code for answer in told] == [401] * 3 + [429] * 5
    assert counted() == {"forged": 3}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_request__refused_for_the_rate__keeps_its_nonce(
    caller: ApiCaller, signer: Signer, settings: Any, valkey: Any, method: str
) -> None:
    # E-06, E-07
    settings.RATE_LIMIT_KEY = "1/60"
    request = read(signer) if method == "GET" else effect(signer, "Later", key="k" * 20)

    assert send(read(signer)).status_code == 200
    assert_refused(send(request), 429, "RATE_LIMITED")
    settings.RATE_LIMIT_KEY = "9000/60"
    assert send(request).status_code in (200, 201)
    assert_refused(send(request), 401, "NONCE_REPLAYED")


# --- Stages -----------------------------------------------------------------------------------


def test_observe__counts_v2_and_refuses_nothing_that_v1_lets_in(caller: ApiCaller) -> None:
    # E-05
    signer = make_signer(caller.api_key, stage=Stage.OBSERVE)

    assert caller.get(EVENTS).status_code == 200
    good = read(signer)
    assert send(good, **bearer(caller)).status_code == 200
    assert send(good, **bearer(caller)).status_code == 200  # observed, so noted only
    broken = send(read(signer), **bearer(caller), **{"X-Signature": f"v2={'0' * 64}"})
    assert broken.status_code == 200
    assert_refused(send(read(signer)), 401, "SIGNATURE_INCOMPLETE")

    assert counted() == {"mismatch": 2, "replay": 1}
    assert sorted(SignatureUse.objects.values_list("proof", flat=True)) == ["both", "v1_only"]
    assert AuditEvent.objects.filter(action="signature.mismatched").count() == 1


def test_either__takes_one_or_the_other_but_no_broken_v2(caller: ApiCaller) -> None:
    # E-05, P23
    signer = make_signer(caller.api_key, stage=Stage.EITHER)

    assert caller.get(EVENTS).status_code == 200
    assert send(read(signer)).status_code == 200
    assert send(read(signer), **bearer(caller)).status_code == 200
    for part in ("X-Signature", "X-Nonce", "X-Key-Id", "X-Timestamp", "X-Content-SHA256"):
        stripped = send(read(signer), **bearer(caller), **{part: ""})
        garbled = send(read(signer), **bearer(caller), **{part: "x"})
        assert_refused(stripped, 401, "SIGNATURE_INVALID")
        assert_refused(garbled, 401, "SIGNATURE_INVALID")
    assert counted()["mismatch"] == 10


def test_both__asks_for_both(caller: ApiCaller) -> None:
    # E-05
    signer = make_signer(caller.api_key, stage=Stage.BOTH)

    assert send(read(signer), **bearer(caller)).status_code == 200
    assert_refused(send(read(signer)), 401, "SIGNATURE_INCOMPLETE")
    assert_refused(caller.get(EVENTS), 401, "SIGNATURE_VERSION_RETIRED")
    assert counted() == {"mismatch": 1, "downgrade": 1}


def test_v2_only__refuses_v1_and_tells_of_the_try(caller: ApiCaller, signer: Signer) -> None:
    # E-05, P23
    v1 = {"X-Signature": signer.v1(read(signer).headers)}
    request = read(signer)
    v1 = {"X-Signature": signer.v1(request.headers)}

    assert_refused(caller.get(EVENTS), 401, "SIGNATURE_VERSION_RETIRED")
    assert_refused(caller.post(EFFECTS, {"name": "No"}), 401, "SIGNATURE_VERSION_RETIRED")
    assert_refused(send(request, **v1), 401, "SIGNATURE_VERSION_RETIRED")
    assert counted() == {"downgrade": 3}
    assert AuditEvent.objects.filter(action="signature.downgrade_tried").count() == 1
    assert not SignatureUse.objects.exists()


def test_v1_signature__is_v1_beside_the_api_key(caller: ApiCaller) -> None:
    # E-05: signed, bound to its body, and taken once.
    signer = make_signer(caller.api_key, stage=Stage.EITHER)
    request = effect(signer, "ByV1", key="k" * 20)
    v1 = {"X-Signature": signer.v1(request.headers)}
    swapped = Signed("POST", EFFECTS, b'{"name": "Other"}', request.headers)

    assert_refused(send(swapped, **v1), 401, "SIGNATURE_INVALID")
    assert send(request, **v1).status_code == 201
    assert_refused(send(request, **v1), 401, "NONCE_REPLAYED")
    as_v2 = {"X-Signature": v1["X-Signature"].replace("v1", "v2")}
    assert_refused(send(request, **as_v2), 401, "SIGNATURE_INVALID")
    both = effect(signer, "ByBoth")
    two = {"X-Signature": f"{signer.v1(both.headers)},{both.headers['X-Signature']}"}
    assert send(both, **two).status_code == 201


def test_client__that_has_used_only_v2_for_a_week__is_pinned_to_it(caller: ApiCaller) -> None:
    # P23
    signer = make_signer(caller.api_key, stage=Stage.EITHER)
    assert send(read(signer)).status_code == 200
    week_ago = datetime.now(UTC) - timedelta(days=7, minutes=1)

    stage(caller, Stage.EITHER, v2_since=week_ago)

    assert_refused(caller.get(EVENTS), 401, "SIGNATURE_VERSION_RETIRED")
    assert send(read(signer)).status_code == 200
    stage(caller, Stage.EITHER, v1_alone_at=datetime.now(UTC))
    assert caller.get(EVENTS).status_code == 200


# --- What is left behind, and what it costs ---------------------------------------------------


def test_alerts__by_the_hundred__leave_one_audit_event_an_hour(
    caller: ApiCaller, signer: Signer
) -> None:
    # E-05
    request = read(signer)
    for number in range(40):
        send(request, **{"X-Signature": f"v2={number:064x}"})

    assert counted() == {"forged": 40}
    assert AuditEvent.objects.filter(action="signature.forged").count() == 1


def test_secret__anywhere_but_in_the_clients_hands__is_not_to_be_found(
    caller: ApiCaller, signer: Signer, caplog: pytest.LogCaptureFixture
) -> None:
    # P29, E-05
    from flagship.clients.vault import unseal

    row = SigningKey.objects.get()
    sent = read(signer)
    answers = [send(sent), send(sent), send(read(signer), **{"X-Nonce": "x"})]

    assert unseal(row.sealed_secret, subject=row.id).hex() == signer.secret
    assert bytes.fromhex(signer.secret) not in bytes(row.sealed_secret)
    shown = caplog.text + "".join(one.content.decode() for one in answers)
    shown += "".join(str(event) for event in AuditEvent.objects.values_list())
    signature = sent.headers["X-Signature"].removeprefix("v2=")
    assert signer.secret not in shown and signature not in shown


def test_sealed_secret__copied_to_another_row__opens_nothing(caller: ApiCaller) -> None:
    # E-05
    from flagship.clients.vault import CannotUnseal, unseal

    make_signer(caller.api_key)
    make_signer(caller.api_key, overlap_days=1)
    one, other = SigningKey.objects.order_by("id")

    with pytest.raises(CannotUnseal, match="sealed for another"):
        unseal(other.sealed_secret, subject=one.id)


def test_signed_write__costs_not_one_statement_more_than_with_an_api_key(
    caller: ApiCaller, signer: Signer
) -> None:
    # E-10: the nonce is taken by the statement that takes the Idempotency-Key.
    def statements(act: Any) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert act().status_code == 201
        return len(queries)

    stage(caller, Stage.OBSERVE)
    caller.post(EFFECTS, {"name": "Warm", "how": "-"})
    SignatureRollout.objects.update(v1_alone_at=datetime.now(UTC), stage=Stage.V2_ONLY)
    send(effect(signer, "Warmer", key="w" * 20))
    signed = effect(signer, "Signed", key="s" * 20)
    with_signature = statements(lambda: send(signed))
    stage(caller, Stage.OBSERVE)
    with_key = statements(lambda: caller.post(EFFECTS, {"name": "Plain", "how": "-"}, key="p" * 20))

    assert with_signature == with_key
    assert IdempotencyRecord.objects.count() == 4


def test_use__once_its_time_is_over__is_counted_once_and_gone(
    caller: ApiCaller, signer: Signer
) -> None:
    # E-05
    from flagship.selectors.signatures import evidence_of
    from flagship.services.signature_uses import fold_uses, prune_tallies

    for _ in range(5):
        send(read(signer))
    before = evidence_of([caller.api_key.id])[caller.api_key.id]
    assert fold_uses() == 0
    SignatureUse.objects.update(
        used_at=datetime.now(UTC) - timedelta(seconds=1), expires_at=datetime.now(UTC)
    )
    assert (fold_uses(limit=2), fold_uses(limit=2), fold_uses(limit=2)) == (2, 2, 1)
    after = evidence_of([caller.api_key.id])[caller.api_key.id]

    assert before.of(Outcome.V2_ONLY) == after.of(Outcome.V2_ONLY) == 5
    assert (counted(), SignatureUse.objects.count()) == ({"v2_only": 5}, 0)
    SignatureTally.objects.update(hour=datetime.now(UTC) - timedelta(days=36))
    assert (prune_tallies(), SignatureTally.objects.count()) == (1, 0)


def test_folding__as_a_job__goes_batch_by_batch(caller: ApiCaller, signer: Signer) -> None:
    # W-12
    from flagship.handlers import fold
    from flagship.payloads import FoldSignatures

    class Context:
        checked = 0

        def check(self) -> None:
            self.checked += 1

    send(read(signer))
    SignatureUse.objects.update(
        used_at=datetime.now(UTC) - timedelta(seconds=1), expires_at=datetime.now(UTC)
    )
    context = Context()
    told = fold(FoldSignatures(), context)  # type: ignore[arg-type]

    assert (told, context.checked) == ({"folded": 1, "prunedTallies": 0}, 1)
