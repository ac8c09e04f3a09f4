"""Open a study: find its members in a ZIP or a folder, within limits, and inflate them."""
