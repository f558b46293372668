/** `InvoiceList`: Stripe's invoices, overdue ones first with their sum. */

import type { ReactNode } from "react";
import { useFormat, useMessages } from "../context.js";
import { labelOf } from "../labels.js";
import { type InvoiceRow, useInvoices } from "../queries/money.js";
import { Card } from "../ui/card.js";
import { Badge, Notice, type Tone } from "../ui/feedback.js";
import { QueryState } from "../ui/query_state.js";
import { Cell, type Column, Table } from "../ui/table.js";

const TONES: Readonly<Record<string, Tone>> = {
  open: "warning",
  paid: "success",
  uncollectible: "danger",
  overdue: "danger",
};

/** Tells whether an invoice should have been paid by now. */
export function isOverdue(invoice: Pick<InvoiceRow, "status" | "due_date">, now: number): boolean {
  return invoice.status === "open" && invoice.due_date !== null && new Date(invoice.due_date).getTime() < now;
}

/** Sums what is overdue, by currency, in each currency's smallest unit. */
export function overdueTotals(invoices: readonly InvoiceRow[], now: number): ReadonlyMap<string, bigint> {
  const totals = new Map<string, bigint>();
  for (const invoice of invoices.filter((row) => isOverdue(row, now))) {
    totals.set(invoice.currency, (totals.get(invoice.currency) ?? 0n) + BigInt(invoice.amount_remaining));
  }
  return totals;
}

/** The organization's invoices; nothing at all while there are none. */
export function InvoiceList(): ReactNode {
  const { payments: texts } = useMessages();
  const format = useFormat();
  const invoices = useInvoices();
  if (invoices.data?.length === 0 && invoices.error === null) return null;
  const columns: Column[] = [
    { key: "number", label: texts.number },
    { key: "due", label: texts.due, isSecondary: true },
    { key: "status", label: texts.status },
    { key: "amount", label: texts.amount, isNumeric: true },
    { key: "invoice", label: texts.invoice, isNumeric: true, isSecondary: true },
  ];
  return (
    <Card title={texts.invoicesTitle}>
      <QueryState query={invoices} skeletonLines={3}>
        {(rows) => {
          const now = Date.now();
          const sorted = rows.toSorted((a, b) => Number(isOverdue(b, now)) - Number(isOverdue(a, now)));
          return (
            <div className="space-y-3">
              {[...overdueTotals(rows, now)].map(([currency, total]) => (
                <Notice key={currency} tone="danger">
                  {texts.overdueTotal(format.money(total, currency))}
                </Notice>
              ))}
              <Table caption={texts.invoicesCaption} columns={columns}>
                {sorted.map((invoice) => (
                  <Invoice key={invoice.id} invoice={invoice} now={now} />
                ))}
              </Table>
            </div>
          );
        }}
      </QueryState>
    </Card>
  );
}

function Invoice({ invoice, now }: { invoice: InvoiceRow; now: number }): ReactNode {
  const { payments: texts } = useMessages();
  const format = useFormat();
  const status = isOverdue(invoice, now) ? "overdue" : invoice.status;
  const number = invoice.number ?? texts.noCard;
  return (
    <tr>
      <Cell isRowHeader className="text-left font-medium">
        {number}
        <span className="block font-normal sm:hidden">
          <InvoiceLinks invoice={invoice} number={number} />
        </span>
      </Cell>
      <Cell isSecondary>{format.date(invoice.due_date ?? invoice.created_at)}</Cell>
      <Cell>
        <Badge tone={TONES[status] ?? "neutral"}>{labelOf(texts.invoiceStatuses, status)}</Badge>
      </Cell>
      <Cell isNumeric>{format.money(invoice.total, invoice.currency)}</Cell>
      <Cell isNumeric isSecondary>
        <InvoiceLinks invoice={invoice} number={number} />
      </Cell>
    </tr>
  );
}

/** Stripe's page of an invoice, where an open one is paid, and the invoice as a file. */
function InvoiceLinks({ invoice, number }: { invoice: InvoiceRow; number: string }): ReactNode {
  const { payments: texts } = useMessages();
  const links = [
    {
      href: invoice.hosted_invoice_url,
      text: invoice.status === "open" ? texts.payInvoice : texts.viewInvoice,
    },
    { href: invoice.invoice_pdf, text: texts.pdf },
  ];
  return (
    <span className="inline-flex flex-wrap justify-end gap-x-3">
      {links.map(({ href, text }) =>
        href === null ? null : (
          <a
            key={text}
            className="text-primary underline underline-offset-2"
            href={href}
            target="_blank"
            rel="noreferrer"
            aria-label={texts.invoiceLink(text, number)}
          >
            {text}
          </a>
        ),
      )}
    </span>
  );
}
