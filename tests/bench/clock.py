"""Timing two things beside each other: interleaved, so that a busy machine slows both."""

import resource
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of the values lie, to the nearest one."""
    ordered = sorted(values)
    return ordered[round(share * (len(ordered) - 1))]


def highest_gb() -> float:
    """The most memory that this process has held. (`ru_maxrss` begins at its parent's highest.)"""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(row for row in status.read_text().splitlines() if row.startswith("VmHWM"))
        return int(line.split()[1]) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def milliseconds(work: Callable[[], object], repeats: int = 15, warmup: int = 2) -> dict:
    """Of one thing alone: median, 10 % and 90 % of some runs."""
    times = []
    for i in range(warmup + repeats):
        start = time.perf_counter()
        work()
        if i >= warmup:
            times.append(1e3 * (time.perf_counter() - start))
    return {"ms": median(times), "low": percentile(times, 0.1), "high": percentile(times, 0.9)}


def compare(name: str, ours: Callable[[], object], theirs: Callable[[], object], repeats: int = 15,
            warmup: int = 2) -> dict:
    """Seconds of both, and the ratio ours / theirs of each pair of runs: median, 10 % and 90 %."""
    for _ in range(warmup):
        ours(), theirs()
    seconds_ours, seconds_theirs = [], []
    for _ in range(repeats):
        for work, seconds in ((ours, seconds_ours), (theirs, seconds_theirs)):
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
    return summarise(name, list(zip(seconds_ours, seconds_theirs)))


def summarise(name: str, seconds: list[tuple[float, float]]) -> dict:
    """(ours, theirs), a pair for each turn -> a line: medians, and the spread of their ratio."""
    ratios = [ours / theirs for ours, theirs in seconds]
    ours_ms, theirs_ms = (1e3 * median(of_one) for of_one in zip(*seconds))
    return {
        "name": name, "ours_ms": ours_ms, "theirs_ms": theirs_ms, "ratio": median(ratios),
        "low": percentile(ratios, 0.1), "high": percentile(ratios, 0.9), "repeats": len(seconds),
    }


def show(line: dict) -> str:
    """One line of a table."""
    return (f"{line['name']:<82} {line['ours_ms']:9.2f} {line['theirs_ms']:9.2f}   "
            f"{line['ratio']:5.2f}  ({line['low']:.2f} - {line['high']:.2f})")


HEADER = f"{'':<82} {'ours ms':>9} {'theirs ms':>9}   ratio  (10 % - 90 %)"
