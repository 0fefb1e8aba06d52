"""The outside world of builds: archives, the sandbox and the storage."""
