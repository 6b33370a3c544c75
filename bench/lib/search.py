"""The largest packet rate at which a relay meets a bound, by bisection, and what happens beyond it.

Pure: knows rates and the figures of runs, not how a run comes about.
"""

import dataclasses
import math

LOST_PERCENT_MAX = 0.1
DELAY_P99_US_MAX = 20000.0
# A run that misses the bound by less is repeated: one pause of the machine is not the relay's.
CONCLUSIVE_EXCESS = 100.0
RATE_REACHED = 0.97


def useless_percent(run):
    """Packets that were lost or came later than 100 ms."""
    return 100.0 * (run["sent"] - run["received"] + run["late"]) / max(run["sent"], 1)


def generator_held_back(run):
    """The relay was not sent what was to be sent, or not all that it sent was read. Packets that
    are sent late by a millisecond do not count: a relay beyond its limit slows down who shares a
    kernel with it."""
    phase = run["phases"][0]
    return (phase["sent_per_second"] < RATE_REACHED * phase["rate"]
            or run["generator_unread"] > 0)


@dataclasses.dataclass(frozen=True)
class Bound:
    name: str
    text: str
    delay_p99_us_max: float = math.inf

    def excess(self, run):
        """How many times as bad as permitted: 1 and less is within the bound. A rate that the
        generator did not reach says nothing about the relay and is never within it."""
        if generator_held_back(run):
            return math.inf
        delay = run["delay_p99_us"] / self.delay_p99_us_max if run["received"] else math.inf
        return max(useless_percent(run) / LOST_PERCENT_MAX, delay)


# From lax to strict.
BOUNDS = (
    Bound("100ms", "< 0.1 % lost or > 100 ms"),
    Bound("20ms", "and p99 <= 20 ms", DELAY_P99_US_MAX),
)


class Search:
    """Rates to try, one after another: next_rate() until it gives None, note() for each run."""

    def __init__(self, bound, start, rate_max=math.inf, growth=1.5, precision=1.04, rate_min=500):
        self.bound = bound
        self._start, self._growth, self._precision = round(min(start, rate_max)), growth, precision
        self._rate_min, self._rate_max = rate_min, rate_max
        self._good = {}  # rate -> run
        self._bad = {}
        self._doubtful = {}

    @property
    def limit(self):
        """The largest rate that was within the bound, 0 when none was."""
        return max(self._good, default=0)

    @property
    def _above(self):
        return min((rate for rate in self._bad if rate > self.limit), default=0)

    def next_rate(self):
        for rate in self._doubtful:
            return rate
        if self._above and self.limit:
            if self._above / self.limit <= self._precision:
                return None
            return round(math.sqrt(self._above * self.limit))
        if self._above:
            lower = round(self._above / self._growth)
            return lower if lower >= self._rate_min else None
        if not self.limit:
            return self._start
        higher = round(min(self.limit * self._growth, self._rate_max))
        return higher if higher > self.limit else None

    def note(self, rate, run):
        excess = self.bound.excess(run)
        if excess <= 1:
            self._doubtful.pop(rate, None)
            self._good[rate] = run
        elif excess < CONCLUSIVE_EXCESS and rate not in self._doubtful:
            self._doubtful[rate] = run
        else:
            self._doubtful.pop(rate, None)
            self._bad[rate] = run

    def stricter(self, bound):
        """A search for a stricter bound that begins with what this one has seen."""
        following = Search(bound, self._start, self._rate_max, self._growth, self._precision,
                           self._rate_min)
        for runs in (self._good, self._bad):
            for rate, run in runs.items():
                (following._good if bound.excess(run) <= 1 else following._bad)[rate] = run
        return following

    def runs_at_limit(self):
        """The best run within the bound and the first one beyond it, where there are such."""
        return [runs[rate] for runs, rate in ((self._good, self.limit), (self._bad, self._above))
                if rate]


def overload_plan(limit, factor, seconds):
    """Phases as the generator takes them: the limit, beyond it, and half of it."""
    rates = (limit, round(limit * factor), max(round(limit / 2), 1))
    return ",".join(f"{rate}:{seconds}" for rate in rates)


def overload_figures(limit, run):
    """What a run of that plan says, in percent. `reached`: how many times its limit the relay was
    really sent."""
    _, beyond, after = run["phases"]
    seconds = beyond["sent"] / beyond["sent_per_second"]
    later = {key: after[key] - after[f"first_second_{key}"]
             for key in ("sent", "received", "late")}
    first = {key: after[f"first_second_{key}"] for key in later}
    return {
        "reached": beyond["sent_per_second"] / limit,
        "forwarded_percent": 100.0 * beyond["received"] / seconds / limit,
        "goodput_percent": 100.0 * (beyond["received"] - beyond["late"]) / seconds / limit,
        "first_second_useless_percent": useless_percent(first),
        "later_useless_percent": useless_percent(later),
    }
