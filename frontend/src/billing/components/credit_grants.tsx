/** `CreditGrants`: what is left of each grant, where it came from, when it ends and what of it rolls over. */

import type { ReactNode } from "react";
import { useFormat, useMessages } from "../context.js";
import { labelOf } from "../labels.js";
import { useDepartments } from "../queries/membership.js";
import { GRANTS_SHOWN, type GrantRow, useOpenGrants } from "../queries/outlook.js";
import { Card } from "../ui/card.js";
import { EmptyState } from "../ui/feedback.js";
import { QueryState } from "../ui/query_state.js";
import { Cell, type Column, Table } from "../ui/table.js";

/** The organization's open grants, in the order in which they are used. */
export function CreditGrants({ className = "" }: { className?: string }): ReactNode {
  const { grants: texts } = useMessages();
  const format = useFormat();
  const columns: Column[] = [
    { key: "origin", label: texts.origin },
    { key: "ends", label: texts.ends },
    { key: "left", label: texts.left, isNumeric: true },
  ];
  return (
    <Card title={texts.title} note={texts.intro} className={className}>
      <QueryState
        query={useOpenGrants()}
        skeletonLines={3}
        isEmpty={(rows) => rows.length === 0}
        empty={<EmptyState title={texts.empty} note={texts.emptyNote} />}
      >
        {(rows) => (
          <>
            <Table caption={texts.caption} columns={columns}>
              {rows.slice(0, GRANTS_SHOWN).map((row) => (
                <Grant key={row.id} grant={row} />
              ))}
            </Table>
            {rows.length > GRANTS_SHOWN ? (
              <p className="mt-2 text-xs text-muted-foreground">{texts.more(format.count(GRANTS_SHOWN))}</p>
            ) : null}
          </>
        )}
      </QueryState>
    </Card>
  );
}

function Grant({ grant }: { grant: GrantRow }): ReactNode {
  const { grants: texts } = useMessages();
  const format = useFormat();
  const ends = grant.periodEndsAt ?? grant.expiresAt;
  return (
    <tr>
      <Cell isRowHeader className="text-left">
        <span className="font-medium">{labelOf(texts.sources, grant.source)}</span>
        {useGrantNotes(grant).map((note) => (
          <span key={note} className="block text-xs text-muted-foreground [overflow-wrap:anywhere]">
            {note}
          </span>
        ))}
      </Cell>
      <Cell>
        {ends === null ? texts.never : format.date(ends)}
        {grant.periodEndsAt === null ? null : (
          <span className="block text-xs text-muted-foreground">
            {grant.rolloverCap === null || grant.rolloverCap === 0n
              ? texts.rollsNone
              : texts.rolls(format.credits(grant.rolloverCap))}
          </span>
        )}
      </Cell>
      <Cell isNumeric>
        {texts.leftOf(format.credits(grant.remaining), format.credits(grant.amount))}
        {grant.held === 0n ? null : (
          <span className="block text-xs text-muted-foreground">
            {texts.heldOf(format.credits(grant.held))}
          </span>
        )}
      </Cell>
    </tr>
  );
}

function useGrantNotes(grant: GrantRow): string[] {
  const { grants: texts } = useMessages();
  const format = useFormat();
  const departments = useDepartments();
  const { periodStart, periodEndsAt, departmentId, agentTypes } = grant;
  const department = departments.data?.find((row) => row.id === departmentId);
  return [
    ...(grant.isStarted ? [] : [texts.startsAt(format.dateTime(grant.effectiveAt))]),
    ...(periodStart === null || periodEndsAt === null
      ? []
      : [texts.period(format.date(periodStart), format.date(periodEndsAt))]),
    ...(departmentId === null ? [] : [texts.scopeDepartment(department?.name ?? departmentId.slice(0, 8))]),
    ...(agentTypes === null ? [] : [texts.scopeAgents(agentTypes.join(", "))]),
  ];
}
