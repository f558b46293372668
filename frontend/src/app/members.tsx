/** Who belongs to an organization, as far as the person may see. */

import { type ReactNode, useState } from "react";
import { describeError, useBilling, useDepartments, useMembers, useRights } from "../billing/index.js";
import { labelOf } from "../billing/labels.js";
import { Button } from "../billing/ui/button.js";
import { Card } from "../billing/ui/card.js";
import { Badge, Notice } from "../billing/ui/feedback.js";
import { SelectField } from "../billing/ui/fields.js";
import { QueryState } from "../billing/ui/query_state.js";
import { Cell, type Column, Table } from "../billing/ui/table.js";
import { EndMembership } from "./end_membership.js";
import { InviteMember } from "./invite_member.js";
import { texts } from "./messages.js";
import { OpenInvitations } from "./open_invitations.js";
import { ROLES, useSetMemberRole } from "./people.js";

/** The Members section. */
export function Members(): ReactNode {
  const { messages } = useBilling();
  const rights = useRights();
  const [isInviting, setIsInviting] = useState(false);
  const role = rights.data?.role ?? null;
  const canManage = role === "owner" || role === "admin";
  return (
    <>
      <Card
        title={texts.settings.membersTitle}
        note={role === "member" ? messages.states.noPermissionMembers : undefined}
        actions={
          canManage ? (
            <Button variant="primary" onClick={() => setIsInviting(true)}>
              {texts.people.invite}
            </Button>
          ) : undefined
        }
      >
        <MemberList role={role} canManage={canManage} />
      </Card>
      {canManage ? <OpenInvitations /> : null}
      {isInviting ? <InviteMember isOwner={role === "owner"} onClose={() => setIsInviting(false)} /> : null}
    </>
  );
}

function MemberList({ role, canManage }: { role: string | null; canManage: boolean }): ReactNode {
  const { messages } = useBilling();
  const members = useMembers();
  const change = useSetMemberRole();
  const [ending, setEnding] = useState<string | null>(null);
  const columns: Column[] = [
    { key: "member", label: texts.settings.member },
    { key: "role", label: texts.settings.role },
    { key: "department", label: texts.settings.department, isSecondary: true },
    { key: "since", label: texts.settings.since, isSecondary: true },
    { key: "actions", label: texts.people.actions, isLabelHidden: true },
  ];
  return (
    <>
      <QueryState query={members} skeletonLines={3}>
        {(rows) => (
          <Table caption={texts.settings.membersCaption} columns={columns}>
            {rows.map((row) => (
              <Member
                key={row.user_id}
                row={row}
                mayChange={canManage && (role === "owner" || row.role !== "owner")}
                mayMakeOwners={role === "owner"}
                onChange={(wanted) => change.mutate({ userId: row.user_id, ...wanted })}
                onEnd={() => setEnding(row.user_id)}
              />
            ))}
          </Table>
        )}
      </QueryState>
      {change.error === null ? null : (
        <Notice tone="danger" isAlert>
          {describeError(change.error, messages)}
        </Notice>
      )}
      {ending === null ? null : <EndMembership whom={ending} onClose={() => setEnding(null)} />}
    </>
  );
}

interface MemberProps {
  row: { user_id: string; role: string; department_id: string | null; created_at: string };
  mayChange: boolean;
  mayMakeOwners: boolean;
  onChange: (wanted: { role: string; departmentId: string | null }) => void;
  onEnd: () => void;
}

function Member({ row, mayChange, mayMakeOwners, onChange, onEnd }: MemberProps): ReactNode {
  const { format, userId } = useBilling();
  const departments = useDepartments();
  const isSelf = row.user_id === userId;
  const departmentName =
    departments.data?.find((department) => department.id === row.department_id)?.name ??
    texts.settings.noDepartment;
  return (
    <tr>
      <Cell isRowHeader className="text-left [overflow-wrap:anywhere]">
        <code className="text-xs">{row.user_id}</code> {isSelf ? <Badge>{texts.settings.you}</Badge> : null}
      </Cell>
      <Cell isControl={mayChange}>
        {mayChange ? (
          <SelectField
            label={texts.people.roleOf(row.user_id)}
            isLabelHidden
            value={row.role}
            options={ROLES.filter((value) => mayMakeOwners || value !== "owner").map((value) => ({
              value,
              label: labelOf(texts.settings.roles, value),
            }))}
            onValueChange={(value) => onChange({ role: value, departmentId: row.department_id })}
          />
        ) : (
          labelOf(texts.settings.roles, row.role)
        )}
      </Cell>
      <Cell isSecondary isControl={mayChange}>
        {mayChange ? (
          <SelectField
            label={texts.people.departmentOf(row.user_id)}
            isLabelHidden
            value={row.department_id ?? ""}
            options={[
              { value: "", label: texts.people.boundToNone },
              ...(departments.data ?? []).map((department) => ({
                value: department.id,
                label: department.name,
              })),
            ]}
            onValueChange={(value) => onChange({ role: row.role, departmentId: value === "" ? null : value })}
          />
        ) : (
          departmentName
        )}
      </Cell>
      <Cell isSecondary>{format.date(row.created_at)}</Cell>
      <Cell isNumeric isControl>
        {isSelf ? (
          <Button variant="quiet" onClick={onEnd}>
            {texts.people.leave}
          </Button>
        ) : mayChange ? (
          <Button variant="danger" aria-label={texts.people.removeLabel(row.user_id)} onClick={onEnd}>
            {texts.people.remove}
          </Button>
        ) : null}
      </Cell>
    </tr>
  );
}
