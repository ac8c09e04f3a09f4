"""Open a study: find its members in a ZIP or a folder, safely, and inflate them."""
