"""Run a private Redis server and its workers beside the notebook."""
