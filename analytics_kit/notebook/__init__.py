"""What people see of a job: a progress bar, text, HTML. Knows a job by its JobInfo, nothing of queues."""
