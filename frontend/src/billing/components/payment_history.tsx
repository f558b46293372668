/** `PaymentHistory`: payments and invoices, with receipts. */

import type { ReactNode } from "react";
import { useFormat, useMessages } from "../context.js";
import { labelOf } from "../labels.js";
import { type PaymentRow, type Reversals, usePayments, useReversals } from "../queries/money.js";
import { Card } from "../ui/card.js";
import { Badge, EmptyState, type Tone } from "../ui/feedback.js";
import { QueryState } from "../ui/query_state.js";
import { Cell, type Column, Table } from "../ui/table.js";
import { ForRole } from "./for_role.js";
import { PortalButton } from "./subscription_card.js";

const TONES: Readonly<Record<string, Tone>> = {
  processing: "neutral",
  requires_action: "warning",
  succeeded: "success",
  failed: "danger",
  canceled: "neutral",
  partially_refunded: "warning",
  refunded: "warning",
  disputed: "danger",
};

export interface PaymentHistoryProps {
  /** At most how many rows. */
  limit?: number;
  /** Offers Stripe's customer portal below the list. */
  hasPortal?: boolean;
  title?: string;
  actions?: ReactNode;
  className?: string;
}

/** The organization's payments, for people who may see its money. */
export function PaymentHistory(props: PaymentHistoryProps): ReactNode {
  const { limit = 50, hasPortal = false, title, actions, className = "" } = props;
  const messages = useMessages();
  return (
    <Card title={title ?? messages.payments.title} actions={actions} className={className}>
      <ForRole may={(rights) => rights.canSeeMoney} note={messages.states.noPermissionMoney}>
        {() => <Payments limit={limit} hasPortal={hasPortal} />}
      </ForRole>
    </Card>
  );
}

function Payments({ limit, hasPortal }: { limit: number; hasPortal: boolean }): ReactNode {
  const { payments: texts } = useMessages();
  const payments = usePayments(limit);
  const reversals = useReversals();
  const columns: Column[] = [
    { key: "date", label: texts.date, isSecondary: true },
    { key: "description", label: texts.description },
    { key: "method", label: texts.method, isSecondary: true },
    { key: "status", label: texts.status },
    { key: "amount", label: texts.amount, isNumeric: true },
    { key: "receipt", label: texts.receipt, isNumeric: true, isSecondary: true },
  ];
  return (
    <QueryState
      query={payments}
      skeletonLines={4}
      isEmpty={(rows) => rows.length === 0}
      empty={<EmptyState title={texts.empty} note={texts.emptyNote} />}
    >
      {(rows) => (
        <>
          <Table caption={texts.caption} columns={columns}>
            {rows.map((row) => (
              <Payment key={row.id} payment={row} reversals={reversals.data} />
            ))}
          </Table>
          {hasPortal ? (
            <div className="mt-4 border-t pt-4">
              <PortalButton />
            </div>
          ) : null}
        </>
      )}
    </QueryState>
  );
}

function Payment({
  payment,
  reversals,
}: {
  payment: PaymentRow;
  reversals: Reversals | undefined;
}): ReactNode {
  const { payments: texts } = useMessages();
  const format = useFormat();
  const at = payment.paid_at ?? payment.created_at;
  const status = payment.disputed ? "disputed" : payment.status;
  const isFailed = status === "failed" && payment.failure_message !== null;
  return (
    <tr>
      <Cell isSecondary className="whitespace-nowrap">
        <time dateTime={at}>{format.dateTime(at)}</time>
      </Cell>
      <Cell isRowHeader className="text-left">
        <span className="font-medium">{usePaymentName(payment)}</span>
        <span className="block text-xs text-muted-foreground sm:hidden">{format.dateTime(at)}</span>
        {isFailed ? (
          <span className="block text-xs text-danger">{texts.failure(payment.failure_message ?? "")}</span>
        ) : null}
        <WentBack payment={payment} reversals={reversals} />
      </Cell>
      <Cell isSecondary>
        {payment.card_brand === null || payment.card_last4 === null ? (
          texts.noCard
        ) : (
          <span className="whitespace-nowrap">
            {texts.card(capitalize(payment.card_brand), payment.card_last4)}
          </span>
        )}
      </Cell>
      <Cell>
        <Badge tone={TONES[status] ?? "neutral"}>{labelOf(texts.statuses, status)}</Badge>
      </Cell>
      <Cell isNumeric className="whitespace-nowrap">
        {format.money(payment.amount, payment.currency)}
        {payment.amount_refunded > 0 ? (
          <span className="block text-xs text-muted-foreground">
            {texts.refunded(format.money(payment.amount_refunded, payment.currency))}
          </span>
        ) : null}
      </Cell>
      <Cell isNumeric isSecondary>
        {payment.receipt_url === null ? (
          texts.noCard
        ) : (
          <a
            className="text-primary underline underline-offset-2"
            href={payment.receipt_url}
            target="_blank"
            rel="noreferrer"
            aria-label={texts.openReceipt(format.dateTime(at))}
          >
            {texts.receipt}
          </a>
        )}
      </Cell>
    </tr>
  );
}

/** Refunds and disputes of a payment, with how they stand. */
function WentBack({
  payment,
  reversals,
}: {
  payment: PaymentRow;
  reversals: Reversals | undefined;
}): ReactNode {
  const { reversals: texts } = useMessages();
  const format = useFormat();
  const intent = payment.stripe_payment_intent_id;
  if (reversals === undefined || intent === null) return null;
  const refunds = reversals.refunds.filter((row) => row.stripe_payment_intent_id === intent);
  const disputes = reversals.disputes.filter((row) => row.stripe_payment_intent_id === intent);
  const lines = [
    ...refunds.map((row) => ({
      key: row.stripe_refund_id,
      text: texts.refund(format.money(row.amount, row.currency), labelOf(texts.refundStatuses, row.status)),
    })),
    ...disputes.map((row) => ({
      key: row.stripe_dispute_id,
      text: texts.dispute(format.money(row.amount, row.currency), labelOf(texts.disputeStatuses, row.status)),
    })),
  ];
  return lines.map(({ key, text }) => (
    <span key={key} className="block text-xs text-muted-foreground">
      {text}
    </span>
  ));
}

function usePaymentName(payment: PaymentRow): string {
  const { payments: texts } = useMessages();
  const format = useFormat();
  if (payment.credits !== null && payment.kind !== "subscription") {
    return texts.packOf(format.credits(payment.credits));
  }
  return payment.description === "" ? labelOf(texts.kinds, payment.kind) : payment.description;
}

function capitalize(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
