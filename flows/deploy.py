"""Sets up a Prefect server for this project: work pool, deployment, heartbeat automation.

`prefect.yaml` holds the deployment and its schedule; this module only has Prefect read it.
Everything here can be run again and changes nothing then.
"""

import asyncio
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectAlreadyExists
from prefect.workers.process import ProcessWorker

from flows.environment import HEARTBEAT_SECONDS
from flows.errors import FlowError
from flows.processes import Child, run

POOL: Final = "fewlayers"
AUTOMATION: Final = "fewlayers: mark dead runs as crashed"
MISSED_HEARTBEATS: Final = 3
HEARTBEAT: Final = "prefect.flow-run.heartbeat"
ENDED: Final = ("Completed", "Failed", "Cancelled", "Crashed")


def set_up(root: Path, environment: Mapping[str, str]) -> None:
    """Creates what is missing on the server that PREFECT_API_URL names.

    Args:
        root: the workspace, with prefect.yaml.
        environment: of the `prefect` command, PREFECT_API_URL included.

    Raises:
        FlowError: Prefect refuses prefect.yaml.
    """
    create_pool()
    deploy(root, environment)
    create_heartbeat_automation()


def create_pool() -> None:
    """Creates the work pool of type process, unless it is there."""
    pool = WorkPoolCreate(
        name=POOL,
        type=ProcessWorker.type,
        base_job_template=ProcessWorker.get_default_base_job_template(),
    )
    with get_client(sync_client=True) as client:
        try:
            client.create_work_pool(pool)
        except ObjectAlreadyExists:
            return


def deploy(root: Path, environment: Mapping[str, str]) -> None:
    """Creates or renews the deployments of prefect.yaml. Raises FlowError."""
    lines: list[str] = []
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    status = run(command, folder=root, environment=environment, on_line=lines.append)
    if status:
        told = " ".join(" ".join(lines[-3:]).split())
        raise FlowError(f"{root / 'prefect.yaml'}: Prefect refuses it: {told}")


def create_heartbeat_automation() -> None:
    """Creates the automation that marks a run Crashed when its heartbeats stop."""
    asyncio.run(_create_heartbeat_automation())


async def _create_heartbeat_automation() -> None:
    try:
        await Automation.aread(name=AUTOMATION)
    except ValueError:
        await heartbeat_automation().acreate()


def heartbeat_automation(seconds: int = HEARTBEAT_SECONDS * MISSED_HEARTBEATS) -> Automation:
    """After one heartbeat of a run, another one or its end must follow within `seconds`."""
    return Automation(
        name=AUTOMATION,
        description="A run killed outright says nothing; its missing heartbeats do.",
        trigger=EventTrigger(
            after={HEARTBEAT},
            expect={HEARTBEAT, *(f"prefect.flow-run.{state}" for state in ENDED)},
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=seconds),
        ),
        actions=[
            ChangeFlowRunState(
                name="Crashed",
                state=StateType.CRASHED,
                message="its process died: no heartbeat any more",
                force=False,
            )
        ],
    )


def start_worker(root: Path, environment: Mapping[str, str]) -> Child:
    """Starts the process worker of the pool; it takes due runs until it is stopped."""
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL,
               "--type", "process", "--limit", "1", "--install-policy", "never"]  # fmt: skip
    log_file = Path(environment["PREFECT_HOME"]) / "worker.log"
    with log_file.open("wb") as output:
        return Child(command, folder=root, environment=environment, output=output)
