"""Variants of the published systems, trained and compared."""
