/** Who belongs to an organization, as far as the person may see. */

import type { ReactNode } from "react";
import { useBilling, useDepartments, useMembers, useRights } from "../billing/index.js";
import { labelOf } from "../billing/labels.js";
import { Card } from "../billing/ui/card.js";
import { Badge } from "../billing/ui/feedback.js";
import { QueryState } from "../billing/ui/query_state.js";
import { Cell, type Column, Table } from "../billing/ui/table.js";
import { texts } from "./messages.js";

/** The Members section. */
export function Members(): ReactNode {
  const { format, messages, userId } = useBilling();
  const members = useMembers();
  const departments = useDepartments();
  const rights = useRights();
  const columns: Column[] = [
    { key: "member", label: texts.settings.member },
    { key: "role", label: texts.settings.role },
    { key: "department", label: texts.settings.department, isSecondary: true },
    { key: "since", label: texts.settings.since, isSecondary: true },
  ];
  const departmentName = (id: string | null) =>
    departments.data?.find((row) => row.id === id)?.name ?? texts.settings.noDepartment;
  return (
    <Card
      title={texts.settings.membersTitle}
      note={rights.data?.role === "member" ? messages.states.noPermissionMembers : undefined}
    >
      <QueryState query={members} skeletonLines={3}>
        {(rows) => (
          <Table caption={texts.settings.membersCaption} columns={columns}>
            {rows.map((row) => (
              <tr key={row.user_id}>
                <Cell isRowHeader className="text-left [overflow-wrap:anywhere]">
                  <code className="text-xs">{row.user_id}</code>{" "}
                  {row.user_id === userId ? <Badge>{texts.settings.you}</Badge> : null}
                </Cell>
                <Cell>{labelOf(texts.settings.roles, row.role)}</Cell>
                <Cell isSecondary>{departmentName(row.department_id)}</Cell>
                <Cell isSecondary>{format.date(row.created_at)}</Cell>
              </tr>
            ))}
          </Table>
        )}
      </QueryState>
    </Card>
  );
}
