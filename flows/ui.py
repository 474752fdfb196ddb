"""`fewlayers ui`: server, worker and deployment on 127.0.0.1, until Ctrl-C."""

import signal
import socket
import time
from pathlib import Path

from flows.environment import base_environment, prefect_environment, use
from flows.errors import FlowError
from flows.processes import interrupt
from flows.server import HOST, own_server, start_server


def serve(root: Path, port: int) -> None:
    """Runs all three and prints the address; returns on Ctrl-C or SIGTERM.

    Raises:
        FlowError: the port is taken, another server is at work, or a part ends by itself.
    """
    _check_free(root, port)
    signal.signal(signal.SIGTERM, interrupt)
    use(prefect_environment(root))
    with start_server(root, port=port, is_lasting=True) as api:
        use({"PREFECT_API_URL": api})
        from flows import deploy

        environment = base_environment()
        deploy.set_up(root, environment)
        worker = deploy.start_worker(root, environment)
        try:
            print(f"Prefect UI: http://{HOST}:{port} (Ctrl-C stops it)", flush=True)
            print("the deployment refresh/scheduled runs by the schedule in prefect.yaml;")
            print("to start it now: open it in the UI and press Run", flush=True)
            while worker.is_running():
                time.sleep(0.5)
            raise FlowError(f"the worker ended; see {root}/.state/prefect/worker.log")
        except KeyboardInterrupt:
            print("stopping", flush=True)
        finally:
            worker.stop()


def _check_free(root: Path, port: int) -> None:
    if address := own_server(root):
        raise FlowError(f"a server of this workspace runs already: {address.removesuffix('/api')}")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise FlowError(
                f"port {port} of {HOST} is taken; choose another one with --port"
            ) from error
