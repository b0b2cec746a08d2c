"""Where the time of a case goes, by PyTorch's operators."""

from dataclasses import dataclass

from torch.profiler import ProfilerActivity, profile

from metad2a.errors import unknown_name
from metad2a.evaluation.benchmark.cases import CASES
from metad2a.evaluation.benchmark.measure import in_fresh_process

_WARM_UP, _EXECUTIONS = 3, 10


@dataclass(frozen=True)
class Operator:
    """One kind of operator in one execution of a case.

    Attributes:
        name: PyTorch's.
        calls: how often it ran.
        cpu_ms: milliseconds of CPU in itself, without the operators that it called.
        share: of all operators' time, 0 to 1.
    """

    name: str
    calls: float
    cpu_ms: float
    share: float


def profile_case(name: str, *, threads: int = 1) -> list[Operator]:
    """Return the operators of a case, the dearest first, from a fresh process.

    Raises:
        UnknownNameError: there is no such case.
        MetaD2AError: the process was killed.
    """
    if name not in {case.name for case in CASES}:
        raise unknown_name("case", name, [case.name for case in CASES])
    return in_fresh_process(_profile, name, threads=threads)


def _profile(name: str) -> list[Operator]:
    work = next(case for case in CASES if case.name == name).setup()
    for _ in range(_WARM_UP):
        work()
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        for _ in range(_EXECUTIONS):
            work()
    events = recorded.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    operators = [
        Operator(
            name=event.key.removeprefix("aten::"),
            calls=event.count / _EXECUTIONS,
            cpu_ms=event.self_cpu_time_total / _EXECUTIONS / 1000,
            share=event.self_cpu_time_total / total,
        )
        for event in events
    ]
    return sorted(operators, key=lambda operator: -operator.cpu_ms)
