"""One torch thread per test process: more than the cores make torch many times slower."""

import torch

torch.set_num_threads(1)
