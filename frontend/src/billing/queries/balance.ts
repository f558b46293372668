/** The organization's credits now. */

import { useQuery } from "@tanstack/react-query";
import { z } from "zod/mini";
import { answerOf, filled } from "../client.js";
import { useBilling } from "../context.js";
import { type MicroCredits, parseCredits } from "../credits.js";
import { parseExactJson } from "../exact_json.js";
import { queryKey } from "../query_keys.js";

/** An amount that arrives or ends at an instant. */
export interface DatedCredits {
  readonly at: string;
  readonly amount: MicroCredits;
}

/** The wallet, in millionths of a credit. */
export interface CreditBalanceData {
  readonly balance: MicroCredits;
  readonly held: MicroCredits;
  readonly available: MicroCredits;
  readonly debt: MicroCredits;
  readonly pending: readonly DatedCredits[];
  readonly expiring: readonly DatedCredits[];
  readonly restrictedReason: string | null;
  readonly isBlocked: boolean;
  readonly asOf: string;
}

const COLUMNS =
  "balance::text, held::text, available::text, debt::text, pending_grants::text, expiring::text, restricted_reason, is_blocked, as_of";

const pendingShape = z.array(z.object({ effective_at: z.string(), amount: z.string() }));
const expiringShape = z.array(z.object({ expires_at: z.string(), amount: z.string() }));

/** Reads the balance, with what is held, owed, arriving and expiring. */
export function useCreditBalance() {
  const { schema, organizationId } = useBilling();
  return useQuery({
    queryKey: queryKey(organizationId, "ledger", "balance"),
    queryFn: async ({ signal }): Promise<CreditBalanceData> => {
      const row = await answerOf(
        schema
          .rpc("get_credit_balance", { organization_id: organizationId }, { get: true })
          .select(COLUMNS)
          .abortSignal(signal),
      );
      return {
        balance: parseCredits(row.balance),
        held: parseCredits(row.held),
        available: parseCredits(row.available),
        debt: parseCredits(row.debt),
        pending: readPending(row.pending_grants),
        expiring: readExpiring(row.expiring),
        restrictedReason: row.restricted_reason,
        isBlocked: filled(row.is_blocked, "is_blocked"),
        asOf: filled(row.as_of, "as_of"),
      };
    },
  });
}

function readPending(text: string): DatedCredits[] {
  const rows = pendingShape.parse(parseExactJson(text));
  return rows.map((row) => ({ at: row.effective_at, amount: parseCredits(row.amount) }));
}

function readExpiring(text: string): DatedCredits[] {
  const rows = expiringShape.parse(parseExactJson(text));
  return rows.map((row) => ({ at: row.expires_at, amount: parseCredits(row.amount) }));
}
