"""How the idle threads of trainings wait that share the processors."""

import os

# Of libgomp, by which torch on Linux computes in parallel: https://gcc.gnu.org/onlinedocs/libgomp
VARIABLE = "GOMP_SPINCOUNT"
LOOKS = 1_000


def variables(jobs: int, threads: int) -> dict[str, str]:
    """Environment variables for `jobs` trainings at the same time, with `threads` each.

    If these are more than the cores, an idle thread looks for work some LOOKS times, and then
    sleeps. libgomp's own number is hundreds of times as large, which is milliseconds, in which the
    thread keeps a core from the others; but alone, a training is faster with it.
    benchmarks/waiting.py measures both. It changes no bits.
    """
    if jobs * threads <= len(os.sched_getaffinity(0)):
        return {}
    if {VARIABLE, "OMP_WAIT_POLICY"} & os.environ.keys():
        return {}
    return {VARIABLE: str(LOOKS)}
