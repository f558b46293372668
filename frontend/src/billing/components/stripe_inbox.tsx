/** `StripeInbox`: what Stripe has sent and what became of it, for those who run the platform; running events again. */

import { type ReactNode, useState } from "react";
import { filled } from "../client.js";
import { useFormat, useMessages } from "../context.js";
import { describeError } from "../errors.js";
import { labelOf } from "../labels.js";
import {
  EVENT_CHOICES,
  type EventChoice,
  REPLAYABLE,
  type Replay,
  type Replayable,
  type StripeEventRow,
  useReplayStripeEvents,
  useStripeEvents,
} from "../queries/operations.js";
import { Button } from "../ui/button.js";
import { Card } from "../ui/card.js";
import { Dialog } from "../ui/dialog.js";
import { Badge, EmptyState, Notice, type Tone } from "../ui/feedback.js";
import { SelectField } from "../ui/fields.js";
import { QueryState } from "../ui/query_state.js";
import { Cell, type Column, ControlBelow, Table } from "../ui/table.js";
import { ForOperators } from "./for_operators.js";

const MOST_SHOWN = 100;

const TONES: Readonly<Record<string, Tone>> = {
  processed: "success",
  failed: "danger",
  parked: "warning",
};

/** Stripe's inbox. */
export function StripeInbox({ className = "" }: { className?: string }): ReactNode {
  const { inbox: texts } = useMessages();
  return (
    <Card title={texts.title} note={texts.intro} className={className}>
      <ForOperators>{() => <Inbox />}</ForOperators>
    </Card>
  );
}

function Inbox(): ReactNode {
  const { inbox: texts } = useMessages();
  const [choice, setChoice] = useState<EventChoice>("waiting");
  const [asking, setAsking] = useState<Replayable | null>(null);
  const events = useStripeEvents(choice, MOST_SHOWN);
  const replay = useReplayStripeEvents();
  const run = (wanted: Replay) => replay.mutate(wanted);
  const waiting = REPLAYABLE.filter((status) => events.data?.some((row) => row.status === status));
  return (
    <div className="space-y-3">
      <div className="flex flex-wrap items-end gap-2">
        <SelectField
          label={texts.show}
          value={choice}
          options={EVENT_CHOICES.map((value) => ({ value, label: texts.choices[value] }))}
          onValueChange={(value) => setChoice(EVENT_CHOICES.find((known) => known === value) ?? "waiting")}
        />
        {waiting.map((status) => (
          <Button key={status} disabled={replay.isPending} onClick={() => setAsking(status)}>
            {texts.replayAll[status]}
          </Button>
        ))}
      </div>
      <Outcome replay={replay} />
      <QueryState
        query={events}
        skeletonLines={6}
        isEmpty={(rows) => rows.length === 0}
        empty={
          choice === "waiting" ? (
            <EmptyState title={texts.empty} note={texts.emptyNote} />
          ) : (
            <EmptyState title={texts.emptyChoice} />
          )
        }
      >
        {(rows) => (
          <EventTable rows={rows} running={replay.isPending ? replay.variables : undefined} onReplay={run} />
        )}
      </QueryState>
      {asking === null ? null : (
        <ConfirmReplay
          status={asking}
          onClose={() => setAsking(null)}
          onConfirm={() => {
            setAsking(null);
            run({ status: asking });
          }}
        />
      )}
    </div>
  );
}

interface EventTableProps {
  rows: readonly StripeEventRow[];
  /** What is being run again now. */
  running: Replay | undefined;
  onReplay: (wanted: Replay) => void;
}

function EventTable({ rows, running, onReplay }: EventTableProps): ReactNode {
  const { inbox: texts } = useMessages();
  const format = useFormat();
  const columns: Column[] = [
    { key: "event", label: texts.event },
    { key: "when", label: texts.when, isSecondary: true },
    { key: "organization", label: texts.organization, isSecondary: true },
    { key: "status", label: texts.status },
    { key: "error", label: texts.error, isSecondary: true },
    { key: "actions", label: texts.actions, isLabelHidden: true, isSecondary: true },
  ];
  return (
    <>
      <Table caption={texts.caption} columns={columns}>
        {rows.map((row) => (
          <EventEntry
            key={row.event_id}
            row={row}
            isBusy={running !== undefined}
            isRunning={running !== undefined && includes(running, row)}
            onReplay={onReplay}
          />
        ))}
      </Table>
      {rows.length < MOST_SHOWN ? null : (
        <p className="text-xs text-muted-foreground">{texts.most(format.count(MOST_SHOWN))}</p>
      )}
    </>
  );
}

function includes(wanted: Replay, row: StripeEventRow): boolean {
  if ("status" in wanted) return row.status === wanted.status;
  return row.event_id !== null && wanted.event_ids.includes(row.event_id);
}

interface EventEntryProps {
  row: StripeEventRow;
  isBusy: boolean;
  isRunning: boolean;
  onReplay: (wanted: Replay) => void;
}

function EventEntry({ row, isBusy, isRunning, onReplay }: EventEntryProps): ReactNode {
  const { inbox: texts } = useMessages();
  const format = useFormat();
  const eventId = filled(row.event_id, "event_id");
  const status = filled(row.status, "status");
  const attempts = filled(row.attempts, "attempts");
  const receivedAt = format.dateTime(filled(row.received_at, "received_at"));
  const nextAttempt =
    row.next_attempt_at === null || status === "processed"
      ? null
      : texts.nextAttempt(format.dateTime(row.next_attempt_at));
  const organization = row.organization_id ?? texts.organizationUnknown;
  const control =
    status === "processed" ? null : (
      <Button
        variant="quiet"
        className="whitespace-nowrap"
        aria-label={texts.replayLabel(eventId)}
        disabled={isBusy}
        onClick={() => onReplay({ event_ids: [eventId] })}
      >
        {isRunning ? texts.replaying : texts.replay}
      </Button>
    );
  return (
    <tr>
      <Cell isRowHeader className="min-w-32 text-left [overflow-wrap:anywhere]">
        <span className="font-medium">{row.type}</span>
        <span className="block font-mono text-xs text-muted-foreground">{eventId}</span>
        <span className="block text-xs text-muted-foreground sm:hidden">{receivedAt}</span>
        <span className="block text-xs text-muted-foreground sm:hidden">{row.organization_id}</span>
        <span className="block text-xs text-muted-foreground sm:hidden">{nextAttempt}</span>
        <span className="block font-mono text-xs sm:hidden">{row.error}</span>
        {control === null ? null : <ControlBelow>{control}</ControlBelow>}
      </Cell>
      <Cell isSecondary>{receivedAt}</Cell>
      <Cell
        isSecondary
        className={row.organization_id === null ? "" : "min-w-28 font-mono text-xs [overflow-wrap:anywhere]"}
      >
        {organization}
      </Cell>
      <Cell>
        <Badge tone={TONES[status] ?? "neutral"}>{labelOf(texts.statuses, status)}</Badge>
        <span className="mt-1 block text-xs text-muted-foreground">
          {texts.attempts(format.count(attempts), attempts === 1)}
        </span>
        {nextAttempt === null ? null : (
          <span className="hidden text-xs text-muted-foreground sm:block">{nextAttempt}</span>
        )}
      </Cell>
      <Cell isSecondary className="min-w-32 font-mono text-xs [overflow-wrap:anywhere]">
        {row.error ?? texts.noError}
      </Cell>
      <Cell isNumeric isControl isSecondary>
        {control}
      </Cell>
    </tr>
  );
}

/** What became of the events that were run again last. */
function Outcome({ replay }: { replay: ReturnType<typeof useReplayStripeEvents> }): ReactNode {
  const messages = useMessages();
  const format = useFormat();
  const { inbox: texts } = messages;
  if (replay.error !== null) {
    return (
      <Notice tone="danger" isAlert>
        {describeError(replay.error, messages)}
      </Notice>
    );
  }
  if (replay.data === undefined) return null;
  /** The worker answers with the event's status, or with the slug of what refused it. */
  const outcomeOf = (status: string) =>
    Object.hasOwn(texts.statuses, status) ? labelOf(texts.statuses, status) : texts.notApplied(status);
  const [first, ...others] = replay.data;
  if (first === undefined) return <Notice tone="neutral">{texts.outcomeNone}</Notice>;
  const applied = replay.data.filter(({ status }) => status === "processed" || status === "ignored").length;
  return (
    <Notice tone={applied === replay.data.length ? "success" : "warning"}>
      <span className="[overflow-wrap:anywhere]">
        {others.length === 0
          ? texts.outcome(first.event_id, outcomeOf(first.status))
          : texts.outcomes(format.count(applied), format.count(replay.data.length))}
      </span>
    </Notice>
  );
}

interface ConfirmReplayProps {
  status: Replayable;
  onClose: () => void;
  onConfirm: () => void;
}

function ConfirmReplay({ status, onClose, onConfirm }: ConfirmReplayProps): ReactNode {
  const messages = useMessages();
  return (
    <Dialog
      title={messages.inbox.confirmTitle[status]}
      description={messages.inbox.confirmNote}
      onClose={onClose}
    >
      <div className="mt-2 flex flex-wrap justify-end gap-2">
        <Button onClick={onClose}>{messages.states.cancel}</Button>
        <Button variant="primary" onClick={onConfirm}>
          {messages.inbox.confirm}
        </Button>
      </div>
    </Dialog>
  );
}
