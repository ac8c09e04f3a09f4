"""Simulate a study whose behaviour is known, and write it as a ZIP."""
