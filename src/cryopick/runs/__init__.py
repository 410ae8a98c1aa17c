"""Picking runs on disk: settings, records, resume, watch, shards and outputs."""
