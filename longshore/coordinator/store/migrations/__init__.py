"""The revisions of the ledger's tables, oldest first. Each is one function up and one down."""
