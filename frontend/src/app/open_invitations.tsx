/** Invitations that wait for an answer, for those who may withdraw them. */

import type { ReactNode } from "react";
import { describeError, useBilling } from "../billing/index.js";
import { labelOf } from "../billing/labels.js";
import { Button } from "../billing/ui/button.js";
import { Card } from "../billing/ui/card.js";
import { EmptyState, Notice } from "../billing/ui/feedback.js";
import { QueryState } from "../billing/ui/query_state.js";
import { Cell, Table } from "../billing/ui/table.js";
import { texts } from "./messages.js";
import { useOpenInvitations, useWithdrawInvitation } from "./people.js";

/** The Open invitations card. */
export function OpenInvitations(): ReactNode {
  const { format, messages } = useBilling();
  const invitations = useOpenInvitations();
  const withdraw = useWithdrawInvitation();
  return (
    <Card title={texts.people.openTitle} className="mt-4">
      <QueryState
        query={invitations}
        skeletonLines={1}
        isEmpty={(rows) => rows.length === 0}
        empty={<EmptyState title={texts.people.openNone} />}
      >
        {(rows) => (
          <Table
            caption={texts.people.openTitle}
            columns={[
              { key: "email", label: texts.people.email },
              { key: "role", label: texts.settings.role },
              { key: "until", label: texts.people.until, isSecondary: true },
              { key: "actions", label: texts.people.actions, isLabelHidden: true },
            ]}
          >
            {rows.map((row) => (
              <tr key={row.id}>
                <Cell isRowHeader className="text-left [overflow-wrap:anywhere]">
                  {row.email}
                </Cell>
                <Cell>{labelOf(texts.settings.roles, row.role)}</Cell>
                <Cell isSecondary>{format.date(row.expires_at)}</Cell>
                <Cell isNumeric isControl>
                  <Button
                    variant="danger"
                    aria-label={texts.people.withdrawLabel(row.email)}
                    disabled={withdraw.isPending}
                    onClick={() => withdraw.mutate(row.id)}
                  >
                    {texts.people.withdraw}
                  </Button>
                </Cell>
              </tr>
            ))}
          </Table>
        )}
      </QueryState>
      {withdraw.error === null ? null : (
        <Notice tone="danger" isAlert>
          {describeError(withdraw.error, messages)}
        </Notice>
      )}
    </Card>
  );
}
