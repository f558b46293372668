/** The dialog in which somebody decides on a spend. */

import { type FormEvent, type ReactNode, useState } from "react";
import { useFormat, useMessages } from "../context.js";
import { describeError } from "../errors.js";
import { type ApprovalRow, useResolveApproval } from "../queries/approvals.js";
import { Button } from "../ui/button.js";
import { Dialog } from "../ui/dialog.js";
import { Notice } from "../ui/feedback.js";
import { Segmented, TextField } from "../ui/fields.js";
import { readAmountEntry } from "./amount_entry.js";
import { useWhat } from "./approvals.js";

const LEAST_ADDITIONAL = 1n;
const CHOICES = ["once", "widen", "reject"] as const;
type Choice = (typeof CHOICES)[number];

/** Approves once, approves with credits, or rejects. A decision is final. */
export function DecideApproval({
  approval,
  onClose,
}: {
  approval: ApprovalRow;
  onClose: () => void;
}): ReactNode {
  const messages = useMessages();
  const texts = messages.approvals;
  const format = useFormat();
  const resolve = useResolveApproval();
  const [choice, setChoice] = useState<Choice>("once");
  const [entry, setEntry] = useState(approval.required ?? "");
  const [isEntryWrong, setIsEntryWrong] = useState(false);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const additional = choice === "widen" ? readAmountEntry(entry, LEAST_ADDITIONAL) : null;
    const isWrong = choice === "widen" && additional === null;
    setIsEntryWrong(isWrong);
    if (!isWrong) {
      resolve.mutate({ id: approval.id, approve: choice !== "reject", additional }, { onSuccess: onClose });
    }
  };
  const needed = approval.required === null ? "?" : format.credits(approval.required);
  return (
    <Dialog
      title={texts.dialogTitle}
      description={texts.dialogNote(useWhat(approval), needed)}
      onClose={onClose}
    >
      <form onSubmit={submit} className="space-y-4">
        <Segmented
          label={texts.choice}
          value={choice}
          options={CHOICES.map((value) => ({ value, label: texts.choices[value] }))}
          onValueChange={(value) => setChoice(CHOICES.find((known) => known === value) ?? "once")}
        />
        <p className="text-sm text-muted-foreground">{texts.notes[choice]}</p>
        {choice === "widen" ? (
          <TextField
            label={texts.additionalLabel}
            value={entry}
            required
            inputMode="decimal"
            autoComplete="off"
            error={isEntryWrong ? texts.additionalInvalid : undefined}
            onChange={(event) => setEntry(event.target.value)}
          />
        ) : null}
        {resolve.error === null ? null : (
          <Notice tone="danger" isAlert>
            {describeError(resolve.error, messages)}
          </Notice>
        )}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>{messages.states.cancel}</Button>
          <Button
            type="submit"
            variant={choice === "reject" ? "danger" : "primary"}
            disabled={resolve.isPending}
          >
            {resolve.isPending ? texts.submitting : texts.submit[choice]}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
