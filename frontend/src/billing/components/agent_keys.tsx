/** `AgentKeys`: the keys that agents spend with; creating, showing once, revoking. */

import { type ReactNode, useState } from "react";
import { useFormat, useMessages } from "../context.js";
import { describeError } from "../errors.js";
import { labelOf } from "../labels.js";
import { type AgentKeyRow, useAgentKeys, useRevokeAgentKey } from "../queries/keys.js";
import { useRights } from "../queries/membership.js";
import { Button } from "../ui/button.js";
import { Card } from "../ui/card.js";
import { Dialog } from "../ui/dialog.js";
import { Badge, EmptyState, Notice } from "../ui/feedback.js";
import { QueryState } from "../ui/query_state.js";
import { Cell, type Column, Table } from "../ui/table.js";
import { CreateAgentKey } from "./create_agent_key.js";
import { ForRole } from "./for_role.js";
import { useGroupName } from "./group_names.js";

/** The organization's agent keys, for people who may see them. */
export function AgentKeys({ className = "" }: { className?: string }): ReactNode {
  const messages = useMessages();
  const rights = useRights();
  const [isCreating, setIsCreating] = useState(false);
  const canManage = rights.data?.canManageKeys ?? false;
  return (
    <Card
      title={messages.keys.title}
      note={messages.keys.intro}
      className={className}
      actions={
        canManage ? (
          <Button variant="primary" onClick={() => setIsCreating(true)}>
            {messages.keys.create}
          </Button>
        ) : undefined
      }
    >
      <ForRole may={(shown) => shown.canSeeKeys} note={messages.states.noPermissionKeys}>
        {(shown) => <KeyList canManage={shown.canManageKeys} />}
      </ForRole>
      {isCreating ? <CreateAgentKey onClose={() => setIsCreating(false)} /> : null}
    </Card>
  );
}

function KeyList({ canManage }: { canManage: boolean }): ReactNode {
  const { keys: texts } = useMessages();
  const keys = useAgentKeys();
  const [revoking, setRevoking] = useState<AgentKeyRow | null>(null);
  const columns: Column[] = [
    { key: "name", label: texts.name },
    { key: "department", label: texts.department, isSecondary: true },
    { key: "limit", label: texts.limit, isSecondary: true },
    { key: "used", label: texts.lastUsed, isSecondary: true },
    { key: "status", label: texts.status },
    ...(canManage ? [{ key: "actions", label: texts.actions, isLabelHidden: true }] : []),
  ];
  return (
    <>
      <QueryState
        query={keys}
        skeletonLines={4}
        isEmpty={(rows) => rows.length === 0}
        empty={<EmptyState title={texts.empty} note={texts.emptyNote} />}
      >
        {(rows) => (
          <Table caption={texts.caption} columns={columns}>
            {rows.map((row) => (
              <KeyEntry
                key={row.key_id}
                row={row}
                onRevoke={canManage ? () => setRevoking(row) : undefined}
              />
            ))}
          </Table>
        )}
      </QueryState>
      {revoking === null ? null : <RevokeKey agentKey={revoking} onClose={() => setRevoking(null)} />}
    </>
  );
}

/** What a key's life has come to. */
export function keyStatus(
  key: Pick<AgentKeyRow, "revoked_at" | "expires_at">,
  now: number,
): "active" | "revoked" | "expired" {
  if (key.revoked_at !== null && new Date(key.revoked_at).getTime() <= now) return "revoked";
  return key.expires_at !== null && new Date(key.expires_at).getTime() <= now ? "expired" : "active";
}

function KeyEntry({ row, onRevoke }: { row: AgentKeyRow; onRevoke: (() => void) | undefined }): ReactNode {
  const { keys: texts } = useMessages();
  const format = useFormat();
  const nameOf = useGroupName();
  const status = keyStatus(row, Date.now());
  const limit =
    row.spend_limit === null
      ? texts.noLimit
      : texts.limitOf(format.credits(row.spend_limit), labelOf(texts.windows, row.spend_window));
  return (
    <tr>
      <Cell isRowHeader className="text-left [overflow-wrap:anywhere]">
        <span className="font-medium">{row.name}</span>
        <span className="block font-mono text-xs text-muted-foreground">{row.key_id}</span>
        <span className="block text-xs text-muted-foreground sm:hidden">{limit}</span>
      </Cell>
      <Cell isSecondary>
        {row.department_id === null ? texts.wholeOrganization : nameOf("department", row.department_id)}
      </Cell>
      <Cell isSecondary className="tabular-nums">
        {limit}
      </Cell>
      <Cell isSecondary className="whitespace-nowrap">
        {row.last_used_at === null ? texts.never : format.dateTime(row.last_used_at)}
      </Cell>
      <Cell>
        <Badge tone={status === "active" ? "success" : "neutral"}>{texts[status]}</Badge>
      </Cell>
      {onRevoke === undefined ? null : (
        <Cell isNumeric isControl>
          {status === "active" ? (
            <Button variant="danger" aria-label={texts.revokeLabel(row.name)} onClick={onRevoke}>
              {texts.revoke}
            </Button>
          ) : null}
        </Cell>
      )}
    </tr>
  );
}

function RevokeKey({ agentKey, onClose }: { agentKey: AgentKeyRow; onClose: () => void }): ReactNode {
  const messages = useMessages();
  const revoke = useRevokeAgentKey();
  return (
    <Dialog
      title={messages.keys.revokeTitle(agentKey.name)}
      description={messages.keys.revokeNote}
      onClose={onClose}
    >
      {revoke.error === null ? null : (
        <Notice tone="danger" isAlert>
          {describeError(revoke.error, messages)}
        </Notice>
      )}
      <div className="mt-2 flex flex-wrap justify-end gap-2">
        <Button onClick={onClose}>{messages.states.cancel}</Button>
        <Button
          variant="danger"
          disabled={revoke.isPending}
          onClick={() => revoke.mutate(agentKey.key_id, { onSuccess: onClose })}
        >
          {revoke.isPending ? messages.keys.revoking : messages.keys.revokeConfirm}
        </Button>
      </div>
    </Dialog>
  );
}
