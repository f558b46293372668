/** The dialog that creates an agent key and shows it this once. */

import { type FormEvent, type ReactNode, useState } from "react";
import { useMessages } from "../context.js";
import { describeError } from "../errors.js";
import { useCreateAgentKey } from "../queries/keys.js";
import { useDepartments } from "../queries/membership.js";
import { Button } from "../ui/button.js";
import { CopyButton } from "../ui/copy_button.js";
import { Dialog } from "../ui/dialog.js";
import { Notice } from "../ui/feedback.js";
import { SecretField, SelectField, TextField } from "../ui/fields.js";
import { readAmountEntry } from "./amount_entry.js";

const LEAST_LIMIT = 1n;
const MAX_NAME_LENGTH = 200;

/** First the form, then the key. While the key is shown, only its own button closes the dialog. */
export function CreateAgentKey({ onClose }: { onClose: () => void }): ReactNode {
  const { keys: texts } = useMessages();
  const create = useCreateAgentKey();
  if (create.data !== undefined) {
    return (
      <Dialog
        title={texts.createdTitle}
        description={texts.createdNote}
        isEasyToClose={false}
        onClose={onClose}
      >
        <ShownKey agentKey={create.data} onClose={onClose} />
      </Dialog>
    );
  }
  return (
    <Dialog title={texts.createTitle} description={texts.createNote} onClose={onClose}>
      <KeyForm create={create} />
    </Dialog>
  );
}

function ShownKey({ agentKey, onClose }: { agentKey: string; onClose: () => void }): ReactNode {
  const { keys: texts } = useMessages();
  return (
    <div className="space-y-4">
      <SecretField label={texts.keyLabel} value={agentKey} />
      <div className="flex flex-wrap items-center justify-end gap-2">
        <CopyButton text={agentKey} label={texts.copyKey} />
        <Button onClick={onClose}>{texts.done}</Button>
      </div>
    </div>
  );
}

function KeyForm({ create }: { create: ReturnType<typeof useCreateAgentKey> }): ReactNode {
  const messages = useMessages();
  const texts = messages.keys;
  const departments = useDepartments();
  const [name, setName] = useState("");
  const [departmentId, setDepartmentId] = useState("");
  const [limit, setLimit] = useState("");
  const [spendWindow, setSpendWindow] = useState("month");
  const [isLimitWrong, setIsLimitWrong] = useState(false);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const spendLimit = limit.trim() === "" ? null : readAmountEntry(limit, LEAST_LIMIT);
    const isWrong = spendLimit === null && limit.trim() !== "";
    setIsLimitWrong(isWrong);
    if (isWrong) return;
    create.mutate({
      name: name.trim(),
      departmentId: departmentId === "" ? null : departmentId,
      spendLimit,
      spendWindow,
    });
  };
  return (
    <form onSubmit={submit} className="space-y-4">
      <TextField
        label={texts.nameLabel}
        hint={texts.nameHint}
        value={name}
        required
        maxLength={MAX_NAME_LENGTH}
        autoComplete="off"
        onChange={(event) => setName(event.target.value)}
      />
      <SelectField
        label={texts.departmentLabel}
        value={departmentId}
        options={[
          { value: "", label: texts.wholeOrganization },
          ...(departments.data ?? []).map((row) => ({ value: row.id, label: row.name })),
        ]}
        onValueChange={setDepartmentId}
      />
      <div className="grid gap-4 sm:grid-cols-2">
        <TextField
          label={texts.limitLabel}
          value={limit}
          inputMode="decimal"
          autoComplete="off"
          error={isLimitWrong ? texts.limitInvalid : undefined}
          onChange={(event) => setLimit(event.target.value)}
        />
        <SelectField
          label={texts.windowLabel}
          value={spendWindow}
          options={Object.entries(texts.windowNames).map(([value, label]) => ({ value, label }))}
          onValueChange={setSpendWindow}
        />
      </div>
      {create.error === null ? null : (
        <Notice tone="danger" isAlert>
          {describeError(create.error, messages)}
        </Notice>
      )}
      <div className="flex justify-end">
        <Button type="submit" variant="primary" disabled={create.isPending || name.trim() === ""}>
          {create.isPending ? texts.submitting : texts.submit}
        </Button>
      </div>
    </form>
  );
}
