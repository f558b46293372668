/** Copies a text and says whether that worked. */

import { type ReactNode, useState } from "react";
import { useMessages } from "../context.js";
import { Button } from "./button.js";

/** A button that puts `text` on the clipboard. */
export function CopyButton({ text, label }: { text: string; label: string }): ReactNode {
  const messages = useMessages();
  const [outcome, setOutcome] = useState<"copied" | "refused" | null>(null);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setOutcome("copied");
    } catch {
      setOutcome("refused");
    }
  };
  return (
    <>
      <Button variant="primary" onClick={() => void copy()}>
        {outcome === "copied" ? messages.states.copied : label}
      </Button>
      <span role="status" className="text-sm text-muted-foreground">
        {outcome === "refused" ? messages.states.copyFailed : ""}
      </span>
    </>
  );
}
