"""RESULTS.md, written as a whole from the record of the last runs and the last soak."""

from __future__ import annotations

import operator
from collections.abc import Iterator

from benchmarks.cases import CASES, COST_SIZES
from benchmarks.exporting.report import READING as EXPORTS_READING
from benchmarks.exporting.report import export_report
from benchmarks.markdown import about, table, times
from benchmarks.pushing.report import READING as PUSHES_READING
from benchmarks.pushing.report import push_report
from benchmarks.results import Record, Results, Soak
from benchmarks.soak_verdict import judge, milestones
from benchmarks.targets import ratio, targets

LABELS = {
    "freshet": "freshet, POST",
    "freshet-get": "freshet, GET",
    "feast": "feast serve",
    "relay": "relay (limit in Python)",
    "relay-all": "relay, HGETALL",
}

_READING = """\
## How to read it

- Everything but the soak, which tells its own time, ran in one go on one machine: servers, Redis and load generator
  share its cores. Compare lines of one table; don't compare them with another machine's.
- **freshet** is `freshet serve` with one worker and its default settings, metrics on. **feast serve** is stock Feast
  with one worker, `--max-requests 0 --no-access-log` and its metrics off, on the same repo and the same Redis.
- **relay** ([relay.py](relay.py)) finds the entity ids in the same request with one regular expression, sends prepared
  HMGETs for the same fields and answers with Redis's bytes as they are. It decodes nothing, checks nothing, counts
  nothing: what Python under uvicorn can do at most, not a server that anybody could use. **relay, HGETALL** reads whole
  hashes instead: a hash of up to 512 fields is a compact list in Redis, and each field of an HMGET is searched in it.
- The data was written by stock Feast: about 2 % of the entities have no row, 2 % of the values are null, every row is
  an hour old at most and well within its ttl. Every contestant's values were compared with what was written, for up to
  400 requests per case over 8 connections at once, before anything was timed.
- Failures are answers other than 2xx, and connections that broke or timed out, while the load was on.
- Requests/s, p50 and p99 are medians of the rounds, under closed-loop load over 8 keep-alive connections; in each round
  the contestants take turns, another one first. *Spread* is the lowest and the highest requests/s of the rounds.
- *CPU* columns are CPU seconds per second, of the server with all its processes, of Redis and of the generator: 1.00 is
  one core. Where the server is well below 1.00, something else was the limit.
- A measurement during which the hypervisor took more than 3 % of the machine's CPU time away is made again, up to
  twice unless the command says otherwise, whoever's it is, and the least disturbed one counts
  ([stolen.py](stolen.py)); *stolen* says how that ended.
- µs of CPU per value: requests one after the other over one connection, user and system time of the server, divided by
  the number of values asked for.
"""


def report(record: Record) -> str:
    """The page."""
    return "\n".join(_page(record)).rstrip() + "\n"


def _page(record: Record) -> Iterator[str]:
    yield "# Benchmark results"
    yield ""
    yield "Online reads, pushes and exports, side by side. This page is written by `make bench`, `make bench-exports`"
    yield "and `make bench-soak`; the single measurements are in [results.json](results.json)."
    yield ""
    if record.results:
        yield from about(record.results.about, record.results.everything())
    yield from _targets(record)
    if record.results:
        for case in CASES:
            yield from _case(record.results, case)
        yield from _costs(record.results)
        yield from _beside(record.results)
    if record.soak:
        yield from _soak(record.soak)
    if record.pushes:
        yield from push_report(record.pushes)
    if record.exports:
        yield from export_report(record.exports)
    yield _READING + (PUSHES_READING if record.pushes else "") + (EXPORTS_READING if record.exports else "")


def _targets(record: Record) -> Iterator[str]:
    yield "## Targets"
    yield ""
    verdicts = {True: "met", False: "**not met**", None: "-"}
    rows = [[one.what, one.wanted, one.measured, verdicts[one.met]] for one in targets(record)]
    yield from table(["what", "target", "measured", ""], rows)


def _case(results: Results, name: str) -> Iterator[str]:
    case = CASES[name]
    rows = []
    for contestant in case.contestants:
        rate = results.median(name, contestant, lambda sample: sample.rate)
        if rate is None:
            continue
        mine = [one for one in results.samples if (one.case, one.contestant) == (name, contestant)]
        rates = [one.rate for one in mine]
        rows.append(
            [
                LABELS[contestant],
                f"{rate:,.0f}",
                f"{min(rates):,.0f} - {max(rates):,.0f}",
                f"{1e3 * (results.median(name, contestant, lambda sample: sample.p50) or 0):.2f}",
                f"{1e3 * (results.median(name, contestant, lambda sample: sample.p99) or 0):.2f}",
                times(ratio(results, name, contestant, "feast", lambda sample: sample.rate)),
                _percent(ratio(results, name, contestant, "relay", lambda sample: sample.rate)),
                f"{results.median(name, contestant, lambda sample: sample.cpu_server) or 0:.2f}",
                f"{results.median(name, contestant, lambda sample: sample.cpu_redis) or 0:.2f}",
                f"{results.median(name, contestant, lambda sample: sample.cpu_generator) or 0:.2f}",
                f"{sum(one.failures for one in mine):,}",
            ]
        )
    if rows:
        yield f"## {case.title}"
        yield ""
        head = ["", "requests/s", "spread", "p50 ms", "p99 ms", "x feast", "of relay"]
        yield from table([*head, "CPU server", "CPU Redis", "CPU generator", "failures"], rows)


def _costs(results: Results) -> Iterator[str]:
    if not results.costs:
        return
    yield "## Cost by size: 9 features of 2 views, Redis"
    yield ""
    names = ["freshet", "feast", "relay"]
    head = ["entities", "values", *(f"{LABELS[name]}: µs of CPU per value" for name in names)]
    rows = []
    for size in COST_SIZES:
        cells = []
        for name in names:
            cost = results.cost(size, name, lambda one: one.cpu_per_value)
            failed = sum(one.failures for one in results.costs if (one.entities, one.contestant) == (size, name))
            text = "-" if cost is None else f"{cost * 1e6:.3f}"
            cells.append(f"{text} ({failed:,} failed)" if failed else text)
        rows.append([f"{size:,}", f"{size * 9:,}", *cells])
    yield from table([*head, "median ms per request, freshet"], [[*row, _latency(results, row[0])] for row in rows])


def _beside(results: Results) -> Iterator[str]:
    if not results.beside:
        return
    yield "## One entity beside requests for 10,000"
    yield ""
    yield "Requests for one entity, 100 a second over 8 connections, each counted from when it was due: alone, and"
    yield "while another connection asks for 10,000 entities again and again. Medians of the rounds."
    yield ""
    rows = []
    for alone, name in ((True, "alone"), (False, "beside requests for 10,000 entities")):
        mine = [one for one in results.beside if one.alone is alone]
        medians = [results.waited(alone, operator.attrgetter(what)) or 0.0 for what in ("p50", "p99", "longest")]
        sums = [sum(getattr(one, what) for one in mine) for what in ("requests", "others", "failures")]
        rows.append([name, *(f"{1e3 * wait:.2f}" for wait in medians), *(f"{count:,}" for count in sums)])
    yield from table(["", "p50 ms", "p99 ms", "longest ms", "requests", "meanwhile for 10,000", "failures"], rows)


def _latency(results: Results, size: str) -> str:
    found = results.cost(int(size.replace(",", "")), "freshet", lambda one: one.p50)
    return "-" if found is None else f"{found * 1e3:.2f}"


def _soak(soak: Soak) -> Iterator[str]:
    yield f"## Soak: {round(soak.seconds / 60, 1):g} minutes at half the peak rate"
    yield ""
    yield f"On {soak.about['date']}, by `{soak.about['command']}`: one request in ten asks for 100 entities, the others"
    yield f"for one. The peak was {soak.peak:,.0f} requests/s. Meant were {soak.asked:,.0f}/s, there were"
    yield f"{soak.rate:,.0f}/s over 8 connections: {soak.requests:,} in all, {soak.failures:,} failures,"
    yield f"p50 {soak.p50 * 1e3:.2f} ms and p99 {soak.p99 * 1e3:.2f} ms from when each request was due."
    yield ""
    rows = [
        [name, f"{one.seconds:.0f}", f"{one.resident / 2**20:.1f}", str(one.descriptors)]
        for name, one in milestones(soak)
    ]
    yield from table(["", "second", "resident MiB", "open descriptors"], rows)
    verdict = judge(soak)
    yield f"Fitted after the first fifth: {verdict.resident_per_hour / 2**20:+.1f} MiB/h and"
    yield f"{verdict.descriptors_per_hour:+.1f} descriptors/h, that is {verdict.words}."
    yield ""


def _percent(found: float | None) -> str:
    return "-" if found is None else f"{100 * found:.0f} %"
