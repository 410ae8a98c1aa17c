"""Pickers next to their rivals: the same micrographs, the same truth, the same protocol, and what each costs."""
