"""Exports of training sets: Freshet's, Feast's, and what DuckDB does when nobody asks it to be right."""
