"""The pure core. Nothing in here waits, reads a clock, draws a random number, touches a file or a socket. Time and
entropy are arguments.

decisions   `ledger` decides about runs, `outbox` on the worker's side of a session
the bus     `message` has every word, out of `orders`, `replies`, `directives`, `reports` and the `parts` they are made
            of; `envelope` is what travels beside them
a round     `changes`: what the ledger must know, and what it changes; `records`, `beginnings` and `cursors` in them
a run       `run` with the table of its statuses, `care` of the few, `policy` of failing, `metadata`, `versions`,
            `cache_key`, `differences`
things      what they are (the rules about them are the ledger's): `batches`, `bulks`, `forks`, `joints`, `keeping`,
            `queues`, `schedules`
words       `ids`, `names`, `instants`, `durations`, `sizes`, `errors`
"""
