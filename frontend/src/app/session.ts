/** Who is signed in, as supabase-js knows it. */

import type { Session, SupabaseClient } from "@supabase/supabase-js";
import { useEffect, useState } from "react";

/** The session; undefined until it is known, null when nobody is signed in. */
export function useSession(client: SupabaseClient): Session | null | undefined {
  const [session, setSession] = useState<Session | null>();
  useEffect(() => {
    const { data } = client.auth.onAuthStateChange((_event, current) => setSession(current));
    return () => data.subscription.unsubscribe();
  }, [client]);
  return session;
}
