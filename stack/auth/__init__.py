"""Local stand-in for Supabase Auth: the same HTTP API over the same `auth` tables."""
