"""Review picks in the browser: look at them, correct them, compare two sets. Originals are kept; every edit is saved at once."""
