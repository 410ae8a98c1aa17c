"""Review of picks in the browser: inspect, correct and compare them. Originals are kept, and every edit is saved at once."""
