"""A small real DVC workspace: two branches over one source, each stage a few lines of Python."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STAGE = '''
"""work.py NAME INPUT... OUTPUT: writes its inputs and its own name to OUTPUT."""
import json, pathlib, sys, time

name, *inputs, output = sys.argv[1:]
control = json.loads(pathlib.Path("control.json").read_text())
if name == control.get("fail"):
    print("error: the answer must be 42; got 41 in work.py; think again", file=sys.stderr)
    raise SystemExit(1)
if name == control.get("sleep"):
    pathlib.Path("sleeping.pid").write_text(str(__import__("os").getpid()))
    time.sleep(control.get("seconds", 600))
print(f"{name}: 1/2 half", flush=True)
print(f"{name}: 2/2 done", flush=True)
text = name + "".join(pathlib.Path(i).read_text() for i in inputs)
pathlib.Path(output).write_text(text)
'''

GRAPH = """
stages:
  first:
    cmd: python work.py first data/raw/source.txt first.txt
    deps: [data/raw/source.txt]
    params: [seed]
    outs: [first.txt]
  left:
    cmd: python work.py left first.txt left.txt
    deps: [first.txt]
    outs: [left.txt]
  right:
    matrix:
      side: [near, far]
    cmd: python work.py right-${item.side} first.txt right-${item.side}.txt
    deps: [first.txt]
    outs: ["right-${item.side}.txt"]
  last:
    cmd: python work.py last left.txt right-near.txt right-far.txt last.txt
    deps: [left.txt, right-near.txt, right-far.txt]
    outs: [last.txt]
"""

PARAMS = """
seed: 0
runtime: {threads: 1, parallel_stages: 2}
run: {datasets: [demo], models: {tiny: none}}
windows: {context: 64, horizon: 8}
datasets:
  demo: {}
scales:
  pico: {backbone: gpt2, blocks: 12, width: 32, heads: 4, learning_rate: 0.001}
models:
  tiny: {family: tsfm, scale: pico}
"""

SOURCE = "data/raw/source.txt.dvc"
STAGES = {"first", "left", "right@near", "right@far", "last", SOURCE}


@dataclass(frozen=True)
class Workspace:
    """A folder with params.yaml and dvc.yaml."""

    root: Path

    def control(self, **values: Any) -> None:
        """Tells the stages what to do: fail=NAME, sleep=NAME, seconds=S."""
        (self.root / "control.json").write_text(json.dumps(values))

    def write(self, name: str, text: str) -> None:
        """Writes a file of the workspace."""
        (self.root / name).write_text(text)

    def read(self, name: str) -> str:
        """Reads a file of the workspace."""
        return (self.root / name).read_text()

    def dvc(self, *arguments: str) -> str:
        """Runs the real dvc command and returns what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *arguments],
            cwd=self.root,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout + done.stderr

    def start_flow(self) -> subprocess.Popen[str]:
        """Starts the flow in a process of its own.

        It hears SIGINT, as at a terminal, also where the tests run in the background.
        """
        code = (
            "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
            "from flows.refresh import refresh; "
            f"state = refresh({str(self.root)!r}, return_state=True); "
            "print(state.message); sys.exit(not state.is_completed())"
        )
        repository = Path(__file__).parents[2]
        return subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=repository,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def run_flow(workspace: Workspace) -> Any:
    """Runs the flow in this process; its state."""
    from flows.refresh import refresh

    return refresh(str(workspace.root), return_state=True)


def make_small_workspace(root: Path) -> Workspace:
    """Writes the small graph into `root` and puts its source under DVC."""
    (root / "data" / "raw").mkdir(parents=True)
    workspace = Workspace(root)
    workspace.write("work.py", STAGE)
    workspace.write("dvc.yaml", GRAPH)
    workspace.write("params.yaml", PARAMS)
    workspace.write("data/raw/source.txt", "one\n")
    workspace.write(".dvcignore", ".state\n")
    workspace.control()
    workspace.dvc("init", "--no-scm", "--quiet")
    workspace.dvc("config", "core.check_update", "false")
    workspace.dvc("add", "--quiet", "data/raw/source.txt")
    (root / "data" / "raw" / "demo").mkdir()
    workspace.write("data/raw/demo/demo.csv", "here so that nothing is fetched\n")
    return workspace
