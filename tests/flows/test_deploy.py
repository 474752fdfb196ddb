"""The schedule: set-up twice, and runs that start by themselves and finish."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.environment import base_environment
from flows.errors import FlowError
from tests.flows.support import Workspace

pytestmark = pytest.mark.flow

PROJECT = Path(__file__).parents[2]
CRON = '- cron: "0 3 * * *"\n        timezone: UTC\n'
Api = Callable[[str, dict[str, Any]], list[dict[str, Any]]]


@pytest.fixture
def environment(prefect_server: str) -> dict[str, str]:
    return base_environment() | {"PREFECT_API_URL": prefect_server, "PYTHONPATH": str(PROJECT)}


def test_interval_deployment_starts_by_itself_and_finishes(
    workspace: Workspace, environment: dict[str, str], api: Api
) -> None:
    from flows import deploy

    text = (PROJECT / "prefect.yaml").read_text()
    assert CRON in text
    workspace.write("prefect.yaml", text.replace(CRON, "- interval: 5\n"))
    deploy.set_up(workspace.root, environment)
    deploy.set_up(workspace.root, environment)
    worker = deploy.start_worker(workspace.root, environment)
    try:
        done = wait_for_completed(api)
    finally:
        worker.stop()
    assert done["state"]["message"] == "6 stages: 5 completed, 0 restored, 1 cached"
    assert done["auto_scheduled"] is True
    assert workspace.read("last.txt")

    deployments = api("deployments/filter", {})
    assert [row["name"] for row in deployments] == ["scheduled"]
    assert deployments[0]["global_concurrency_limit"]["limit"] == 1
    assert deployments[0]["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    names = [row["name"] for row in api("automations/filter", {})]
    assert names == ["fewlayers: mark dead runs as crashed"]


def wait_for_completed(api: Api) -> dict[str, Any]:
    wanted = {
        "flow_runs": {
            "deployment_id": {"is_null_": False},
            "state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED"]}},
        },
        "sort": "START_TIME_ASC",
    }
    deadline = time.monotonic() + 120
    while not (rows := api("flow_runs/filter", wanted)):
        assert time.monotonic() < deadline, "no scheduled run has ended"
        time.sleep(0.5)
    return rows[0]


def test_refused_prefect_yaml_is_one_line(
    workspace: Workspace, environment: dict[str, str]
) -> None:
    from flows import deploy

    workspace.write("prefect.yaml", "deployments: [{name: x, entrypoint: flows.absent.flow}]\n")
    with pytest.raises(FlowError, match=r"prefect.yaml: Prefect refuses it: [^\n]+$"):
        deploy.deploy(workspace.root, environment)


@pytest.mark.slow
def test_dead_run_is_marked_crashed(prefect_server: str, api: Api) -> None:
    """A run that sent one heartbeat and no more; the real automation with a shorter wait."""
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.events import emit_event
    from prefect.states import Running

    from flows import deploy

    @flow
    def dying() -> None:
        pass

    automation = deploy.heartbeat_automation(seconds=10)
    automation = automation.model_copy(update={"name": "short"})
    automation.create()
    try:
        with get_client(sync_client=True) as client:
            run = client.create_flow_run(dying, state=Running())
        resource = {"prefect.resource.id": f"prefect.flow-run.{run.id}"}
        emit_event("prefect.flow-run.heartbeat", resource=resource)
        deadline = time.monotonic() + 90
        wanted = {"flow_runs": {"id": {"any_": [str(run.id)]}}}
        while (row := api("flow_runs/filter", wanted)[0])["state_name"] != "Crashed":
            assert time.monotonic() < deadline, row["state_name"]
            time.sleep(0.5)
    finally:
        automation.delete()
    assert os.environ["PREFECT_API_URL"] == prefect_server
