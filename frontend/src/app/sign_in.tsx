/** Signing in with e-mail and password. */

import { type AuthError, isAuthRetryableFetchError, type SupabaseClient } from "@supabase/supabase-js";
import { type FormEvent, type ReactNode, useState } from "react";
import { Button } from "../billing/ui/button.js";
import { TextField } from "../billing/ui/fields.js";
import { Mark } from "./mark.js";
import { texts } from "./messages.js";

/** The seed of the local stack (supabase/seed.sql) has these people. */
const DEMO_PASSWORD = "tallybase-demo";
const DEMO_PEOPLE = [
  { email: "owner@acme.test", role: texts.signIn.roles.owner },
  { email: "billing@acme.test", role: texts.signIn.roles.billing },
  { email: "member@acme.test", role: texts.signIn.roles.member },
  { email: "owner@globex.test", role: texts.signIn.roles.globex },
  { email: "operator@tallybase.test", role: texts.signIn.roles.operator },
];

export interface SignInProps {
  client: SupabaseClient;
  /** Shows the people of the seed; only where the seed is. */
  hasDemoSignIns: boolean;
}

/** The sign-in page. Success needs no handling here: the session changes. */
export function SignIn({ client, hasDemoSignIns }: SignInProps): ReactNode {
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const [isBusy, setIsBusy] = useState(false);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setIsBusy(true);
    setProblem(null);
    const { error } = await client.auth.signInWithPassword({ email: email.trim(), password });
    setIsBusy(false);
    if (error !== null) setProblem(describe(error));
  };
  return (
    <main className="mx-auto flex min-h-dvh max-w-sm flex-col justify-center px-4 py-10">
      <Mark />
      <form onSubmit={(event) => void submit(event)} className="mt-6 space-y-4 rounded-lg border bg-card p-6">
        <h1 className="text-lg font-semibold">{texts.signIn.title}</h1>
        <TextField
          label={texts.signIn.email}
          type="email"
          autoComplete="username"
          required
          value={email}
          onChange={(event) => setEmail(event.target.value)}
        />
        <TextField
          label={texts.signIn.password}
          type="password"
          autoComplete="current-password"
          required
          value={password}
          onChange={(event) => setPassword(event.target.value)}
        />
        {problem === null ? null : (
          <p role="alert" className="rounded-md bg-danger-soft px-3 py-2 text-sm text-danger">
            {problem}
          </p>
        )}
        <Button type="submit" variant="primary" className="w-full" disabled={isBusy}>
          {isBusy ? texts.signIn.submitting : texts.signIn.submit}
        </Button>
      </form>
      {hasDemoSignIns ? (
        <DemoSignIns
          onChoose={(chosen) => {
            setEmail(chosen);
            setPassword(DEMO_PASSWORD);
          }}
        />
      ) : null}
    </main>
  );
}

function DemoSignIns({ onChoose }: { onChoose: (email: string) => void }): ReactNode {
  return (
    <section className="mt-4 rounded-lg border border-dashed p-4 text-sm">
      <h2 className="font-medium">{texts.signIn.demoTitle}</h2>
      <p className="text-xs text-muted-foreground">{texts.signIn.demoNote(DEMO_PASSWORD)}</p>
      <ul className="mt-2 divide-y">
        {DEMO_PEOPLE.map((person) => (
          <li key={person.email}>
            <button
              type="button"
              onClick={() => onChoose(person.email)}
              className="flex w-full flex-wrap items-baseline justify-between gap-x-3 py-1.5 text-left hover:text-primary"
            >
              <span className="font-medium">{person.email}</span>
              <span className="text-xs text-muted-foreground">{person.role}</span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

function describe(error: AuthError): string {
  if (error.code === "invalid_credentials") return texts.signIn.wrong;
  return isAuthRetryableFetchError(error) ? texts.signIn.unreachable : texts.signIn.failed;
}
