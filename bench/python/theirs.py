"""PyTorch's side of the bench: a process that answers lines of JSON on its standard input (see ../src/contestant.ts)."""

import json
import os
import resource
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"

import torch

import rows_degradation
import rows_models
import rows_ops
import rows_training

# The protocol has this stream to itself: libraries that print do so on standard error.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def answer(message):
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def peak_bytes():
    """The high-water mark of this process's memory."""
    try:
        with open("/proc/self/status") as status:
            line = next(line for line in status if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def versions():
    import diffusers
    import peft
    import transformers

    return {"PyTorch": torch.__version__, "diffusers": diffusers.__version__, "transformers": transformers.__version__, "peft": peft.__version__}


def main():
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.manual_seed(1)
    run = None
    for line in sys.stdin:
        question = json.loads(line)
        if "prepare" in question:
            run = None
            row = question["prepare"]
            rows = rows_models.ROWS | rows_training.ROWS | rows_degradation.ROWS
            run = rows[row]() if isinstance(row, str) else rows_ops.prepare(row)
            answer({"versions": versions()})
            continue
        seconds = []
        for _ in range(question["run"]):
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
        answer({"seconds": seconds, "peakBytes": peak_bytes()})


main()
