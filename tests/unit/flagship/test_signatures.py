"""What is signed, whether it holds, and what a stage makes of it (E-05, P22, P23)."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flagship.signatures import (
    Examined,
    Malformed,
    Outcome,
    Presented,
    Proof,
    Stage,
    body_holds,
    canonical_string,
    decide,
    derive_key,
    examine,
)
from flagship.signatures.evidence import Evidence, is_pinned, next_steps, stage_before
from flagship.signatures.stages import Answer

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = json.loads((ROOT / "docs" / "signature-vectors.json").read_text(encoding="utf-8"))
VECTORS = {vector["name"]: vector for vector in DOCUMENT["vectors"]}
SECRET = bytes.fromhex(DOCUMENT["secret"])
SIGNERS = {
    "python": [sys.executable, "docs/signers/sign.py"],
    "node": ["node", "docs/signers/sign.mjs"],
    "curl": ["bash", "docs/signers/sign.sh"],
}
NOW = datetime(2026, 1, 15, 10, 10, tzinfo=UTC)


def presented_of(vector: dict[str, Any]) -> Presented:
    request = vector["request"]
    return Presented(
        method=request["method"],
        host=request["host"],
        path=request["path"],
        query=request["query"],
        content_type=request["contentType"],
        idempotency_key=request["idempotencyKey"],
        key_id=request["keyId"],
        timestamp=request["timestamp"],
        nonce=request["nonce"],
        content_sha256=request["contentSha256"],
        signature=request["signature"],
    )


def verdict(vector: dict[str, Any]) -> str:
    """What the server makes of a vector."""
    presented = presented_of(vector)
    secret = SECRET if presented.key_id == DOCUMENT["keyId"] else None
    examined = examine(presented, secret=secret, now_s=vector["now"])
    if examined.v2 is not Proof.VALID:
        return examined.reason
    body = hashlib.sha256(vector["request"]["body"].encode()).hexdigest()
    return "valid" if body_holds(presented, body) else "body"


def test_vectors__in_the_documentation__are_at_least_30_and_refused_ones_among_them() -> None:
    # E-05
    expected = [vector["expected"] for vector in VECTORS.values()]

    assert len(VECTORS) == len(DOCUMENT["vectors"]) >= 30
    assert {*expected} == {"valid", "malformed", "stale", "wrong", "body"}
    assert expected.count("valid") >= 12 and len(expected) - expected.count("valid") >= 12


@pytest.mark.parametrize("name", VECTORS)
def test_vector__of_the_documentation__is_judged_as_it_says(name: str) -> None:
    # E-05, P22
    vector = VECTORS[name]

    assert verdict(vector) == vector["expected"]
    if vector["canonical"] is None:
        with pytest.raises(Malformed):
            canonical_string(presented_of(vector))
    else:
        assert canonical_string(presented_of(vector)).decode() == vector["canonical"]


@pytest.mark.parametrize("language", SIGNERS)
def test_signer__of_the_documentation__makes_every_valid_vector(
    language: str, tmp_path: Path
) -> None:
    # E-05
    command = SIGNERS[language]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    made = 0
    for vector in VECTORS.values():
        if vector["expected"] != "valid":
            continue
        request = vector["request"]
        body = tmp_path / "body"
        body.write_bytes(request["body"].encode())
        query = f"?{request['query']}" if request["query"] else ""
        done = subprocess.run(
            [*command, request["method"], f"https://{request['host']}{request['path']}{query}",
             str(body), request["contentType"], request["idempotencyKey"]],
            cwd=ROOT,
            env={
                **os.environ,
                "SIGNING_KEY_ID": request["keyId"],
                "SIGNING_SECRET": DOCUMENT["secret"],
                "SIGNING_TIMESTAMP": request["timestamp"],
                "SIGNING_NONCE": request["nonce"],
            },
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )  # fmt: skip
        headers = dict(line.split(": ", 1) for line in done.stdout.splitlines())
        assert headers["X-Signature"] == request["signature"].rpartition(",")[2], vector["name"]
        assert headers["X-Content-SHA256"] == request["contentSha256"]
        made += 1
    assert made >= 12


def test_signers__in_the_documentation__stand_there_word_for_word_and_are_short() -> None:
    # E-05
    page = (ROOT / "docs" / "signatures.md").read_text(encoding="utf-8")
    command = ROOT / "flagship" / "management" / "commands" / "sign_request.py"

    for name in ("sign.py", "sign.mjs", "sign.sh"):
        text = (ROOT / "docs" / "signers" / name).read_text(encoding="utf-8")
        assert text.strip() in page, name
        assert len(text.splitlines()) < 60, name
    assert len(command.read_text(encoding="utf-8").splitlines()) < 60


def test_key__of_each_version_and_id__is_another() -> None:
    # P23
    ids = (DOCUMENT["keyId"], DOCUMENT["keyId"][:-1] + "0")
    keys = {
        derive_key(SECRET, version=version, key_id=one) for version in ("v1", "v2") for one in ids
    }

    assert len(keys) == 4


def test_key__derived__is_that_of_rfc_5869() -> None:
    # E-05: beside the library's own HKDF.
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    info = f"v2{DOCUMENT['keyId']}".encode()
    theirs = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(SECRET)

    assert derive_key(SECRET, version="v2", key_id=DOCUMENT["keyId"]) == theirs


def test_signature__for_an_unknown_key__fails_even_if_signed_with_zeros() -> None:
    # P22: the secret that is computed with in its place opens nothing.
    from dataclasses import replace

    from flagship.signatures import sign

    presented = presented_of(VECTORS["post"])
    mac = sign(canonical_string(presented), secret=bytes(32), version="v2", key_id=presented.key_id)
    zeros = replace(presented, signature=f"v2={mac.hex()}")

    assert examine(zeros, secret=None, now_s=VECTORS["post"]["now"]).v2 is Proof.INVALID


# --- Stages -----------------------------------------------------------------------------------

A, V, X = Proof.ABSENT, Proof.VALID, Proof.INVALID
IN, NO, OLD, HALF = Answer.WELCOME, Answer.INVALID, Answer.RETIRED, Answer.INCOMPLETE
WHO = Answer.UNAUTHENTICATED
# v1, v2 | observe | either | both | v2_only
TABLE: list[tuple[Proof, Proof, tuple[Answer, ...]]] = [
    (A, A, (WHO, WHO, WHO, WHO)),
    (V, A, (IN, IN, OLD, OLD)),
    (X, A, (WHO, WHO, WHO, WHO)),
    (A, V, (HALF, IN, HALF, IN)),
    (V, V, (IN, IN, IN, IN)),
    (X, V, (NO, NO, NO, NO)),
    (A, X, (NO, NO, NO, NO)),
    (V, X, (IN, NO, NO, NO)),
    (X, X, (NO, NO, NO, NO)),
]


@pytest.mark.parametrize(("v1", "v2", "answers"), TABLE)
def test_decision__at_each_stage__is_that_of_the_table(
    v1: Proof, v2: Proof, answers: tuple[Answer, ...]
) -> None:
    # E-05, P23: once v2 is presented and broken, v1 never helps, but while it is only observed.
    reason = "wrong" if v2 is X else ""

    assert tuple(decide(stage, v1=v1, v2=v2, reason=reason).answer for stage in Stage) == answers


@pytest.mark.parametrize(
    ("stage", "v1", "v2", "outcome"),
    [
        (Stage.OBSERVE, V, A, Outcome.V1_ONLY),
        (Stage.OBSERVE, V, V, Outcome.BOTH),
        (Stage.OBSERVE, V, X, Outcome.MISMATCH),
        (Stage.EITHER, A, V, Outcome.V2_ONLY),
        (Stage.EITHER, V, X, Outcome.MISMATCH),
        (Stage.EITHER, A, X, Outcome.FORGED),
        (Stage.BOTH, V, A, Outcome.DOWNGRADE),
        (Stage.V2_ONLY, V, A, Outcome.DOWNGRADE),
        (Stage.V2_ONLY, A, V, Outcome.V2_ONLY),
    ],
)
def test_decision__of_each_kind__is_counted_as_what_it_is(
    stage: Stage, v1: Proof, v2: Proof, outcome: Outcome
) -> None:
    # E-05
    reason = "wrong" if v2 is X else ""

    assert decide(stage, v1=v1, v2=v2, reason=reason).outcome is outcome


def test_decision__of_a_pinned_client__refuses_v1_alone() -> None:
    # P23
    pinned = decide(Stage.EITHER, v1=V, v2=A, is_pinned=True)

    assert (pinned.answer, pinned.outcome) == (OLD, Outcome.DOWNGRADE)
    week, day = timedelta(days=7), timedelta(days=1)
    assert is_pinned(v2_since=NOW - week, v1_alone_at=None, now=NOW)
    assert is_pinned(v2_since=NOW - week, v1_alone_at=NOW - week, now=NOW)
    assert not is_pinned(v2_since=NOW - week, v1_alone_at=NOW - day, now=NOW)
    assert not is_pinned(v2_since=NOW - day, v1_alone_at=None, now=NOW)
    assert not is_pinned(v2_since=None, v1_alone_at=None, now=NOW)


def test_header__with_nothing_of_a_signature__is_not_examined() -> None:
    # P22
    assert examine(Presented("GET", "h", "/"), secret=SECRET, now_s=0) == Examined()


@pytest.mark.parametrize("part", ["key_id", "timestamp", "nonce", "content_sha256", "signature"])
def test_signature__of_which_one_part_is_left__counts_as_a_broken_one(part: str) -> None:
    # P23: what is left of a stripped v2 is never taken for no v2.
    full_one = presented_of(VECTORS["post"])
    left = Presented("POST", "h", "/", **{part: getattr(full_one, part)})

    assert examine(left, secret=SECRET, now_s=VECTORS["post"]["now"]).v2 is Proof.INVALID


# --- Evidence ---------------------------------------------------------------------------------


def steps(stage: Stage, days: float = 2, **counts: int) -> dict[Stage, tuple[str, ...]]:
    evidence = Evidence({Outcome(name): count for name, count in counts.items()})
    since = NOW - timedelta(days=days)
    found = next_steps(stage, stage_since=since, evidence=evidence, now=NOW)
    return {step.to: step.missing for step in found}


def test_step__with_a_clean_day__is_offered() -> None:
    # E-05
    assert steps(Stage.OBSERVE, v1_only=500, both=100) == {Stage.EITHER: ()}
    assert steps(Stage.EITHER, both=100)[Stage.BOTH] == ()
    assert steps(Stage.EITHER, v2_only=100)[Stage.V2_ONLY] == ()
    assert steps(Stage.BOTH, both=1000) == {Stage.V2_ONLY: ()}
    assert steps(Stage.V2_ONLY, v2_only=1000) == {}


@pytest.mark.parametrize(
    ("stage", "counts", "told"),
    [
        (Stage.OBSERVE, {"both": 99}, "fewer than 100 requests"),
        (Stage.OBSERVE, {"v1_only": 500, "both": 99}, "fewer than 100 good v2"),
        (Stage.OBSERVE, {"both": 500, "mismatch": 1}, "mismatch in the last day: 1"),
        (Stage.OBSERVE, {"both": 500, "replay": 2}, "replay in the last day: 2"),
        (Stage.EITHER, {"both": 500, "v1_only": 1}, "0.2 % of requests are v1 only"),
        (Stage.BOTH, {"both": 500, "mismatch": 1}, "mismatch in the last day: 1"),
    ],
)
def test_step__with_less_than_that__is_not_offered_and_says_why(
    stage: Stage, counts: dict[str, int], told: str
) -> None:
    # E-05
    for missing in steps(stage, **counts).values():
        assert any(told in text for text in missing), missing
    assert all("less than a day" in text[0] for text in steps(stage, 0.9, **counts).values())


def test_step_back__from_anywhere__never_leads_to_a_wall() -> None:
    # E-05: a client that came to v2_only without ever sending both does not go back to both.
    assert stage_before(Stage.V2_ONLY, Stage.EITHER) is Stage.EITHER
    assert stage_before(Stage.V2_ONLY, Stage.BOTH) is Stage.BOTH
    assert stage_before(Stage.V2_ONLY, None) is Stage.EITHER
    assert stage_before(Stage.BOTH, Stage.EITHER) is Stage.EITHER
    assert stage_before(Stage.EITHER, None) is Stage.OBSERVE
    assert stage_before(Stage.OBSERVE, None) is None
