"""Panels in Jupyter for a job, all jobs and a result, each with a static record that stays in the saved notebook."""
