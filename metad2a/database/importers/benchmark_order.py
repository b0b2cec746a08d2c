"""The order in which NAS-Bench-201 numbers its cells."""

import random
from functools import cache

from metad2a.spaces.nasbench201 import NASBench201

_SHUFFLE_SEED = 88


@cache
def benchmark_order() -> tuple[str, ...]:
    """Return the texts of all 15,625 cells by their number in NAS-Bench-201, NATS-Bench and what builds on them.

    The authors list the cells with the last edge varying fastest and shuffle the list with Python's ``random`` from
    seed 88 (github D-X-Y/AutoDL-Projects, ``exps/NATS-Bench/tss-collect.py``), the same in every version of Python.
    """
    space = NASBench201()
    archs = list(space.enumerate())
    random.Random(_SHUFFLE_SEED).shuffle(archs)  # noqa: S311 - nothing secret, and this one only
    return tuple(space.format(arch) for arch in archs)
