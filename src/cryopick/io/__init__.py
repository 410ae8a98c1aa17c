"""Micrographs and picks, from and to every program's files."""
