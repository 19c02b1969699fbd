"""Degradation by basicsr's own code on torch, for the draws that ours has written to the file in RASS_BENCH_DRAWS."""

import json
import multiprocessing
import os
import pathlib
import sys

import numpy
import torch

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "test-fixtures" / "make"))

PROCESSES = 2
state = {}


def prepare():
    from basicsr_degradation import Degradation

    with open(os.environ["RASS_BENCH_DRAWS"]) as file:
        draws = json.load(file)
    side = draws["side"]
    levels = numpy.array(draws["data"], dtype=numpy.uint8).reshape(side, side, 3)
    state.update(degradation=Degradation(), levels=levels, records=draws["records"])


def one(index):
    """From levels to levels, as ours."""
    image = torch.from_numpy(state["levels"]).permute(2, 0, 1)[None].float() / 255
    result = state["degradation"](image, state["records"][index])
    return (torch.clamp((result * 255).round(), 0, 255)[0].permute(1, 2, 0)).to(torch.uint8).numpy()


def here():
    prepare()
    return lambda: [one(index) for index in range(len(state["records"]))]


def in_processes():
    """As a data loader's workers do it. They are forked before this process has computed anything, so that no threads are lost."""
    prepare()
    pool = multiprocessing.get_context("fork").Pool(PROCESSES, initializer=lambda: torch.set_num_threads(1))
    return lambda: list(pool.imap(one, range(len(state["records"]))))


ROWS = {"degradation": here, "degradation-processes": in_processes}
