"""Micrograph files."""
