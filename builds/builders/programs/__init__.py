"""Programs that builders run inside the sandbox, as files; the worker imports none of them."""
