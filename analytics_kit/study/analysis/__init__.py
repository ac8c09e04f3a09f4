"""What a table of trials says: comparisons, descriptions, learning, quality; and tables joined to it."""
