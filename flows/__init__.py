"""When stages run, with which logs, and what follows a failure: Prefect over DVC's graph."""
