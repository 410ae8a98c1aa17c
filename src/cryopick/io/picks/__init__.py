"""Pick files, one module for each format."""
