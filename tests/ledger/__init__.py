"""The ledger through PostgREST: scenarios, concurrency, and the errors a client can meet."""
