"""One torch thread per test process, and no time limit per example on a busy machine.

More threads than cores make torch many times slower.
"""

import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
