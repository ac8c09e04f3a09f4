"""Panels in Jupyter that stand above jobs: a job, all jobs, a result, each with a record that stays in the file."""
