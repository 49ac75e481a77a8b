"""Freshet beside `feast serve` and the limit of Python, in one run on one machine: `python -m benchmarks --help`.

What was measured last is in RESULTS.md. The servers are started as their users start them and are asked over HTTP
only, so what measures imports nothing of Freshet.
"""
