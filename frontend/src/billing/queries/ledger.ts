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
  rows: z.array(
    z.object({
      metric: z.string(),
      credit_cost: z.string(),
      quantity: z.string(),
      amount: z.nullable(z.string()),
      caller_priced: z.boolean(),
    }),
  ),
  exact_amount: z.string(),
});
const receiptGrants = z.array(z.object({ grant_id: z.string(), amount: z.string() }));

/** What a consumption was charged for and which grants paid. Amounts are decimal texts. */
export interface Receipt {
  readonly price: z.infer<typeof receiptPrice>;
  readonly grants: z.infer<typeof receiptGrants>;
}

/**
 * Reads the receipt of a consumption.
 *
 * @param transactionId - Which one.
 */
export function useReceipt(transactionId: string) {
  const { schema, organizationId } = useBilling();
  return useQuery({
    queryKey: queryKey(organizationId, "once", "receipt", transactionId),
    queryFn: async ({ signal }): Promise<Receipt> => {
      const row = await answerOf(
        schema
          .rpc("explain_transaction", { transaction_id: transactionId }, { get: true })
          .select("price::text, grants::text")
          .abortSignal(signal),
      );
      return {
        price: receiptPrice.parse(parseExactJson(filled(row.price, "price"))),
        grants: receiptGrants.parse(parseExactJson(filled(row.grants, "grants"))),
      };
    },
    staleTime: Number.POSITIVE_INFINITY,
  });
}
