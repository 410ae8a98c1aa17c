"""Targets, losses, data and loops that make weights."""
