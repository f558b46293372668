/** What those who run the platform read and do: Stripe's inbox, alerts, reconciliation. The database refuses everybody else. */

import { type UseQueryResult, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { z } from "zod/mini";
import { answerOf, filled } from "../client.js";
import { useBilling } from "../context.js";
import { PLATFORM, queryKey } from "../query_keys.js";
import { useWorkers } from "../workers.js";

const REFRESH_MS = 15_000;

/** Events that can be run again all at once. */
export const REPLAYABLE = ["failed", "parked"] as const;
export type Replayable = (typeof REPLAYABLE)[number];

/** Which events are shown: those that wait for somebody (failed or parked), those of one status, or all. */
export const EVENT_CHOICES = [
  "waiting",
  "failed",
  "parked",
  "received",
  "ignored",
  "processed",
  "all",
] as const;
export type EventChoice = (typeof EVENT_CHOICES)[number];

/** Asks once whether the signed-in person runs the platform. */
export function usePlatformAdmin(): UseQueryResult<boolean> {
  const { schema, userId } = useBilling();
  return useQuery({
    queryKey: queryKey(PLATFORM, "once", "admin", userId),
    queryFn: ({ signal }) => answerOf(schema.rpc("am_i_platform_admin").abortSignal(signal)),
    staleTime: Number.POSITIVE_INFINITY,
    refetchOnWindowFocus: false,
  });
}

function statusesOf(choice: EventChoice): readonly (string | null)[] {
  if (choice === "all") return [null];
  return choice === "waiting" ? REPLAYABLE : [choice];
}

/**
 * Reads events of Stripe's inbox, newest first.
 *
 * @param choice - Which ones.
 * @param limit - At most how many of each status.
 */
export function useStripeEvents(choice: EventChoice, limit = 100) {
  const { schema } = useBilling();
  return useQuery({
    queryKey: queryKey(PLATFORM, "operations", "stripe_events", choice, limit),
    queryFn: async ({ signal }) => {
      const lists = await Promise.all(
        statusesOf(choice).map((status) =>
          answerOf(
            schema
              .rpc("list_stripe_events", { limit, ...(status === null ? {} : { status }) })
              .select(
                "event_id, type, status, attempts, error, next_attempt_at, organization_id, received_at",
              )
              .abortSignal(signal),
          ),
        ),
      );
      const receivedAt = (row: (typeof lists)[number][number]) =>
        new Date(filled(row.received_at, "received_at")).getTime();
      return lists.flat().sort((one, other) => receivedAt(other) - receivedAt(one));
    },
    refetchInterval: REFRESH_MS,
  });
}

/** An event as `useStripeEvents` gives it. */
export type StripeEventRow = NonNullable<ReturnType<typeof useStripeEvents>["data"]>[number];

const replayAnswer = z.object({ events: z.array(z.object({ event_id: z.string(), status: z.string() })) });

/** These events, or all of a status (the worker takes at most 100 a call). */
export type Replay = { readonly event_ids: readonly string[] } | { readonly status: Replayable };

/** Runs events again, each read anew at Stripe. The mutation's data says what became of each. */
export function useReplayStripeEvents() {
  const call = useWorkers();
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: async (wanted: Replay) => (await call("replay_stripe_events", wanted, replayAnswer)).events,
    onSettled: () => queryClient.invalidateQueries({ queryKey: queryKey(PLATFORM, "operations") }),
  });
}

/** Reads the alerts that stand, newest first. */
export function usePlatformAlerts() {
  const { schema } = useBilling();
  return useQuery({
    queryKey: queryKey(PLATFORM, "operations", "alerts"),
    queryFn: ({ signal }) =>
      answerOf(
        schema
          .rpc("list_platform_alerts")
          .select("id, kind, severity, subject_id, organization_id, details, occurrences, last_seen_at")
          .abortSignal(signal),
      ),
    refetchInterval: REFRESH_MS,
  });
}

/** An alert as `usePlatformAlerts` gives it. */
export type PlatformAlertRow = NonNullable<ReturnType<typeof usePlatformAlerts>["data"]>[number];

/** Closes an alert by its id; what goes on raises it again. */
export function useClosePlatformAlert() {
  const { schema } = useBilling();
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: (alertId: string) => answerOf(schema.rpc("close_platform_alert", { alert_id: alertId })),
    onSettled: () => queryClient.invalidateQueries({ queryKey: queryKey(PLATFORM, "operations", "alerts") }),
  });
}

/**
 * Reads where Stripe and our rows differ, as it stands, newest first.
 *
 * @param limit - At most how many.
 */
export function useReconciliationReports(limit = 100) {
  const { schema } = useBilling();
  return useQuery({
    queryKey: queryKey(PLATFORM, "operations", "reconciliation", limit),
    queryFn: ({ signal }) =>
      answerOf(
        schema
          .rpc("list_reconciliation_reports", { open: true, limit })
          .select(
            "organization_id, kind, stripe_object_id, problem, ours, stripes, first_seen_at, last_seen_at",
          )
          .abortSignal(signal),
      ),
    refetchInterval: REFRESH_MS,
  });
}

/** A difference as `useReconciliationReports` gives it. */
export type ReconciliationRow = NonNullable<ReturnType<typeof useReconciliationReports>["data"]>[number];
