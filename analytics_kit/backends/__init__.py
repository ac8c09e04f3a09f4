"""Queue jobs, run them and keep their records: one folder or file per technology, all held to one contract.

Imports go down only; the floors, from the ground up:

0. `dotted_names` (functions that queues and records name) and `machine` (how many workers there is room for)
1. `record` (what is stored of a job, and its legal changes), `progress` (throttling), `base` (the `Backend` protocol)
2. `step_runner` (run one step, whatever the backend) and `redis/` (a Redis server: `connection`, `keys`, `rq_queue`
   and `scripts` with `lua/` at the bottom, then `job_store`, `attempts`, `cleanup`, `recovery`, then `changes` and
   `backend`)
3. `local` (a thread of this process) and `worker/` (processes that run steps from a Redis server)
4. `embedded/` (a server and workers that the package starts itself) and `http/` (a server of analytics_kit)
5. `open` (the backend that the settings name)

`redis` and `http` do not import each other; `http` uses `local` for its uploads.
"""
