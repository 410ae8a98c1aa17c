"""Filters and resampling of micrographs; functions that change the geometry return a `PixelMap`."""
