"""Read the members of a study into event tables, grouped by trial."""
