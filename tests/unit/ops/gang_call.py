"""One call by all processes of a gang, for torchrun: `gang_call.py FILE-OF-THE-CALL`; the first process publishes."""

from __future__ import annotations

import os
import pickle
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

import torch.distributed as dist  # noqa: E402

from w2s_ray.engine.execute import execute  # noqa: E402

if __name__ == "__main__":
    execute(pickle.loads(Path(sys.argv[1]).read_bytes()), leads=os.environ["RANK"] == "0")
    dist.destroy_process_group()
