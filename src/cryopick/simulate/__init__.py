"""Micrographs with exact truth, from physics and from real or random structures."""
