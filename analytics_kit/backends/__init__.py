"""Where jobs wait, run and are remembered: one backend per technology, all held to the same contract.

record.py     what a job's record holds and which changes are legal (pure)
reporting.py  how often progress is told, and what is worked out from it (pure)
running.py    one task carried out and its outcome written down, whatever the backend
local.py      in this process
redis.py      on a Redis that was named; ledger.py keeps the records there, perform.py and worker.py do the work
embedded.py   on a Redis of our own; place.py says where it lives and who holds it,
              supervisor.py owns its server, pool.py its workers
choice.py     which of them is used
"""
