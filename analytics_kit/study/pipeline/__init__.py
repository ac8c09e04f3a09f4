"""Turn a study into a result: plan, process shards, merge.

plan.py         finds the trials and cuts them into shards
shard.py        processes one shard
merge.py        makes the tables of the study
run.py          does all of it in this process
distributed.py  does it in steps, in many processes
exchange.py     passes data between these processes
attempts.py     gives each attempt at a step a folder of its own
warmup.py       compiles kernels before the first job
"""
