"""Quotas, the process' own buckets, and whose address a request has (E-07, P30)."""

from __future__ import annotations

from typing import Any

import pytest

from flagship.clients.limiter import Demand
from flagship.clients.limiter.local import LocalBuckets
from flagship.middleware.rate_limit import limit_field, policy_field
from flagship.models.limits import Quota, parse_quota
from flagship.selectors.addresses import address_of, subscriber_of
from flagship.services.logins import RULES, Rule, Try

TEN = Quota(10, 5)


def demand(subject: str = "a", quota: Quota = TEN, policy: str = "key") -> Demand:
    return Demand(policy, subject, quota)


def passed(buckets: LocalBuckets, now_s: float, *demands: Demand, processes: int = 1) -> bool:
    levels = buckets.take(demands, processes=processes, now_s=now_s)
    return not any(level.is_exceeded for level in levels)


def test_quota__as_text__is_read_or_refused() -> None:
    assert parse_quota("600/60") == Quota(600, 60)
    assert parse_quota("off") is None
    for text in (
        "",
        "600",
        "0/60",
        "600/0",
        "-1/60",
        "600/60/1",
        "6e2/60",
        "600/60\n",
        "\u0661/\u0662",
    ):
        with pytest.raises(ValueError, match="requests/seconds"):
            parse_quota(text)


def test_bucket__asked_in_one_moment__gives_its_quota_and_no_more() -> None:
    buckets = LocalBuckets()

    assert [passed(buckets, 100.0, demand()) for _ in range(12)] == [True] * 10 + [False] * 2


def test_bucket__emptied__refills_evenly() -> None:
    buckets = LocalBuckets()
    for _ in range(10):
        passed(buckets, 100.0, demand())

    assert not passed(buckets, 100.49, demand())
    assert passed(buckets, 100.5, demand())
    assert not passed(buckets, 100.5, demand())
    assert [passed(buckets, 110.0, demand()) for _ in range(11)] == [True] * 10 + [False]


def test_bucket__of_several_processes__is_a_share_of_the_quota_and_at_least_one() -> None:
    buckets = LocalBuckets()
    small = demand(quota=Quota(1, 60), policy="ip")

    taken = [passed(buckets, 0.0, demand(), processes=4) for _ in range(4)]
    level = buckets.take([demand()], processes=4, now_s=0.0)[0]

    assert taken == [True, True, False, False]
    assert (level.quota, level.used, level.remaining) == (Quota(2, 5), 2, 0)
    assert level.wait_s == 3  # 2.5 s a request
    assert passed(buckets, 0.0, small, processes=4)
    assert not passed(buckets, 0.0, small, processes=4)


def test_buckets__of_which_one_is_empty__are_all_left_alone() -> None:
    buckets = LocalBuckets()
    wide, narrow = demand("wide"), demand("narrow", Quota(1, 5))
    assert passed(buckets, 0.0, wide, narrow)

    refused = buckets.take([wide, narrow], processes=1, now_s=0.0)

    assert [(level.used, level.is_exceeded) for level in refused] == [(1, False), (1, True)]
    assert [passed(buckets, 0.0, wide) for _ in range(10)].count(True) == 9


def test_buckets__beyond_their_number__forget_who_came_longest_ago() -> None:
    buckets = LocalBuckets(most=3)
    one = Quota(1, 60)
    for subject in "abcd":
        assert passed(buckets, 0.0, demand(subject, one))

    assert len(buckets) == 3
    assert not passed(buckets, 0.0, demand("d", one))
    assert passed(buckets, 0.0, demand("a", one))
    assert len(buckets) == 3


def test_fields__of_several_policies__are_lists_of_strings_with_whole_numbers() -> None:
    # draft-ietf-httpapi-ratelimit-headers-11, sections 3 and 4
    buckets = LocalBuckets()
    levels = buckets.take([demand(), demand(policy="ip")], processes=1, now_s=0.0)

    assert policy_field(levels) == '"key";q=10;w=5, "ip";q=10;w=5'
    assert limit_field(levels) == '"key";r=9;t=1, "ip";r=9;t=1'


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # no proxy of ours: not believed
        ("10.0.0.5", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.5", "6.6.6.6, 198.51.100.1", "198.51.100.1"),  # the client's own claim
        ("10.0.0.5", "6.6.6.6, 198.51.100.1, 10.0.0.6", "198.51.100.1"),  # two proxies
        ("10.0.0.5", "10.0.0.7, 10.0.0.6", "10.0.0.7"),
        ("10.0.0.5", "198.51.100.1, nonsense", "10.0.0.5"),
        ("10.0.0.5", "", "10.0.0.5"),
        ("10.0.0.5", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.5", "[2001:db8::1]:4711", "2001:db8::1"),
        ("::ffff:10.0.0.5", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.5", "x" * 10_000, "10.0.0.5"),
        ("", "198.51.100.1", "unknown"),
        ("unix:", "198.51.100.1", "unknown"),
    ],
)
def test_address__behind_whatever__is_what_can_be_believed(
    rf: Any, settings: Any, peer: str, forwarded: str, address: str
) -> None:
    settings.TRUSTED_PROXIES = ["10.0.0.0/29"]
    request = rf.get("/", REMOTE_ADDR=peer, headers={"X-Forwarded-For": forwarded})

    assert address_of(request) == address


def test_address__by_default__is_the_peers(rf: Any, settings: Any) -> None:
    request = rf.get("/", headers={"X-Forwarded-For": "198.51.100.1"})

    assert settings.TRUSTED_PROXIES == []
    assert address_of(request) == "127.0.0.1"


def test_subscriber__of_ipv6__is_the_network() -> None:
    assert subscriber_of("2001:db8:1:2:3:4:5:6") == "2001:db8:1:2::/64"
    assert subscriber_of("198.51.100.1") == "198.51.100.1"
    assert subscriber_of("unknown") == "unknown"


def test_rule__after_its_free_tries__waits_twice_as_long_each_time() -> None:
    rule = Rule(free=3, first_s=10, longest_s=60, memory_s=100)

    assert [rule.wait_s(failures) for failures in range(8)] == [0, 0, 0, 10, 20, 40, 60, 60]
    assert all(each.memory_s >= each.longest_s for each in RULES.values())


def test_try__of_a_name_in_other_letters__counts_for_the_same() -> None:
    one = Try(name="Ana", address="2001:db8::1").subjects()

    assert one == Try(name="\uff41NA", address="2001:db8::2").subjects()
    assert len(one) == 3
    assert list(one) == sorted(one)
    assert one != Try(name="Anna", address="2001:db8::1").subjects()
