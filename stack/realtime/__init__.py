"""Local stand-in for Supabase Realtime: broadcast, presence, and broadcast from the database."""
