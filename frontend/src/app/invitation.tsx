/** Where an invitation's link leads: says what it is, and accepts it when the person says so. */

import type { SupabaseClient } from "@supabase/supabase-js";
import { type ReactNode, useState } from "react";
import { BillingError, describeError, english } from "../billing/index.js";
import { Button } from "../billing/ui/button.js";
import { navigate, organizationPath } from "./location.js";
import { texts } from "./messages.js";
import { useAcceptInvitation } from "./people.js";

export interface InvitationProps {
  client: SupabaseClient;
  email: string;
}

/** The invitation in the address's fragment, which is sent to no server. */
export function Invitation({ client, email }: InvitationProps): ReactNode {
  const [token] = useState(() => window.location.hash.slice(1));
  const accept = useAcceptInvitation(client);
  const join = () =>
    accept.mutate(token, {
      onSuccess: (organizationId) => navigate(organizationPath(organizationId ?? "", "billing"), true),
    });
  return (
    <section className="mx-auto max-w-md space-y-4 rounded-lg border bg-card p-6">
      <h1 className="text-lg font-semibold">{texts.invitation.title}</h1>
      <p className="text-sm text-muted-foreground">{texts.invitation.note(email)}</p>
      {accept.error === null ? null : (
        <p role="alert" className="text-sm text-danger">
          {problemOf(accept.error)}
        </p>
      )}
      <div className="flex gap-2">
        <Button variant="primary" disabled={accept.isPending || token === ""} onClick={join}>
          {accept.isPending ? texts.invitation.accepting : texts.invitation.accept}
        </Button>
        <Button variant="quiet" onClick={() => navigate("/", true)}>
          {texts.invitation.later}
        </Button>
      </div>
    </section>
  );
}

function problemOf(error: unknown): string {
  if (error instanceof BillingError && error.slug === "not_found") return texts.invitation.unknown;
  if (error instanceof BillingError && error.slug === "conflict") return texts.invitation.alreadyMember;
  return describeError(error, english);
}
