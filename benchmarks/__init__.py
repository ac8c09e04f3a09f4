"""Speed and memory of analytics_kit, as ratios against a peer or a floor measured in the same run."""
