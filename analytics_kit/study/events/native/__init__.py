"""Read the logs of the Fulcrum platform quickly. Private to `events`."""
