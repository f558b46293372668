"""The one door of the stack: a Caddy configuration with a Supabase gateway's rules."""
