"""Filters and resampling between a micrograph and a picker; every change of geometry returns its `PixelMap`."""
