/** Plans: what is on offer, and starting, changing, cancelling and resuming one. */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { z } from "zod/mini";
import { answerOf } from "../client.js";
import { useBilling } from "../context.js";
import { queryKey } from "../query_keys.js";
import { redirectAnswer, useWorkers } from "../workers.js";
import { returnAddresses } from "./checkout.js";

const CATALOGUE_STALE_MS = 300_000;

/** Reads the plans on offer, in the order of the catalogue. */
export function usePlans() {
  const { schema, organizationId } = useBilling();
  return useQuery({
    queryKey: queryKey(organizationId, "catalogue", "plans"),
    queryFn: ({ signal }) =>
      answerOf(
        schema
          .from("subscription_plans")
          .select(
            "id, key, name, description, unit_amount, currency, billing_interval, credits_per_period::text, rollover_cap::text, rollover_share::text, trial_days, trial_credits::text",
          )
          .eq("is_active", true)
          .order("sort_order")
          .order("unit_amount")
          .abortSignal(signal),
      ),
    staleTime: CATALOGUE_STALE_MS,
  });
}

/** A plan as `usePlans` gives it. */
export type PlanRow = NonNullable<ReturnType<typeof usePlans>["data"]>[number];

/** Opens Stripe's page for a plan and sends the browser there. */
export function useBuyPlan() {
  const { organizationId, checkoutReturnUrl } = useBilling();
  const callWorker = useWorkers();
  return useMutation({
    mutationFn: async (planId: string) => {
      const body = {
        organization_id: organizationId,
        plan_id: planId,
        ...(checkoutReturnUrl === undefined ? {} : returnAddresses(checkoutReturnUrl)),
      };
      const { url } = await callWorker("create_checkout_session", body, redirectAnswer);
      window.location.assign(url);
    },
  });
}

/** Something that is done to the plan in force. */
export type PlanStep =
  /** A plan without a price begins, or goes on after its end was planned. */
  | { readonly kind: "start_free"; readonly planId: string }
  | { readonly kind: "cancel_free" }
  | { readonly kind: "change"; readonly planId: string }
  | { readonly kind: "cancel" }
  | { readonly kind: "resume" };

/** Takes a step; what the plan then is, is read again. */
export function usePlanStep() {
  const { schema, organizationId } = useBilling();
  const callWorker = useWorkers();
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: async (step: PlanStep): Promise<unknown> => {
      const organization = { organization_id: organizationId };
      switch (step.kind) {
        case "start_free":
          return answerOf(schema.rpc("start_free_subscription", { ...organization, plan_id: step.planId }));
        case "cancel_free":
          return answerOf(schema.rpc("cancel_free_subscription", organization));
        case "change":
          return callWorker(
            "change_plan",
            { ...organization, plan_id: step.planId, mode: "prorate_delta" },
            z.unknown(),
          );
        case "cancel":
          return callWorker("cancel_subscription", organization, z.unknown());
        case "resume":
          return callWorker("resume_subscription", organization, z.unknown());
      }
    },
    onSettled: () =>
      Promise.all(
        (["money", "ledger"] as const).map((topic) =>
          queryClient.invalidateQueries({ queryKey: queryKey(organizationId, topic) }),
        ),
      ),
  });
}
