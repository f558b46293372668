/** What an organization is: name, id, departments. */

import type { ReactNode } from "react";
import { useBilling, useDepartments, useRights } from "../billing/index.js";
import { labelOf } from "../billing/labels.js";
import { Card } from "../billing/ui/card.js";
import { EmptyState } from "../billing/ui/feedback.js";
import { QueryState } from "../billing/ui/query_state.js";
import { texts } from "./messages.js";
import type { OrganizationRow } from "./organizations.js";

/** The General section. */
export function General({ organization }: { organization: OrganizationRow }): ReactNode {
  const { format } = useBilling();
  const rights = useRights();
  const role = rights.data?.role ?? null;
  return (
    <div className="space-y-4">
      <Card title={texts.settings.generalTitle}>
        <dl className="grid gap-x-8 gap-y-3 text-sm sm:grid-cols-2">
          <Fact label={texts.settings.name} value={organization.name} />
          <Fact
            label={texts.settings.id}
            value={<code className="text-xs">{organization.organization_id}</code>}
          />
          <Fact
            label={texts.settings.role}
            value={role === null ? texts.loading : labelOf(texts.settings.roles, role)}
          />
          <Fact label={texts.settings.created} value={format.date(organization.created_at)} />
        </dl>
      </Card>
      <Departments />
    </div>
  );
}

function Fact({ label, value }: { label: string; value: ReactNode }): ReactNode {
  return (
    <div className="min-w-0">
      <dt className="text-xs text-muted-foreground">{label}</dt>
      <dd className="mt-0.5 font-medium [overflow-wrap:anywhere]">{value}</dd>
    </div>
  );
}

function Departments(): ReactNode {
  const departments = useDepartments();
  return (
    <Card title={texts.settings.departmentsTitle} note={texts.settings.departmentsNote}>
      <QueryState
        query={departments}
        skeletonLines={2}
        isEmpty={(rows) => rows.length === 0}
        empty={<EmptyState title={texts.settings.departmentsNone} />}
      >
        {(rows) => (
          <ul className="divide-y text-sm">
            {rows.map((row) => (
              <li key={row.id} className="py-2">
                {row.name}
              </li>
            ))}
          </ul>
        )}
      </QueryState>
    </Card>
  );
}
