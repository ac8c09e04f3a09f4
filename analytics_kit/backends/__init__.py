"""Where jobs wait, run and are remembered: one backend per technology, all held to the same contract.

record.py     what a job's record holds and which changes are legal (pure)
reporting.py  how often progress is told, and what is worked out from it (pure)
running.py    one step of a job carried out and its outcome written down, whatever the backend
local.py      in this process
redis.py      on a Redis that was named: what clients ask
  ledger.py     the records there; scripts.py has the changes that are atomic, steps.py those that workers make
  reconcile.py  what is done about work that nobody has in hand any more; rq_queue.py says who works
  worker.py     the loop of a worker; horse.py the process that does its tasks, perform.py what happens in it,
                watch.py whether that is still wanted and within limits
  pool.py       a number of workers kept up; crew.py does that for `analytics-kit worker`
embedded.py   on a Redis of our own; place.py says where it lives and who holds it, supervisor.py owns it
http.py       on a server of ours: what clients ask
  line.py       the way to it, with the token and with patience; outbox.py brings studies there
choice.py     which of them is used
"""
