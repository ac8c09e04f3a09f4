"""Read a finished result as pandas DataFrames."""
