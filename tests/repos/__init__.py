"""Feast repos that the tests make: stock definitions, written to a folder, over whichever stores a test wants."""
