"""Edge functions: folders of `supabase/functions`, each run by a Deno process that its first request starts."""
