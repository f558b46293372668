/** The bar at the top: product, organization switcher, who is signed in. */

import type { ReactNode } from "react";
import { Button } from "../billing/ui/button.js";
import { SelectField } from "../billing/ui/fields.js";
import { navigate, OPERATIONS_PATH, organizationPath } from "./location.js";
import { Mark } from "./mark.js";
import { texts } from "./messages.js";
import type { OrganizationRow } from "./organizations.js";

export interface HeaderProps {
  organizations: readonly OrganizationRow[];
  current: OrganizationRow | undefined;
  email: string;
  /** The place of those who run the platform: out of sight for everybody else. */
  operations: "hidden" | "elsewhere" | "here";
  onSignOut: () => void;
}

/** The header of every signed-in page. */
export function Header({ organizations, current, email, operations, onSignOut }: HeaderProps): ReactNode {
  return (
    <header className="border-b bg-card">
      <div className="mx-auto flex max-w-6xl flex-wrap items-center gap-x-4 gap-y-2 px-4 py-2.5">
        <Mark />
        {current === undefined ? null : (
          <SelectField
            label={texts.header.organization}
            isLabelHidden
            className="max-w-full"
            value={current.organization_id}
            options={organizations.map((row) => ({ value: row.organization_id, label: row.name }))}
            onValueChange={(organizationId) => navigate(organizationPath(organizationId, "billing"))}
          />
        )}
        {operations === "elsewhere" ? (
          <Button variant="quiet" onClick={() => navigate(OPERATIONS_PATH)}>
            {texts.header.operations}
          </Button>
        ) : null}
        {operations === "here" && current !== undefined ? (
          <Button
            variant="quiet"
            onClick={() => navigate(organizationPath(current.organization_id, "billing"))}
          >
            {texts.header.backToOrganization}
          </Button>
        ) : null}
        <div className="ml-auto flex min-w-0 flex-wrap items-center gap-x-3">
          <span className="truncate text-sm text-muted-foreground" title={texts.header.signedInAs(email)}>
            {email}
          </span>
          <Button variant="quiet" onClick={onSignOut}>
            {texts.header.signOut}
          </Button>
        </div>
      </div>
    </header>
  );
}
