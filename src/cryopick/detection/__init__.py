"""Detection of points in maps: peaks, correlation, components, box rules and thresholds."""
