"""Who may do what, over HTTP: the access matrix, isolation of tenants, attacks that must fail."""
