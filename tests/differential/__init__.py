"""Equal to Feast: random repos, written by stock Feast, read by stock Feast and by Freshet over HTTP.

model.py says what a case is; values.py, names.py and strategies.py draw one; stock.py writes and reads it through
Feast, asking.py reads it from Freshet; differences.py lists where the two may differ, and comparing.py applies exactly
that list. replays.py runs a case again that a failing test has printed.
"""
