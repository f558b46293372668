/** Use of credits over time and by group. Days are UTC days, because that is how the database keeps its rollups. */

import { useQuery } from "@tanstack/react-query";
import { answerOf, filled } from "../client.js";
import { useBilling } from "../context.js";
import { type MicroCredits, parseCredits } from "../credits.js";
import { queryKey, type Topic } from "../query_keys.js";

export type UsageGroup = "agent_type" | "action" | "department" | "member" | "model" | "agent_key";

const DAY_MS = 86_400_000;

/** A half-open stretch of whole UTC days. */
export interface UsagePeriod {
  readonly from: Date;
  readonly to: Date;
}

/**
 * Gives the last days, today included.
 *
 * @param days - How many.
 * @param now - The instant that decides what today is.
 */
export function lastDays(days: number, now: Date): UsagePeriod {
  const today = Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate());
  return { from: new Date(today - (days - 1) * DAY_MS), to: new Date(today + DAY_MS) };
}

/** Gives the equally long stretch just before. */
export function periodBefore({ from, to }: UsagePeriod): UsagePeriod {
  return { from: new Date(2 * from.getTime() - to.getTime()), to: from };
}

/** Lists the days of a period, each by its first instant. */
export function daysOf({ from, to }: UsagePeriod): Date[] {
  const count = Math.round((to.getTime() - from.getTime()) / DAY_MS);
  return Array.from({ length: count }, (_, index) => new Date(from.getTime() + index * DAY_MS));
}

/** Credits used by one group on one day. */
export interface UsageCell {
  readonly day: number;
  readonly group: string | null;
  readonly amount: MicroCredits;
  readonly count: number;
}

/**
 * Reads use by day and group.
 *
 * @param period - Whole UTC days.
 * @param groupBy - What to tell apart; null for one figure a day.
 */
export function useUsage(period: UsagePeriod, groupBy: UsageGroup | null) {
  const { schema, organizationId } = useBilling();
  const from = period.from.toISOString();
  const to = period.to.toISOString();
  return useQuery({
    queryKey: queryKey(organizationId, "ledger", "usage", from, to, groupBy),
    queryFn: async ({ signal }): Promise<UsageCell[]> => {
      const rows = await answerOf(
        schema
          .rpc(
            "get_usage_timeseries",
            { organization_id: organizationId, from, to, ...(groupBy === null ? {} : { group_by: groupBy }) },
            { get: true },
          )
          .select("bucket_start, group_key, amount::text, consumption_count")
          .abortSignal(signal),
      );
      return rows.map((row) => ({
        day: new Date(filled(row.bucket_start, "bucket_start")).getTime(),
        group: row.group_key,
        amount: parseCredits(row.amount),
        count: filled(row.consumption_count, "consumption_count"),
      }));
    },
  });
}

/** What is over is moved by a refund alone: it is read again when the page is looked at, not with every spend. */
function topicOf(period: UsagePeriod): Topic {
  return period.to.getTime() <= Date.now() ? "once" : "ledger";
}

/** Credits used by one group, or by all groups beyond the largest. */
export interface UsageShare {
  readonly group: string | null;
  readonly isOther: boolean;
  readonly amount: MicroCredits;
  readonly count: number;
}

/**
 * Reads use by group: the largest groups, and one row for all others.
 *
 * @param period - Whole UTC days.
 * @param groupBy - What to tell apart.
 * @param topN - How many groups stand for themselves.
 */
export function useUsageBreakdown(period: UsagePeriod, groupBy: UsageGroup, topN: number) {
  const { schema, organizationId } = useBilling();
  const from = period.from.toISOString();
  const to = period.to.toISOString();
  return useQuery({
    queryKey: queryKey(organizationId, topicOf(period), "breakdown", from, to, groupBy, topN),
    queryFn: async ({ signal }): Promise<UsageShare[]> => {
      const rows = await answerOf(
        schema
          .rpc(
            "get_usage_breakdown",
            { organization_id: organizationId, from, to, group_by: groupBy, top_n: topN },
            { get: true },
          )
          .select("group_key, is_other, amount::text, consumption_count")
          .abortSignal(signal),
      );
      return rows.map((row) => ({
        group: row.group_key,
        isOther: filled(row.is_other, "is_other"),
        amount: parseCredits(row.amount),
        count: filled(row.consumption_count, "consumption_count"),
      }));
    },
  });
}
