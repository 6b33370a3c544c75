"""What is made of the runs: medians, the table, the machine's description."""

import os
import pathlib
import platform
import statistics

from . import search

# key, what it is, unit, decimals, whether less is better (None: neither)
FIGURES = [
    ("lost_percent", "loss", "%", 3, True),
    ("cpu_ns_per_packet", "CPU per packet", "ns", 0, True),
    ("cpu_percent", "CPU of its core", "%", 1, True),
    ("delay_p50_us", "added delay, p50", "us", 0, True),
    ("delay_p99_us", "added delay, p99", "us", 0, True),
    ("too_late_percent", "later than 20 ms", "%", 3, True),
    ("memory_kib_per_call", "memory per call", "KiB", 1, True),
    ("memory_all_mib", "memory in all", "MiB", 1, True),
    ("kernel_kib_per_call", "kernel's, per call", "KiB", 1, True),
    ("descriptors_per_call", "descriptors per call", "", 1, True),
    ("set_ups_per_second", "set-ups per second", "1/s", 0, False),
    ("cpu_us_per_set_up", "CPU per set-up", "us", 0, True),
    ("waited_percent", "waited for its core", "%", 1, None),
    ("stolen_percent", "core taken by the host", "%", 1, None),
]

LATE_PERCENT_MAX = 1.0
WAITED_PERCENT_MAX = 20.0
NEAR_FLOOR = 0.95


def complete(run):
    """Adds to a generator's figures what follows from them."""
    run["too_late_percent"] = 100.0 * run["too_late"] / max(run["received"], 1)
    if "memory_idle_kib" in run:
        run["memory_all_mib"] = (
            run["memory_idle_kib"] + run["memory_kib_per_call"] * run["calls"]) / 1024
    return run


def generator_was_limit(run):
    return (run["generator_late_percent"] > LATE_PERCENT_MAX
            or run["generator_unread"] > 0)


def faults(run):
    """Reasons why a run is wrong, whatever its speed."""
    found = []
    if run["checked"] == 0:
        found.append("no packet was checked")
    if run["bad"]:
        found.append(f"{run['bad']} of {run['checked']} checked packets are wrong")
    if run["foreign"]:
        found.append(f"{run['foreign']} packets came where they do not belong")
    if run["duplicates"]:
        found.append(f"{run['duplicates']} packets came twice")
    return found


def medians(runs):
    """Median of each figure that the runs have."""
    return {key: statistics.median(run[key] for run in runs)
            for key, *_ in FIGURES if all(key in run for run in runs)}


def _advantage(ours, theirs, less_is_better):
    if less_is_better is None or not ours or not theirs:
        return "-"
    return f"{theirs / ours if less_is_better else ours / theirs:.2f}x"


def table(title, runs, noun="call"):
    """Lines: a row per figure, a column per relay. `runs`: {relay: [run, …]}; of `noun`s.
    The last column says how many times better the first relay is than the second."""
    names = list(runs)
    middle = {name: medians(runs[name]) for name in names}
    pair = len(names) == 2
    lines = [f"{title}, median of {max(len(each) for each in runs.values())}",
             f"  {'':26}" + "".join(f"{name:>14}" for name in names)
             + (f"{'better by':>12}" if pair else "")]
    for key, label, unit, digits, less in FIGURES:
        if not all(key in middle[name] for name in names):
            continue
        row = f"  {label.replace('call', noun):26}" + "".join(
            f"{middle[name][key]:>14.{digits}f}" for name in names)
        if pair:
            row += f"{_advantage(*(middle[name][key] for name in names), less):>12}"
        lines.append(f"{row}  {unit}")
    for name in names:
        limited = sum(generator_was_limit(run) for run in runs[name])
        if limited:
            lines.append(f"  the generator was the limit in {limited} of {len(runs[name])} runs "
                         f"with {name}: loss and delay there are not the relay's alone")
        if middle[name].get("waited_percent", 0) > WAITED_PERCENT_MAX:
            lines.append(f"  {name} had to wait for its core: other work, or its own threads, "
                         "took it; loss and delay suffer")
    return lines


def limits_of(searches, floor):
    """{relay: {bound: {rates, median, generator_limited, runs}}} of finished searches by the same
    keys. `generator_limited`: rounds that tell less of the relay than of the generator."""
    found = {}
    for name, bounds in searches.items():
        found[name] = {}
        for bound, rounds in bounds.items():
            limited = [one.limit >= NEAR_FLOOR * floor or
                       any(search.generator_held_back(run) for run in one.runs_at_limit())
                       for one in rounds]
            found[name][bound] = {
                "rates": [one.limit for one in rounds],
                "median": statistics.median(one.limit for one in rounds),
                "generator_limited": sum(limited),
                "runs": [one.runs_at_limit() for one in rounds],
            }
    return found


def limit_table(title, floor, found):
    """Lines: a row per bound, a column per relay, as limits_of() gives them."""
    names = list(found)
    pair = len(names) == 2
    rounds = max(len(found[name][search.BOUNDS[0].name]["rates"]) for name in names)
    lines = [f"{title}: most packets/s, median of {rounds}",
             f"  {'':28}" + "".join(f"{name:>14}" for name in names)
             + (f"{'better by':>12}" if pair else "")]
    for bound in search.BOUNDS:
        middle = [found[name][bound.name]["median"] for name in names]
        row = f"  {bound.text:28}" + "".join(f"{rate:>14.0f}" for rate in middle)
        lines.append(row + (f"{_advantage(*middle, False):>12}" if pair else ""))
    lines.append(f"  {'generator to itself':28}{floor:>14.0f}")
    for name in names:
        for bound in search.BOUNDS:
            one = found[name][bound.name]
            if one["generator_limited"]:
                lines.append(f"  the generator was the limit in {one['generator_limited']} of "
                             f"{len(one['rates'])} rounds with {name} ({bound.text}): it may do "
                             "more")
    return lines


def overload_table(mode, calls, beyond):
    """Lines: a row per relay and factor. `beyond`: {relay: {factor: figures}}."""
    lines = [f"{mode}, {calls} calls, beyond each relay's own limit, and back at half of it",
             f"  {'':12}{'limit x':>8}{'sent x':>8}{'forwarded':>11}{'in 100 ms':>11}"
             f"{'lost or late in':>17}{'and':>10}",
             f"  {'':12}{'':8}{'':8}{'% of limit':>11}{'% of limit':>11}"
             f"{'1st second, %':>17}{'later, %':>10}"]
    for name, factors in beyond.items():
        for factor, seen in factors.items():
            lines.append(
                f"  {name:12}{factor:>8}{seen['reached']:>8.2f}{seen['forwarded_percent']:>11.0f}"
                f"{seen['goodput_percent']:>11.0f}{seen['first_second_useless_percent']:>17.2f}"
                f"{seen['later_useless_percent']:>10.2f}")
            if seen["reached"] < 0.95 * float(factor):
                lines.append(f"  {'':12}the generator could not send {factor} times its limit")
    return lines


def _field(path, key):
    for line in pathlib.Path(path).read_text("utf-8", "replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return "unknown"


def machine():
    """What figures are worth nothing without."""
    return {
        "processor": _field("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "virtual": "hypervisor" in _field("/proc/cpuinfo", "flags").split(),
        "memory": _field("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }
