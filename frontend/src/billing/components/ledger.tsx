/** `Ledger`: every movement of credits with the balance after it, and a consumption's receipt on demand. */

import { Fragment, type ReactNode, useState } from "react";
import { useBilling, useFormat, useMessages } from "../context.js";
import { labelOf } from "../labels.js";
import { type LedgerRow, useLedger } from "../queries/ledger.js";
import { useRights } from "../queries/membership.js";
import { Button } from "../ui/button.js";
import { Card } from "../ui/card.js";
import { EmptyState } from "../ui/feedback.js";
import { QueryState } from "../ui/query_state.js";
import { Cell, type Column, ControlBelow, Table } from "../ui/table.js";
import { useGroupName } from "./group_names.js";
import { LedgerDetails } from "./ledger_details.js";

const RECENT_ROWS = 5;
const PAGE_ROWS = 25;

export interface LedgerProps {
  /** Shows the newest few rows alone. */
  isCompact?: boolean;
  actions?: ReactNode;
  className?: string;
}

/** The organization's ledger, or as much of it as the person may see. */
export function Ledger({ isCompact = false, actions, className = "" }: LedgerProps): ReactNode {
  const messages = useMessages();
  const texts = messages.ledger;
  const rights = useRights();
  const ledger = useLedger(isCompact ? RECENT_ROWS : PAGE_ROWS);
  const isOwnOnly = rights.data !== undefined && !rights.data.canSeeMoney;
  return (
    <Card
      title={isCompact ? messages.dashboard.recentActivity : texts.title}
      actions={actions}
      className={className}
      note={isOwnOnly ? messages.usage.ownOnly : undefined}
    >
      <QueryState
        query={ledger}
        skeletonLines={5}
        isEmpty={(rows) => rows.length === 0}
        empty={<EmptyState title={texts.empty} note={texts.emptyNote} />}
      >
        {(rows) => (
          <>
            <LedgerTable rows={isCompact ? rows.slice(0, RECENT_ROWS) : rows} hasDetails={!isCompact} />
            {!isCompact && ledger.hasNextPage ? (
              <div className="mt-3 text-center">
                <Button onClick={() => void ledger.fetchNextPage()} disabled={ledger.isFetchingNextPage}>
                  {ledger.isFetchingNextPage ? texts.loadingMore : texts.more}
                </Button>
              </div>
            ) : null}
          </>
        )}
      </QueryState>
    </Card>
  );
}

function LedgerTable({ rows, hasDetails }: { rows: readonly LedgerRow[]; hasDetails: boolean }): ReactNode {
  const { ledger: texts } = useMessages();
  const [openId, setOpenId] = useState<string | null>(null);
  const columns: Column[] = [
    { key: "when", label: texts.when, isSecondary: true },
    { key: "what", label: texts.what },
    { key: "who", label: texts.who, isSecondary: true },
    { key: "amount", label: texts.amount, isNumeric: true },
    { key: "balance", label: texts.balanceAfter, isNumeric: true, isSecondary: true },
    ...(hasDetails ? [{ key: "details", label: texts.details, isLabelHidden: true, isSecondary: true }] : []),
  ];
  return (
    <Table caption={texts.caption} columns={columns}>
      {rows.map((row) => (
        <Fragment key={row.id}>
          <LedgerEntry
            row={row}
            isOpen={openId === row.id}
            onToggle={hasDetails ? () => setOpenId(openId === row.id ? null : row.id) : undefined}
          />
          {openId === row.id ? (
            <tr>
              <td colSpan={columns.length} className="pb-4">
                <LedgerDetails row={row} />
              </td>
            </tr>
          ) : null}
        </Fragment>
      ))}
    </Table>
  );
}

interface LedgerEntryProps {
  row: LedgerRow;
  isOpen: boolean;
  onToggle: (() => void) | undefined;
}

function LedgerEntry({ row, isOpen, onToggle }: LedgerEntryProps): ReactNode {
  const { ledger: texts } = useMessages();
  const format = useFormat();
  const kind = labelOf(texts.kinds, row.kind);
  const isAction = row.agent_type !== null && row.action !== null;
  const balanceAfter = format.credits(row.balance_after);
  const toggle =
    onToggle === undefined ? null : (
      <Button variant="quiet" className="px-2" aria-expanded={isOpen} onClick={onToggle}>
        {isOpen ? texts.hideDetails : texts.details}
      </Button>
    );
  return (
    <tr>
      <Cell isSecondary className="whitespace-nowrap text-muted-foreground">
        <time dateTime={row.created_at}>{format.dateTime(row.created_at)}</time>
      </Cell>
      <Cell isRowHeader className="min-w-0 text-left [overflow-wrap:anywhere]">
        <span className="font-medium">
          {isAction ? texts.action(row.agent_type ?? "", row.action ?? "") : kind}
        </span>
        {isAction && row.kind !== "consume" ? (
          <span className="block text-xs text-muted-foreground">{kind}</span>
        ) : null}
        <span className="block text-xs text-muted-foreground sm:hidden">
          {format.dateTime(row.created_at)}
        </span>
        {toggle === null ? null : <ControlBelow>{toggle}</ControlBelow>}
      </Cell>
      <Cell isSecondary className="text-muted-foreground">
        {useActor(row)}
      </Cell>
      <Cell isNumeric className={`whitespace-nowrap ${row.amount.startsWith("-") ? "" : "text-success"}`}>
        {format.signedCredits(row.amount)}
        <span className="block text-xs text-muted-foreground sm:hidden">{balanceAfter}</span>
      </Cell>
      <Cell isNumeric isSecondary className="whitespace-nowrap">
        {balanceAfter}
      </Cell>
      {toggle === null ? null : (
        <Cell isNumeric isControl isSecondary>
          {toggle}
        </Cell>
      )}
    </tr>
  );
}

/** Who moved the credits: a key by its name, a person, or the system. */
function useActor(row: LedgerRow): string {
  const { userId } = useBilling();
  const { ledger: texts } = useMessages();
  const nameOf = useGroupName();
  if (row.agent_key_id !== null) return nameOf("agent_key", row.agent_key_id);
  if (row.user_id === null) return texts.system;
  return row.user_id === userId ? texts.you : nameOf("member", row.user_id);
}
