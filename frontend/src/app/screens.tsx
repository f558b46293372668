/** Whole-page states: waiting, and something that keeps the page from going on. */

import type { ReactNode } from "react";
import { Button } from "../billing/ui/button.js";
import { texts } from "./messages.js";

/** The page while it finds out what to show. */
export function Loading(): ReactNode {
  return (
    <main className="grid min-h-dvh place-items-center text-sm text-muted-foreground">
      <p role="status">{texts.loading}</p>
    </main>
  );
}

export interface ProblemProps {
  title: string;
  note: string;
  action: string;
  onAction: () => void;
}

/** The page when it cannot go on, with the one thing to do about it. */
export function Problem({ title, note, action, onAction }: ProblemProps): ReactNode {
  return (
    <main className="mx-auto max-w-md px-4 py-24">
      <div role="alert" className="rounded-lg border bg-card p-6">
        <h1 className="text-lg font-semibold">{title}</h1>
        <p className="mt-2 text-sm text-muted-foreground">{note}</p>
        <div className="mt-4">
          <Button variant="primary" onClick={onAction}>
            {action}
          </Button>
        </div>
      </div>
    </main>
  );
}
