"""Pushes beside `feast serve`: rows in, over HTTP, with the stores looked at afterwards."""
