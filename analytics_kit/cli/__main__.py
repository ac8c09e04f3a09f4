"""Run the command line as `python -m analytics_kit.cli`."""

from analytics_kit.cli import main

main()
