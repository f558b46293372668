/** What a person without an organization sees: a way to create one. */

import type { SupabaseClient } from "@supabase/supabase-js";
import { type FormEvent, type ReactNode, useState } from "react";
import { describeError, english } from "../billing/index.js";
import { Button } from "../billing/ui/button.js";
import { TextField } from "../billing/ui/fields.js";
import { texts } from "./messages.js";
import { useCreateOrganization } from "./organizations.js";

const MAX_NAME_LENGTH = 200;

/** The form that creates an organization; the list of organizations changes when it succeeds. */
export function NewOrganization({ client }: { client: SupabaseClient }): ReactNode {
  const create = useCreateOrganization(client);
  const [name, setName] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    create.mutate(name.trim());
  };
  return (
    <form onSubmit={submit} className="mx-auto max-w-md space-y-4 rounded-lg border bg-card p-6">
      <h1 className="text-lg font-semibold">{texts.organizations.noneTitle}</h1>
      <p className="text-sm text-muted-foreground">{texts.organizations.noneNote}</p>
      <TextField
        label={texts.organizations.name}
        value={name}
        required
        maxLength={MAX_NAME_LENGTH}
        autoComplete="organization"
        onChange={(event) => setName(event.target.value)}
      />
      {create.error === null ? null : (
        <p role="alert" className="text-sm text-danger">
          {describeError(create.error, english)}
        </p>
      )}
      <Button type="submit" variant="primary" disabled={create.isPending || name.trim() === ""}>
        {create.isPending ? texts.organizations.creating : texts.organizations.create}
      </Button>
    </form>
  );
}
