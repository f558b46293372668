"""Edge functions: folders of `supabase/functions`, each in a Deno process that its first request starts."""
