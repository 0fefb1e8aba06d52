"""The outside world of the platform."""
