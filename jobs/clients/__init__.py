"""The outside world of the engine: Redis, which only rings."""
