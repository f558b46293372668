/** The dialog that invites somebody by mail. */

import { type FormEvent, type ReactNode, useState } from "react";
import { describeError, useBilling, useDepartments } from "../billing/index.js";
import { labelOf } from "../billing/labels.js";
import { Button } from "../billing/ui/button.js";
import { Dialog } from "../billing/ui/dialog.js";
import { Notice } from "../billing/ui/feedback.js";
import { SelectField, TextField } from "../billing/ui/fields.js";
import { texts } from "./messages.js";
import { ROLES, useInvite } from "./people.js";

const MAX_EMAIL_LENGTH = 320;

export interface InviteMemberProps {
  /** Whether the person may invite an owner. */
  isOwner: boolean;
  onClose: () => void;
}

/** Asks for an address and what its holder is to be. */
export function InviteMember({ isOwner, onClose }: InviteMemberProps): ReactNode {
  const { messages } = useBilling();
  const departments = useDepartments();
  const invite = useInvite();
  const [email, setEmail] = useState("");
  const [role, setRole] = useState("member");
  const [departmentId, setDepartmentId] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    invite.mutate(
      { email: email.trim(), role, departmentId: departmentId === "" ? null : departmentId },
      { onSuccess: onClose },
    );
  };
  return (
    <Dialog title={texts.people.inviteTitle} description={texts.people.inviteNote} onClose={onClose}>
      <form onSubmit={submit} className="space-y-4">
        <TextField
          label={texts.people.email}
          type="email"
          value={email}
          required
          maxLength={MAX_EMAIL_LENGTH}
          autoComplete="off"
          onChange={(event) => setEmail(event.target.value)}
        />
        <SelectField
          label={texts.settings.role}
          value={role}
          options={ROLES.filter((value) => isOwner || value !== "owner").map((value) => ({
            value,
            label: labelOf(texts.settings.roles, value),
          }))}
          onValueChange={setRole}
        />
        <SelectField
          label={texts.settings.department}
          value={departmentId}
          options={[
            { value: "", label: texts.people.boundToNone },
            ...(departments.data ?? []).map((row) => ({ value: row.id, label: row.name })),
          ]}
          onValueChange={setDepartmentId}
        />
        {invite.error === null ? null : (
          <Notice tone="danger" isAlert>
            {describeError(invite.error, messages)}
          </Notice>
        )}
        <div className="flex justify-end">
          <Button type="submit" variant="primary" disabled={invite.isPending || email.trim() === ""}>
            {invite.isPending ? texts.people.sending : texts.people.send}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
