"""The process between the worker and a build; it imports the standard library alone.

The worker starts `python -I -S launcher/__main__.py supervise` for each build and talks to it
over its standard input. It ends the build, with everything that the build started, when the
build is done, when it is told to, when a limit is passed, and when the worker is gone.
"""
