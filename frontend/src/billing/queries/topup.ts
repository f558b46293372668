/** Automatic top-up: its terms, its latest charges, switching it on and off. */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { z } from "zod/mini";
import { answerOf, numericArgument } from "../client.js";
import { useBilling } from "../context.js";
import { parseCredits } from "../credits.js";
import { BillingError } from "../errors.js";
import { queryKey } from "../query_keys.js";
import { useWorkers } from "../workers.js";

/** Reads the terms of automatic top-up; null when nobody ever set them. */
export function useAutoTopup() {
  const { schema, organizationId } = useBilling();
  return useQuery({
    queryKey: queryKey(organizationId, "money", "auto_topup"),
    queryFn: async ({ signal }) => {
      const row = await answerOf(
        schema
          .from("auto_topups")
          .select(
            "is_enabled, threshold::text, topup_amount::text, target_balance::text, package_id, monthly_cap, currency, consent_text, consented_at, paused_reason",
          )
          .eq("organization_id", organizationId)
          .abortSignal(signal)
          .maybeSingle(),
      );
      if (row === null) return null;
      return {
        isEnabled: row.is_enabled,
        threshold: parseCredits(row.threshold),
        amount: row.topup_amount === null ? null : parseCredits(row.topup_amount),
        target: row.target_balance === null ? null : parseCredits(row.target_balance),
        packageId: row.package_id,
        monthlyCap: row.monthly_cap,
        currency: row.currency,
        consentText: row.consent_text,
        consentedAt: row.consented_at,
        pausedReason: row.paused_reason,
      };
    },
  });
}

/** The terms as `useAutoTopup` gives them. */
export type AutoTopupTerms = NonNullable<ReturnType<typeof useAutoTopup>["data"]>;

/**
 * Reads the latest charges, newest first.
 *
 * @param limit - At most how many.
 */
export function useTopupAttempts(limit: number) {
  const { schema, organizationId } = useBilling();
  return useQuery({
    queryKey: queryKey(organizationId, "money", "auto_topup_attempts", limit),
    queryFn: ({ signal }) =>
      answerOf(
        schema
          .from("auto_topup_attempts")
          .select("id, status, credits::text, amount, currency, failure_message, created_at")
          .eq("organization_id", organizationId)
          .order("created_at", { ascending: false })
          .order("id")
          .limit(limit)
          .abortSignal(signal),
      ),
  });
}

/** Terms to agree to; amounts are decimal texts in credits. */
export interface NewAutoTopup {
  readonly threshold: string;
  readonly kind: "amount" | "target";
  readonly credits: string;
  readonly packageId: string;
  /** In the currency's smallest unit; null: no cap. */
  readonly monthlyCap: number | null;
  /** The words that the person agreed to, kept with the terms. */
  readonly consent: string;
}

/** Switches automatic top-up on with terms, or off (null). */
export function useSetAutoTopup() {
  const { schema, organizationId } = useBilling();
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: (terms: NewAutoTopup | null) =>
      answerOf(
        schema.rpc("set_auto_topup", {
          organization_id: organizationId,
          ...(terms === null
            ? { enabled: false }
            : {
                enabled: true,
                threshold: numericArgument(terms.threshold),
                [terms.kind]: numericArgument(terms.credits),
                package_id: terms.packageId,
                consent: terms.consent,
                ...(terms.monthlyCap === null ? {} : { monthly_cap: terms.monthlyCap }),
              }),
        }),
      ),
    onSettled: () => queryClient.invalidateQueries({ queryKey: queryKey(organizationId, "money") }),
  });
}

const actionAnswer = z.object({
  status: z.string(),
  client_secret: z.nullable(z.string()),
  payment_method_id: z.string(),
});

/** Confirms the payment of a top-up that the bank has asked about: this very payment, never another one. */
export function useConfirmTopup() {
  const { organizationId, loadStripe } = useBilling();
  const callWorker = useWorkers();
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: async () => {
      const body = { organization_id: organizationId };
      const asked = await callWorker("confirm_auto_topup", body, actionAnswer);
      if (asked.status !== "needs_action" || asked.client_secret === null) return;
      const stripe = await loadStripe?.();
      // The answer is the bank's to us by way of the worker, which reads the payment itself; what the browser says is not asked.
      await stripe?.confirmPayment({
        clientSecret: asked.client_secret,
        confirmParams: { payment_method: asked.payment_method_id, return_url: window.location.href },
        redirect: "if_required",
      });
      const { status } = await callWorker("confirm_auto_topup", body, actionAnswer);
      if (status !== "succeeded" && status !== "processing") throw new BillingError("payment_failed", 402);
    },
    onSettled: () =>
      Promise.all(
        (["money", "ledger"] as const).map((topic) =>
          queryClient.invalidateQueries({ queryKey: queryKey(organizationId, topic) }),
        ),
      ),
  });
}
