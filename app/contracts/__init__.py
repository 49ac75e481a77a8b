"""Contracts: what a change of definitions does to the people who read them, and how they are told."""
