"""The processes that run jobs: what `manage.py rqworker` and `manage.py rqscheduler` start."""
