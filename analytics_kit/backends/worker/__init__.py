"""Run RQ workers, each with a process that executes the steps of jobs."""
