"""Checking: record the notebooks, run them headless, and hold them against the rules."""
