/** Starts the demo application: configuration first, then who is signed in, then the page. */

import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { lazy, type ReactNode, StrictMode, Suspense, use, useState } from "react";
import { createRoot } from "react-dom/client";
import "./app.css";
import { type AppConfig, loadConfig } from "./config.js";
import { texts } from "./messages.js";
import { Loading, Problem } from "./screens.js";
import { useSession } from "./session.js";
import { SignIn } from "./sign_in.js";

const SignedIn = lazy(() => import("./signed_in.js"));

type Start = { readonly config: AppConfig; readonly client: SupabaseClient } | null;

/** Null when the configuration cannot be read: that is a screen, not a crash. */
async function start(): Promise<Start> {
  try {
    const config = await loadConfig();
    return { config, client: createClient(config.supabaseUrl, config.supabasePublishableKey) };
  } catch {
    return null;
  }
}

/** Begun outside React: what a component begins before it first suspends would be begun again. */
const firstStart = start();

function App(): ReactNode {
  const [starting, setStarting] = useState(firstStart);
  const started = use(starting);
  if (started === null) {
    return (
      <Problem
        title={texts.startFailedTitle}
        note={texts.startFailedNote}
        action={texts.retry}
        onAction={() => setStarting(start())}
      />
    );
  }
  return <Page config={started.config} client={started.client} />;
}

function Page({ config, client }: { config: AppConfig; client: SupabaseClient }): ReactNode {
  const session = useSession(client);
  if (session === undefined) return <Loading />;
  if (session === null) return <SignIn client={client} hasDemoSignIns={config.mode === "mock"} />;
  const { user } = session;
  return (
    <SignedIn key={user.id} config={config} client={client} userId={user.id} email={user.email ?? user.id} />
  );
}

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <Suspense fallback={<Loading />}>
      <App />
    </Suspense>
  </StrictMode>,
);
