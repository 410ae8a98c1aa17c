"""A run as a page in the browser: one file that shows what was picked, where to look first, and where to cut."""
