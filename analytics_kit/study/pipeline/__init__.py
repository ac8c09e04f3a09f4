"""Turn a study into a result: plan, process shards, merge."""
