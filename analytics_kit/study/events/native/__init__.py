"""Read the logs of the Fulcrum platform fast. Private to `events`, which offers it in `events.reading`."""
