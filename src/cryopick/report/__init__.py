"""The report of a run: one page for the browser with counts, scores, averages and every micrograph."""
