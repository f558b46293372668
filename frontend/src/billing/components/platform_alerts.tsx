/** `PlatformAlerts`: what those who run the platform should look at, and closing what has been dealt with. */

import type { ReactNode } from "react";
import { filled } from "../client.js";
import { useFormat, useMessages } from "../context.js";
import { describeError } from "../errors.js";
import { labelOf } from "../labels.js";
import { type PlatformAlertRow, useClosePlatformAlert, usePlatformAlerts } from "../queries/operations.js";
import { Button } from "../ui/button.js";
import { Card } from "../ui/card.js";
import { Badge, EmptyState, Notice, type Tone } from "../ui/feedback.js";
import { QueryState } from "../ui/query_state.js";
import { Cell, type Column, ControlBelow, Table } from "../ui/table.js";
import { ForOperators } from "./for_operators.js";
import { factsOf } from "./json_facts.js";

const TONES: Readonly<Record<string, Tone>> = { warning: "warning", critical: "danger" };

/** The alerts that stand. */
export function PlatformAlerts({ className = "" }: { className?: string }): ReactNode {
  const { platformAlerts: texts } = useMessages();
  return (
    <Card title={texts.title} note={texts.intro} className={className}>
      <ForOperators>{() => <AlertList />}</ForOperators>
    </Card>
  );
}

function AlertList(): ReactNode {
  const messages = useMessages();
  const { platformAlerts: texts } = messages;
  const close = useClosePlatformAlert();
  const columns: Column[] = [
    { key: "what", label: texts.what },
    { key: "severity", label: texts.severity },
    { key: "details", label: texts.details, isSecondary: true },
    { key: "organization", label: texts.organization, isSecondary: true },
    { key: "seen", label: texts.seen, isSecondary: true },
    { key: "actions", label: texts.actions, isLabelHidden: true, isSecondary: true },
  ];
  return (
    <div className="space-y-3">
      {close.error === null ? null : (
        <Notice tone="danger" isAlert>
          {describeError(close.error, messages)}
        </Notice>
      )}
      <QueryState
        query={usePlatformAlerts()}
        skeletonLines={4}
        isEmpty={(rows) => rows.length === 0}
        empty={<EmptyState title={texts.empty} note={texts.emptyNote} />}
      >
        {(rows) => (
          <Table caption={texts.caption} columns={columns}>
            {rows.map((row) => (
              <AlertEntry
                key={row.id}
                row={row}
                isClosing={close.isPending && close.variables === row.id}
                onClose={close.mutate}
              />
            ))}
          </Table>
        )}
      </QueryState>
    </div>
  );
}

interface AlertEntryProps {
  row: PlatformAlertRow;
  isClosing: boolean;
  onClose: (alertId: string) => void;
}

function AlertEntry({ row, isClosing, onClose }: AlertEntryProps): ReactNode {
  const { platformAlerts: texts } = useMessages();
  const format = useFormat();
  const alertId = filled(row.id, "id");
  const severity = filled(row.severity, "severity");
  const occurrences = filled(row.occurrences, "occurrences");
  const kind = labelOf(texts.kinds, filled(row.kind, "kind"));
  const seen = format.dateTime(filled(row.last_seen_at, "last_seen_at"));
  const times = texts.times(format.count(occurrences), occurrences === 1);
  const details = (
    <ul>
      {factsOf(row.details).map(([name, value]) => (
        <li key={name} className="text-xs [overflow-wrap:anywhere]">
          <span className="text-muted-foreground">{name}</span> <span className="font-mono">{value}</span>
        </li>
      ))}
    </ul>
  );
  const control = (
    <Button
      variant="quiet"
      aria-label={texts.closeLabel(row.subject_id === null ? kind : texts.subject(kind, row.subject_id))}
      disabled={isClosing}
      onClick={() => onClose(alertId)}
    >
      {texts.close}
    </Button>
  );
  return (
    <tr>
      <Cell isRowHeader className="min-w-32 text-left [overflow-wrap:anywhere]">
        <span className="font-medium">{kind}</span>
        <span className="block font-mono text-xs text-muted-foreground">{row.subject_id}</span>
        <div className="sm:hidden">
          {details}
          <span className="block text-xs text-muted-foreground">{row.organization_id}</span>
          <span className="block text-xs text-muted-foreground">{seen}</span>
        </div>
        <ControlBelow>{control}</ControlBelow>
      </Cell>
      <Cell>
        <Badge tone={TONES[severity] ?? "neutral"}>{labelOf(texts.severities, severity)}</Badge>
        <span className="mt-1 block text-xs text-muted-foreground">{times}</span>
      </Cell>
      <Cell isSecondary>{details}</Cell>
      <Cell isSecondary className="min-w-28 font-mono text-xs [overflow-wrap:anywhere]">
        {row.organization_id ?? texts.noOrganization}
      </Cell>
      <Cell isSecondary>{seen}</Cell>
      <Cell isNumeric isControl isSecondary>
        {control}
      </Cell>
    </tr>
  );
}
