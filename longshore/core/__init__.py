"""The pure core: ids, errors, policies, messages, run rules, worker rules and the ledger.

Nothing in here waits, reads a clock, draws a random number, touches a file or a socket. Time and chance are arguments.
"""
