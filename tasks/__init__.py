"""The stages of fewlayers and the libraries below them; free of Prefect and DVC."""

import gc
import sys

if sys.orig_argv[1:2] == ["-m"] and sys.orig_argv[2].startswith("tasks."):
    # A stage imports a million objects that all live to its end; a quarter of that time went into
    # looking for garbage among them. `tasks.runtime.run_stage` turns collection on again.
    gc.disable()
