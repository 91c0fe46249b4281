"""The coordinator: the shell around the ledger. It reads, commits, publishes and settles; it decides nothing."""
