/** `Approvals`: spends that a limit has stopped, and deciding on them. */

import { type ReactNode, useState } from "react";
import { useBilling, useFormat, useMessages } from "../context.js";
import { labelOf } from "../labels.js";
import { type ApprovalRow, useDecidedApprovals, usePendingApprovals } from "../queries/approvals.js";
import { useRights } from "../queries/membership.js";
import { Button } from "../ui/button.js";
import { Card } from "../ui/card.js";
import { Badge, EmptyState, type Tone } from "../ui/feedback.js";
import { QueryState } from "../ui/query_state.js";
import { Cell, type Column, ControlBelow, Table } from "../ui/table.js";
import { DecideApproval } from "./decide_approval.js";

const DECIDED_SHOWN = 5;
const TONES: Readonly<Record<string, Tone>> = { approved: "success", rejected: "danger" };

/** What waits, for those who decide and for those who asked; and what was decided last. */
export function Approvals({ className = "" }: { className?: string }): ReactNode {
  const { approvals: texts } = useMessages();
  const rights = useRights();
  const [deciding, setDeciding] = useState<ApprovalRow | null>(null);
  const canDecide = rights.data?.canApprove ?? false;
  const isNarrowed = rights.data?.canSeeMoney === false;
  return (
    <Card title={texts.title} note={isNarrowed ? texts.ownOnly : texts.intro} className={className}>
      <Waiting onDecide={canDecide ? setDeciding : undefined} />
      <Decided />
      {deciding === null ? null : <DecideApproval approval={deciding} onClose={() => setDeciding(null)} />}
    </Card>
  );
}

function Waiting({ onDecide }: { onDecide: ((approval: ApprovalRow) => void) | undefined }): ReactNode {
  const { approvals: texts } = useMessages();
  const columns: Column[] = [
    { key: "what", label: texts.what },
    { key: "who", label: texts.who, isSecondary: true },
    { key: "asked", label: texts.asked, isSecondary: true },
    { key: "needed", label: texts.needed, isNumeric: true },
    ...(onDecide === undefined
      ? []
      : [{ key: "actions", label: texts.actions, isLabelHidden: true, isNumeric: true, isSecondary: true }]),
  ];
  return (
    <QueryState
      query={usePendingApprovals()}
      skeletonLines={2}
      isEmpty={(rows) => rows.length === 0}
      empty={<EmptyState title={texts.empty} note={texts.emptyNote} />}
    >
      {(rows) => (
        <Table caption={texts.caption} columns={columns}>
          {rows.map((row) => (
            <WaitingRow key={row.id} approval={row} onDecide={onDecide} />
          ))}
        </Table>
      )}
    </QueryState>
  );
}

function WaitingRow({
  approval,
  onDecide,
}: {
  approval: ApprovalRow;
  onDecide: ((approval: ApprovalRow) => void) | undefined;
}): ReactNode {
  const { approvals: texts } = useMessages();
  const format = useFormat();
  const what = useWhat(approval);
  const decide =
    onDecide === undefined ? null : (
      <Button
        variant="quiet"
        className="px-2"
        aria-label={texts.decideLabel(what)}
        onClick={() => onDecide(approval)}
      >
        {texts.decide}
      </Button>
    );
  return (
    <tr>
      <Cell isRowHeader className="text-left [overflow-wrap:anywhere]">
        <span className="font-medium">{what}</span>
        <Context approval={approval} />
        {decide === null ? null : <ControlBelow>{decide}</ControlBelow>}
      </Cell>
      <Cell isSecondary>{useWho(approval)}</Cell>
      <Cell isSecondary className="whitespace-nowrap">
        <time dateTime={approval.created_at}>{format.dateTime(approval.created_at)}</time>
      </Cell>
      <Cell isNumeric>{approval.required === null ? "" : format.credits(approval.required)}</Cell>
      {decide === null ? null : (
        <Cell isNumeric isControl isSecondary>
          {decide}
        </Cell>
      )}
    </tr>
  );
}

/** The run, and the limit where the person may see it. */
function Context({ approval }: { approval: ApprovalRow }): ReactNode {
  const { approvals: texts } = useMessages();
  const format = useFormat();
  const limit: ApprovalRow["limit"] | null = approval.limit;
  const lines = [
    ...(approval.run_id === null ? [] : [texts.runOf(approval.run_id)]),
    ...(limit === null
      ? []
      : [texts.limitOf(format.credits(limit.amount), labelOf(texts.windows, limit.limit_window))]),
  ];
  return lines.map((line) => (
    <span key={line} className="block text-xs text-muted-foreground">
      {line}
    </span>
  ));
}

function Decided(): ReactNode {
  const { approvals: texts } = useMessages();
  const format = useFormat();
  const decided = useDecidedApprovals(DECIDED_SHOWN);
  if (decided.data === undefined || decided.data.length === 0) return null;
  const columns: Column[] = [
    { key: "what", label: texts.what },
    { key: "decided", label: texts.asked, isSecondary: true },
    { key: "decision", label: texts.decision, isNumeric: true },
  ];
  return (
    <div className="mt-4 border-t pt-4">
      <h3 className="text-xs font-medium text-muted-foreground">{texts.decidedTitle}</h3>
      <Table caption={texts.decidedCaption} columns={columns}>
        {decided.data.map((row) => (
          <tr key={row.id}>
            <Cell isRowHeader className="text-left [overflow-wrap:anywhere]">
              <What approval={row} />
            </Cell>
            <Cell isSecondary className="whitespace-nowrap">
              {format.dateTime(row.created_at)}
            </Cell>
            <Cell isNumeric>
              <Badge tone={TONES[row.status] ?? "neutral"}>{labelOf(texts.statuses, row.status)}</Badge>
              {row.status === "approved" ? (
                <span className="block text-xs text-muted-foreground">
                  {row.additional === null
                    ? texts.approvedOnce
                    : texts.approvedWith(format.credits(row.additional))}
                </span>
              ) : null}
            </Cell>
          </tr>
        ))}
      </Table>
    </div>
  );
}

function What({ approval }: { approval: ApprovalRow }): ReactNode {
  return useWhat(approval);
}

/** What the spend was for, in the words of the ledger. */
export function useWhat(approval: ApprovalRow): string {
  const { ledger, usage } = useMessages();
  return approval.agent_type === null || approval.action === null
    ? usage.unnamed
    : ledger.action(approval.agent_type, approval.action);
}

function useWho(approval: ApprovalRow): string {
  const { approvals: texts } = useMessages();
  const { userId } = useBilling();
  if (approval.agent_key_id !== null) return texts.agentKey(approval.agent_key_id);
  if (approval.user_id === null) return texts.service;
  return approval.user_id === userId ? texts.you : texts.member;
}
