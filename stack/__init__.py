"""The Docker-free local stack: a Supabase project's servers, started and watched by one Python program."""
