/** The ledger: every movement of credits with the balance after it, and the receipt of one. */

import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { z } from "zod/mini";
import { answerOf, filled } from "../client.js";
import { useBilling } from "../context.js";
import { parseExactJson } from "../exact_json.js";
import { queryKey } from "../query_keys.js";

const COLUMNS =
  "id, sequence, created_at, kind, amount::text, balance_after::text, agent_type, action, department_id, user_id, agent_key_id, run_id, idempotency_key, reason";

/**
 * Reads movements, newest first, a page at a time by the gap-free sequence, so that rows arriving meanwhile shift nothing.
 *
 * @param pageSize - Rows a page.
 */
export function useLedger(pageSize = 25) {
  const { schema, organizationId } = useBilling();
  return useInfiniteQuery({
    queryKey: queryKey(organizationId, "ledger", "transactions", pageSize),
    queryFn: ({ signal, pageParam }) => {
      let rows = schema.from("credit_transactions").select(COLUMNS).eq("organization_id", organizationId);
      if (pageParam !== null) rows = rows.lt("sequence", pageParam);
      return answerOf(rows.order("sequence", { ascending: false }).limit(pageSize).abortSignal(signal));
    },
    initialPageParam: null as number | null,
    getNextPageParam: (page) => (page.length < pageSize ? null : (page.at(-1)?.sequence ?? null)),
    select: ({ pages }) => pages.flat(),
  });
}

/** A movement as `useLedger` gives it. */
export type LedgerRow = NonNullable<ReturnType<typeof useLedger>["data"]>[number];

const receiptPrice = z.object({
  rows: z._default(z.array(z.looseObject({ metric: z.string(), credit_cost: z.string() })), []),
  quantities: z._default(z.record(z.string(), z.string()), {}),
  exact_amount: z.optional(z.string()),
});
const receiptGrants = z.array(z.object({ grant_id: z.string(), amount: z.string() }));

/** What a consumption was charged for and which grants paid. */
export interface Receipt {
  readonly priceRows: readonly { readonly metric: string; readonly credit_cost: string }[];
  readonly quantities: Readonly<Record<string, string>>;
  readonly exactAmount: string | null;
  readonly grants: readonly { readonly grant_id: string; readonly amount: string }[];
}

/**
 * Reads the receipt of a consumption.
 *
 * @param transactionId - Which one.
 */
export function useReceipt(transactionId: string) {
  const { schema, organizationId } = useBilling();
  return useQuery({
    queryKey: queryKey(organizationId, "catalogue", "receipt", transactionId),
    queryFn: async ({ signal }): Promise<Receipt> => {
      const row = await answerOf(
        schema
          .rpc("explain_transaction", { transaction_id: transactionId }, { get: true })
          .select("price::text, grants::text")
          .abortSignal(signal),
      );
      const price = receiptPrice.parse(parseExactJson(filled(row.price, "price")));
      return {
        priceRows: price.rows,
        quantities: price.quantities,
        exactAmount: price.exact_amount ?? null,
        grants: receiptGrants.parse(parseExactJson(filled(row.grants, "grants"))),
      };
    },
    staleTime: Number.POSITIVE_INFINITY,
  });
}
