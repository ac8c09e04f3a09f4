"""The command line `analytics-kit`."""

from analytics_kit.cli.app import main

__all__ = ["main"]
