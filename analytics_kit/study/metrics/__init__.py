"""Compute the metrics of each trial from its events, one file per family of metrics."""
