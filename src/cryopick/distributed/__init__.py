"""One picker over many micrographs: workers, resume, results on disk."""
