/** `AutoTopup`: the terms under which credits are bought without asking, and the latest such purchases. */

import { type ReactNode, useState } from "react";
import { useFormat, useMessages } from "../context.js";
import { describeError } from "../errors.js";
import { labelOf } from "../labels.js";
import { type AutoTopupTerms, useAutoTopup, useSetAutoTopup, useTopupAttempts } from "../queries/topup.js";
import { Button } from "../ui/button.js";
import { Card } from "../ui/card.js";
import { Badge, Notice, type Tone } from "../ui/feedback.js";
import { QueryState } from "../ui/query_state.js";
import { Cell, type Column, Table } from "../ui/table.js";
import { ForRole } from "./for_role.js";
import { SetAutoTopup } from "./set_auto_topup.js";

const ATTEMPTS_SHOWN = 5;
const TONES: Readonly<Record<string, Tone>> = {
  needs_action: "warning",
  succeeded: "success",
  failed: "danger",
};

/** Automatic top-up, for people who may see the organization's money. */
export function AutoTopup({ className = "" }: { className?: string }): ReactNode {
  const messages = useMessages();
  return (
    <Card title={messages.topup.title} note={messages.topup.intro} className={className}>
      <ForRole may={(rights) => rights.canBuy} note={messages.states.noPermissionMoney}>
        {() => <CurrentTerms />}
      </ForRole>
    </Card>
  );
}

function CurrentTerms(): ReactNode {
  return (
    <QueryState query={useAutoTopup()} skeletonLines={2}>
      {(terms) => <Terms terms={terms} />}
    </QueryState>
  );
}

function Terms({ terms }: { terms: AutoTopupTerms | null }): ReactNode {
  const messages = useMessages();
  const texts = messages.topup;
  const [isEditing, setIsEditing] = useState(false);
  const off = useSetAutoTopup();
  const isOn = terms?.isEnabled === true;
  return (
    <div className="space-y-4 text-sm">
      <StateBadge terms={terms} />
      {isOn ? <Rule terms={terms} /> : null}
      {isOn && terms.pausedReason !== null ? (
        <Notice tone="warning">{labelOf(texts.pausedReasons, terms.pausedReason)}</Notice>
      ) : null}
      {off.error === null ? null : (
        <Notice tone="danger" isAlert>
          {describeError(off.error, messages)}
        </Notice>
      )}
      <div className="flex flex-wrap gap-2">
        <Button onClick={() => setIsEditing(true)}>{isOn ? texts.change : texts.setUp}</Button>
        {isOn ? (
          <Button disabled={off.isPending} onClick={() => off.mutate(null)}>
            {off.isPending ? texts.switchingOff : texts.switchOff}
          </Button>
        ) : null}
      </div>
      <Attempts />
      {isEditing ? <SetAutoTopup present={terms} onClose={() => setIsEditing(false)} /> : null}
    </div>
  );
}

function StateBadge({ terms }: { terms: AutoTopupTerms | null }): ReactNode {
  const { topup: texts } = useMessages();
  if (terms?.isEnabled !== true) return <Badge>{texts.off}</Badge>;
  return terms.pausedReason === null ? (
    <Badge tone="success">{texts.on}</Badge>
  ) : (
    <Badge tone="warning">{texts.paused}</Badge>
  );
}

function Rule({ terms }: { terms: AutoTopupTerms }): ReactNode {
  const { topup: texts } = useMessages();
  const format = useFormat();
  const threshold = format.credits(terms.threshold);
  const cap =
    terms.monthlyCap === null ? texts.noCap : texts.cap(format.money(terms.monthlyCap, terms.currency));
  return (
    <div>
      <p>
        {terms.target === null
          ? texts.ruleAmount(threshold, format.credits(terms.amount ?? 0n))
          : texts.ruleTarget(threshold, format.credits(terms.target))}{" "}
        {cap}
      </p>
      {terms.consentedAt === null ? null : (
        <p className="text-xs text-muted-foreground">
          {texts.consentedOn(format.dateTime(terms.consentedAt))}
        </p>
      )}
    </div>
  );
}

function Attempts(): ReactNode {
  const { topup: texts } = useMessages();
  const format = useFormat();
  const attempts = useTopupAttempts(ATTEMPTS_SHOWN);
  if (attempts.data === undefined || attempts.data.length === 0) return null;
  const columns: Column[] = [
    { key: "date", label: texts.date },
    { key: "credits", label: texts.credits, isNumeric: true, isSecondary: true },
    { key: "status", label: texts.status },
    { key: "amount", label: texts.amount, isNumeric: true },
  ];
  return (
    <div className="border-t pt-4">
      <h3 className="text-xs font-medium text-muted-foreground">{texts.attemptsTitle}</h3>
      <Table caption={texts.attemptsCaption} columns={columns}>
        {attempts.data.map((row) => (
          <tr key={row.id}>
            <Cell isRowHeader className="text-left">
              {format.dateTime(row.created_at)}
            </Cell>
            <Cell isNumeric isSecondary>
              {format.credits(row.credits)}
            </Cell>
            <Cell>
              <Badge tone={TONES[row.status] ?? "neutral"}>{labelOf(texts.statuses, row.status)}</Badge>
              {row.failure_message === null ? null : (
                <span className="block text-xs text-muted-foreground">{row.failure_message}</span>
              )}
            </Cell>
            <Cell isNumeric>{format.money(row.amount, row.currency)}</Cell>
          </tr>
        ))}
      </Table>
    </div>
  );
}
