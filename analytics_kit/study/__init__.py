"""Everything about a study: from the ZIP of logs to the tables of results; nothing about queues or Jupyter."""
