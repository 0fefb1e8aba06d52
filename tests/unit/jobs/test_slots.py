"""How a worker's slots are shared out between queues (W-07, W-08)."""

from __future__ import annotations

from jobs.queues import Queue
from jobs.retry import never
from jobs.worker.slots import Slots


def queue(name: str, own: int = 2, most: int | None = None) -> Queue:
    """A queue for a test."""
    return Queue(name, never(), "", own_slots=own, slots_max=most)


def test_slots__of_one_busy_queue__are_all_shared_ones_and_its_own() -> None:
    # W-08
    slots = Slots(10, [queue("a"), queue("b")])

    for _ in range(12):
        assert slots.room("a") > 0
        slots.take("a")

    assert slots.room("a") == 0
    assert slots.room("b") == 2
    assert (slots.taken(), slots.most) == (12, 14)


def test_slots__of_a_queue__are_free_whatever_the_others_do() -> None:
    # W-07: a slow queue cannot starve another.
    slots = Slots(3, [queue("slow"), queue("b", own=1), queue("c", own=1)])
    for _ in range(5):
        slots.take("slow")

    slots.take("b")

    assert (slots.room("slow"), slots.room("b"), slots.room("c")) == (0, 0, 1)
    slots.give("slow")
    assert (slots.room("slow"), slots.room("b")) == (1, 1)


def test_slots__of_a_bounded_queue__stop_at_its_bound() -> None:
    slots = Slots(100, [queue("builds", most=3)])
    for _ in range(3):
        assert slots.room("builds") > 0
        slots.take("builds")

    assert slots.room("builds") == 0
