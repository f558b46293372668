"""Who may do what, tried over HTTP: the access matrix, isolation of tenants, and the attacks that must fail."""
