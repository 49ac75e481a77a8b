"""Feast's own HTTP interface, so that a stock Feast SDK with `online_store: {type: remote}` works against Freshet.

docs/feast-wire.md tells how to use it, and where it differs from Feast's server on purpose.
"""
