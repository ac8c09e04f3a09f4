"""Run jobs on a Redis server that RQ workers share."""
