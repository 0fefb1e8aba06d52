"""What was read a moment ago, kept in this process."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

MOST_KEPT: Final = 10_000

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """The latest values by key, each for a while; shared by the threads of a process."""

    def __init__(self, kept_s: float) -> None:
        self._kept_s = kept_s
        self._kept: OrderedDict[Key, tuple[float, Value]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> Value | None:
        """Return what was kept in the last `kept_s` seconds, None otherwise."""
        with self._lock:
            kept = self._kept.get(key)
        return None if kept is None or time.monotonic() >= kept[0] else kept[1]

    def keep(self, key: Key, value: Value) -> None:
        """Keep a value in the place of the one before; the oldest of too many goes."""
        with self._lock:
            self._kept[key] = (time.monotonic() + self._kept_s, value)
            self._kept.move_to_end(key)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)

    def forget(self, key: Key) -> None:
        """Keep nothing of a key."""
        with self._lock:
            self._kept.pop(key, None)
