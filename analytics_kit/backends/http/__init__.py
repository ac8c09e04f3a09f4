"""Run jobs on an `analytics-kit` server over HTTP."""
