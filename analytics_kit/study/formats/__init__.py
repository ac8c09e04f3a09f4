"""Recognise the format of a study's logs, and find its trials: a file for each format."""
