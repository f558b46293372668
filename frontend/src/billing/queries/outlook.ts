/** What lies ahead: when credits run out, what is left of which grant, and whether spending is about to stop. */

import { useQuery } from "@tanstack/react-query";
import { answerOf, filled } from "../client.js";
import { useBilling } from "../context.js";
import { parseCredits } from "../credits.js";
import { queryKey } from "../query_keys.js";

/** Most grants listed. */
export const GRANTS_SHOWN = 50;

/** Reads when credits run out at the pace of the last 28 days, with the interval in which that lies. */
export function useUsageForecast() {
  const { schema, organizationId } = useBilling();
  return useQuery({
    queryKey: queryKey(organizationId, "ledger", "forecast"),
    queryFn: async ({ signal }) => {
      const row = await answerOf(
        schema
          .rpc("get_usage_forecast", { organization_id: organizationId }, { get: true })
          .select(
            "runs_out_at, runs_out_earliest, runs_out_latest, confidence::text, spend_per_day::text, days_observed, as_of",
          )
          .abortSignal(signal),
      );
      return {
        runsOutAt: row.runs_out_at,
        earliest: row.runs_out_earliest,
        latest: row.runs_out_latest,
        confidence: Number(row.confidence),
        spendPerDay: row.spend_per_day,
        daysObserved: filled(row.days_observed, "days_observed"),
        asOf: filled(row.as_of, "as_of"),
      };
    },
  });
}

/** What `useUsageForecast` gives. */
export type UsageForecast = NonNullable<ReturnType<typeof useUsageForecast>["data"]>;

/** Reads why and from when the organization may not spend; both null when it may. */
export function useRestriction() {
  const { schema, organizationId } = useBilling();
  return useQuery({
    queryKey: queryKey(organizationId, "money", "restriction"),
    queryFn: ({ signal }) =>
      answerOf(
        schema
          .from("organizations")
          .select("restricted_reason, restricted_from")
          .eq("organization_id", organizationId)
          .abortSignal(signal)
          .maybeSingle(),
      ),
  });
}

/** Reads the grants that have credits left or are still to start, those first that are used first. */
export function useOpenGrants() {
  const { schema, organizationId } = useBilling();
  return useQuery({
    queryKey: queryKey(organizationId, "ledger", "grants"),
    queryFn: async ({ signal }) => {
      const rows = await answerOf(
        schema
          .from("credit_grants")
          .select(
            "id, source, amount::text, remaining::text, held::text, priority, department_id, agent_types, effective_at, expires_at, activated_at, period_start, period_ends_at, rollover_cap::text",
          )
          .eq("organization_id", organizationId)
          .eq("is_open", true)
          .order("priority")
          .order("expires_at", { nullsFirst: false })
          .order("effective_at")
          .order("id")
          .limit(GRANTS_SHOWN + 1)
          .abortSignal(signal),
      );
      return rows.map((row) => ({
        id: filled(row.id, "id"),
        source: filled(row.source, "source"),
        amount: parseCredits(row.amount),
        remaining: parseCredits(row.remaining),
        held: parseCredits(row.held),
        departmentId: row.department_id,
        agentTypes: row.agent_types,
        effectiveAt: filled(row.effective_at, "effective_at"),
        isStarted: row.activated_at !== null,
        expiresAt: row.expires_at,
        periodStart: row.period_start,
        periodEndsAt: row.period_ends_at,
        rolloverCap: row.rollover_cap === null ? null : parseCredits(row.rollover_cap),
      }));
    },
  });
}

/** A grant as `useOpenGrants` gives it. */
export type GrantRow = NonNullable<ReturnType<typeof useOpenGrants>["data"]>[number];
