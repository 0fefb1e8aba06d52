"""Who is calling: by API key, by signature, or both, as the client's stage says (F-01, E-05)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flagship.clients.vault import unseal
from flagship.errors.access import Unauthenticated
from flagship.errors.signatures import (
    SignatureIncomplete,
    SignatureInvalid,
    SignatureVersionRetired,
    TimestampOutOfWindow,
)
from flagship.models.signature import KEY_PREFIX, Incident, Use
from flagship.selectors.api_keys import (
    ApiClient,
    Credentials,
    find_credentials,
    is_right_key,
)
from flagship.services.signature_uses import hash_nonce, no_nonce
from flagship.signatures import (
    WINDOW_S,
    Decision,
    Examined,
    Outcome,
    Presented,
    Proof,
    Stage,
    body_holds,
    decide,
    examine,
)
from flagship.signatures.evidence import is_pinned
from flagship.signatures.stages import PROVEN, Answer
from jobs.errors import Refusal
from jobs.ids import MalformedId, parse_public_id


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a request's head says about its caller; the body has not been looked at."""

    credentials: Credentials | None
    presented: Presented
    api_key: Proof
    examined: Examined

    @property
    def needs_body(self) -> bool:
        """Tell whether a signature holds, so that it is worth reading the body it speaks of."""
        return Proof.VALID in (self.examined.v1, self.examined.v2)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who it is (None: nobody in particular), and what is to be done about its signature: the use
    to take, the incident to note, the refusal to answer with.
    """

    client: ApiClient | None = None
    use: Use | None = None
    credentials: Credentials | None = None
    incident: Incident | None = None
    refusal: Refusal | None = None


def look_up(*, bearer: str | None, presented: Presented, now: datetime) -> Candidate:
    """Find the caller's row and check what its head proves; one statement at most.

    `bearer` is None where no API key was sent.
    """
    try:
        signing_key_id = parse_public_id(KEY_PREFIX, presented.key_id)
    except MalformedId:
        signing_key_id = None
    found = find_credentials(bearer=bearer or "", signing_key_id=signing_key_id)
    secret = None
    if found and found.signing_key_id and found.sealed_secret and found.is_signing_key_live(now):
        secret = unseal(found.sealed_secret, subject=found.signing_key_id)
    api_key = Proof.ABSENT
    if bearer is not None:
        api_key = Proof.VALID if is_right_key(bearer, found) else Proof.INVALID
    examined = examine(presented, secret=secret, now_s=int(now.timestamp()))
    return Candidate(found, presented, api_key, examined)


def judge(*, candidate: Candidate, body_sha256: str | None, now: datetime) -> Caller:
    """Decide by the caller's stage; writes nothing and raises nothing.

    `body_sha256` is None where no signature made the body worth reading. The refusal is one of
    SignatureInvalid, TimestampOutOfWindow, SignatureVersionRetired, SignatureIncomplete and
    Unauthenticated; who is refused is nobody.
    """
    found = candidate.credentials
    if not candidate.presented.is_signed and (found is None or found.stage is None):
        known = found if candidate.api_key is Proof.VALID else None
        return Caller(known.client() if known else None, credentials=known)
    examined = candidate.examined
    if body_sha256 is not None and not body_holds(candidate.presented, body_sha256):
        examined = _failed(examined)
    decision = _decide(candidate, examined, now)
    incident = _incident(candidate, found, decision, examined) if found and found.stage else None
    if found is None or decision.answer is not Answer.WELCOME:
        return Caller(incident=incident, refusal=_refusal(candidate, decision.answer, now))
    use = _use(candidate, found, decision, examined)
    return Caller(found.client(), use, found, incident)


def _failed(examined: Examined) -> Examined:
    """Fail every version: what both have signed is another body."""

    def fail(proof: Proof) -> Proof:
        return proof if proof is Proof.ABSENT else Proof.INVALID

    return Examined(fail(examined.v1), fail(examined.v2), "body")


def _v1_of(api_key: Proof, v1: Proof) -> Proof:
    """Return v1 as a whole: an API key, a v1 signature, or both, none of which may fail."""
    if Proof.INVALID in (api_key, v1):
        return Proof.INVALID
    return Proof.VALID if Proof.VALID in (api_key, v1) else Proof.ABSENT


def _decide(candidate: Candidate, examined: Examined, now: datetime) -> Decision:
    found = candidate.credentials
    pinned = found is not None and is_pinned(
        v2_since=found.v2_since, v1_alone_at=found.v1_alone_at, now=now
    )
    return decide(
        Stage(found.stage) if found and found.stage else Stage.OBSERVE,
        v1=_v1_of(candidate.api_key, examined.v1),
        v2=examined.v2,
        reason=examined.reason,
        is_pinned=pinned,
    )


def _incident(
    candidate: Candidate, found: Credentials, decision: Decision, examined: Examined
) -> Incident | None:
    """Return what is to be counted and told of what is no ordinary request."""
    if decision.outcome is None or decision.outcome in PROVEN:
        return None
    return Incident(
        outcome=decision.outcome,
        api_key_id=found.api_key_id,
        organization_id=found.organization_id,
        key_id=_key_of(candidate, found),
        reason=examined.reason or decision.answer.value,
    )


def _key_of(candidate: Candidate, found: Credentials) -> str:
    """Name the key that was presented, if it is one of the client's."""
    return candidate.presented.key_id if found.signing_key_id else f"fs_{found.prefix}"


def _use(
    candidate: Candidate, found: Credentials, decision: Decision, examined: Examined
) -> Use | None:
    """Return the use to take: the nonce of a signature that holds, else one to count by."""
    if not found.stage or decision.outcome is None:
        return None
    holds = Proof.VALID in (examined.v1, examined.v2)
    if not holds and decision.outcome is Outcome.MISMATCH:
        return None
    is_decisive = found.stage != Stage.OBSERVE or candidate.api_key is Proof.ABSENT
    presented = candidate.presented
    return Use(
        use_hash=hash_nonce(key_id=presented.key_id, nonce=presented.nonce)
        if holds
        else no_nonce(),
        api_key_id=found.api_key_id,
        organization_id=found.organization_id,
        key_id=_key_of(candidate, found),
        proof=decision.outcome,
        is_strict=is_decisive,
    )


def _refusal(candidate: Candidate, answer: Answer, now: datetime) -> Refusal | None:
    """Return the refusal; a wrong or missing API key goes on as nobody, and the view decides."""
    if answer is Answer.UNAUTHENTICATED and not candidate.presented.is_signed:
        return None
    if answer is Answer.STALE:
        return TimestampOutOfWindow(server_time=int(now.timestamp()), window_s=WINDOW_S)
    refusals: dict[Answer, type[Refusal]] = {
        Answer.UNAUTHENTICATED: Unauthenticated,
        Answer.INCOMPLETE: SignatureIncomplete,
        Answer.RETIRED: SignatureVersionRetired,
    }
    return refusals.get(answer, SignatureInvalid)()
