"""The kinds that are measured: nothing, and one INSERT and one UPDATE, in each shape."""
