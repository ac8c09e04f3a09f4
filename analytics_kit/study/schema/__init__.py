"""Names, types and small values that every stage of a study shares."""
