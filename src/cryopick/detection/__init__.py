"""From a map to points: peaks, correlation, components, box rules and thresholds."""
