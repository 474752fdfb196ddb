import subprocess
import sys

STAGE = """
import gc
import sys
sys.orig_argv[1:] = ["-m", "tasks.some_stage"]
import tasks
print("while importing:", gc.isenabled())
from tasks.runtime import run_stage
def main(_):
    print("at work:", gc.isenabled(), gc.get_freeze_count() > 1000)
run_stage(main, [])
"""


def run(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_a_stage_looks_for_garbage_once_its_imports_are_done():
    assert run(STAGE) == "while importing: False\nat work: True True\n"


def test_who_imports_a_stage_keeps_collection_as_it_was():
    assert run("import gc, tasks.runtime; print(gc.isenabled())") == "True\n"
