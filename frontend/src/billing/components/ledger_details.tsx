/** What a ledger row says when it is opened: its names, and for a consumption the receipt. */

import type { ReactNode } from "react";
import { useFormat, useMessages } from "../context.js";
import { type LedgerRow, type Receipt, useReceipt } from "../queries/ledger.js";
import { QueryState } from "../ui/query_state.js";
import { useGroupName } from "./group_names.js";

const SHORT_ID = 8;

/** The details of one movement. */
export function LedgerDetails({ row }: { row: LedgerRow }): ReactNode {
  const { ledger: texts } = useMessages();
  const nameOf = useGroupName();
  return (
    <div className="rounded-md bg-muted px-4 py-3">
      <dl className="grid gap-x-6 gap-y-2 text-xs sm:grid-cols-[auto_1fr]">
        <Detail label={texts.transaction} value={row.id} />
        <Detail label={texts.run} value={row.run_id} />
        <Detail label={texts.key} value={row.idempotency_key} />
        <Detail label={texts.agentKey} value={row.agent_key_id} />
        <Detail
          label={texts.department}
          value={row.department_id === null ? null : nameOf("department", row.department_id)}
        />
        <Detail label={texts.reason} value={row.reason} />
        {row.kind === "consume" ? <ReceiptDetails transactionId={row.id} /> : null}
      </dl>
    </div>
  );
}

function Detail({ label, value }: { label: string; value: ReactNode }): ReactNode {
  if (value === null) return null;
  return (
    <>
      <dt className="text-muted-foreground">{label}</dt>
      <dd className="min-w-0 font-mono [overflow-wrap:anywhere]">{value}</dd>
    </>
  );
}

function ReceiptDetails({ transactionId }: { transactionId: string }): ReactNode {
  const { ledger: texts } = useMessages();
  const format = useFormat();
  const receipt = useReceipt(transactionId);
  if (receipt.data === undefined) {
    return (
      <div className="sm:col-span-2">
        <QueryState query={receipt} skeletonLines={2}>
          {() => null}
        </QueryState>
      </div>
    );
  }
  const { price, grants } = receipt.data;
  return (
    <>
      <Detail label={texts.priced} value={<PriceRows price={price} />} />
      <Detail label={texts.exact} value={format.exact(price.exact_amount)} />
      <Detail
        label={texts.takenFrom}
        value={grants.map((grant) => (
          <span key={grant.grant_id} className="block" title={grant.grant_id}>
            {texts.grantRow(format.credits(grant.amount), grant.grant_id.slice(0, SHORT_ID))}
          </span>
        ))}
      />
    </>
  );
}

function PriceRows({ price }: { price: Receipt["price"] }): ReactNode {
  const { ledger: texts } = useMessages();
  const format = useFormat();
  return price.rows.map((row) => (
    <span key={row.metric} className="block">
      {row.caller_priced
        ? texts.callerPriced(format.exact(row.amount ?? "0"))
        : texts.priceRow(row.metric, format.exact(row.quantity), format.exact(row.credit_cost))}
    </span>
  ));
}
