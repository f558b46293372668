/** What is for sale and what actions cost. */

import { useQuery } from "@tanstack/react-query";
import { answerOf } from "../client.js";
import { useBilling } from "../context.js";
import { type MicroCredits, parseCredits } from "../credits.js";
import { queryKey } from "../query_keys.js";

const CATALOGUE_STALE_MS = 300_000;

/** Reads the packs on offer, in the order of the catalogue. */
export function useCreditPackages() {
  const { schema, organizationId } = useBilling();
  return useQuery({
    queryKey: queryKey(organizationId, "catalogue", "packages"),
    queryFn: ({ signal }) =>
      answerOf(
        schema
          .from("credit_packages")
          .select("id, key, name, description, credits::text, unit_amount, currency, credit_expiry")
          .eq("is_active", true)
          .order("sort_order")
          .order("unit_amount")
          .abortSignal(signal),
      ),
    staleTime: CATALOGUE_STALE_MS,
  });
}

/** A pack as `useCreditPackages` gives it. */
export type CreditPackageRow = NonNullable<ReturnType<typeof useCreditPackages>["data"]>[number];

/**
 * Reads the lowest fixed price of a call among the prices in force; null when no action has one.
 * Below it no action with a list price can be paid for, which is what the paywall asks.
 */
export function useCheapestAction() {
  const { schema, organizationId } = useBilling();
  return useQuery({
    queryKey: queryKey(organizationId, "catalogue", "cheapest_action"),
    queryFn: async ({ signal }): Promise<MicroCredits | null> => {
      const now = new Date().toISOString();
      const rows = await answerOf(
        schema
          .from("agent_action_costs")
          .select("credit_cost::text")
          .eq("metric", "call")
          .eq("caller_priced", false)
          .gt("credit_cost", 0)
          .lte("effective_from", now)
          .or(`effective_to.is.null,effective_to.gt.${now}`)
          .order("credit_cost")
          .limit(1)
          .abortSignal(signal),
      );
      const text = rows[0]?.credit_cost;
      return text === undefined ? null : parseCredits(roundUpToMicro(text));
    },
    staleTime: CATALOGUE_STALE_MS,
  });
}

/** Prices may be finer than amounts; an amount is rounded up at the sixth decimal, as the ledger does. */
function roundUpToMicro(price: string): string {
  const [whole = "0", fraction = ""] = price.split(".");
  if (/^0*$/.test(fraction.slice(6))) return `${whole}.${fraction.slice(0, 6).padEnd(6, "0")}`;
  const micros = BigInt(whole + fraction.slice(0, 6)) + 1n;
  const digits = micros.toString().padStart(7, "0");
  return `${digits.slice(0, -6)}.${digits.slice(-6)}`;
}
