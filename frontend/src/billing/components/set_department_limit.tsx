/** The dialog that sets a department's limit. */

import { type FormEvent, type ReactNode, useState } from "react";
import { useMessages } from "../context.js";
import { creditsToText } from "../credits.js";
import { describeError } from "../errors.js";
import { type DepartmentLimitRow, useSetDepartmentLimit } from "../queries/limits.js";
import { Button } from "../ui/button.js";
import { Dialog } from "../ui/dialog.js";
import { Notice } from "../ui/feedback.js";
import { SelectField, TextField } from "../ui/fields.js";
import { readAmountEntry } from "./amount_entry.js";

const LEAST_LIMIT = 0n;

export interface SetDepartmentLimitProps {
  departments: readonly { readonly id: string; readonly name: string }[];
  /** The limit to change; null to set another. */
  present: DepartmentLimitRow | null;
  onClose: () => void;
}

/** Sets a limit for one department and window. */
export function SetDepartmentLimit({ departments, present, onClose }: SetDepartmentLimitProps): ReactNode {
  const messages = useMessages();
  const texts = messages.limits;
  const save = useSetDepartmentLimit();
  const [departmentId, setDepartmentId] = useState(present?.departmentId ?? departments[0]?.id ?? "");
  const [spendWindow, setSpendWindow] = useState(present?.window ?? "month");
  const [mode, setMode] = useState(present?.mode ?? "hard");
  const [entry, setEntry] = useState(present === null ? "" : creditsToText(present.amount));
  const [isEntryWrong, setIsEntryWrong] = useState(false);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const amount = readAmountEntry(entry, LEAST_LIMIT);
    setIsEntryWrong(amount === null);
    if (amount !== null)
      save.mutate({ departmentId, amount, window: spendWindow, mode }, { onSuccess: onClose });
  };
  return (
    <Dialog title={texts.dialogTitle} description={texts.dialogNote} onClose={onClose}>
      <form onSubmit={submit} className="space-y-4">
        <SelectField
          label={texts.department}
          value={departmentId}
          disabled={present !== null}
          options={departments.map((row) => ({ value: row.id, label: row.name }))}
          onValueChange={setDepartmentId}
        />
        <div className="grid gap-4 sm:grid-cols-2">
          <TextField
            label={texts.amountLabel}
            value={entry}
            required
            inputMode="decimal"
            autoComplete="off"
            error={isEntryWrong ? texts.amountInvalid : undefined}
            onChange={(event) => setEntry(event.target.value)}
          />
          <SelectField
            label={texts.window}
            value={spendWindow}
            disabled={present !== null}
            options={options(texts.windows)}
            onValueChange={setSpendWindow}
          />
        </div>
        <SelectField label={texts.mode} value={mode} options={options(texts.modes)} onValueChange={setMode} />
        {save.error === null ? null : (
          <Notice tone="danger" isAlert>
            {describeError(save.error, messages)}
          </Notice>
        )}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>{messages.states.cancel}</Button>
          <Button type="submit" variant="primary" disabled={save.isPending}>
            {save.isPending ? texts.submitting : texts.submit}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function options(labels: Readonly<Record<string, string>>): { value: string; label: string }[] {
  return Object.entries(labels).map(([value, label]) => ({ value, label }));
}
