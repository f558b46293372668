/** Saved payment methods: reading, saving another, choosing the default, removing. */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { z } from "zod/mini";
import { answerOf } from "../client.js";
import { useBilling } from "../context.js";
import { BillingError } from "../errors.js";
import { queryKey } from "../query_keys.js";
import { redirectAnswer, useWorkers } from "../workers.js";
import { returnAddresses } from "./checkout.js";

/** Reads the payment methods that can be charged, the default first. */
export function usePaymentMethods() {
  const { schema, organizationId } = useBilling();
  return useQuery({
    queryKey: queryKey(organizationId, "money", "payment_methods"),
    queryFn: ({ signal }) =>
      answerOf(
        schema
          .from("payment_methods")
          .select("id, type, brand, last4, exp_month, exp_year, is_default")
          .eq("organization_id", organizationId)
          .is("detached_at", null)
          .order("is_default", { ascending: false })
          .order("created_at")
          .order("id")
          .abortSignal(signal),
      ),
  });
}

/** A payment method as `usePaymentMethods` gives it. */
export type PaymentMethodRow = NonNullable<ReturnType<typeof usePaymentMethods>["data"]>[number];

/** Opens Stripe's page for saving a card and sends the browser there. */
export function useAddCard() {
  const { organizationId, checkoutReturnUrl } = useBilling();
  const callWorker = useWorkers();
  return useMutation({
    mutationFn: async () => {
      const body = {
        organization_id: organizationId,
        ...(checkoutReturnUrl === undefined ? {} : setupAddresses(checkoutReturnUrl)),
      };
      const { url } = await callWorker("create_setup_session", body, redirectAnswer);
      window.location.assign(url);
    },
  });
}

/** As for a checkout; the first says by itself that a card was saved, and nothing bought. */
function setupAddresses(returnUrl: string): { success_url: string; cancel_url: string } {
  const saved = new URL(returnUrl);
  saved.searchParams.set("setup", "1");
  return { ...returnAddresses(returnUrl), success_url: saved.href };
}

const savedCard = z.object({ brand: z.nullable(z.string()), last4: z.nullable(z.string()) });

/**
 * Makes the card that was just saved the default, once; the webhook saves it in any case.
 *
 * @param stripeSessionId - From the address that Stripe returned to.
 */
export function useFinishSetup(stripeSessionId: string) {
  const { organizationId } = useBilling();
  const callWorker = useWorkers();
  return useQuery({
    queryKey: queryKey(organizationId, "once", "setup", stripeSessionId),
    queryFn: () =>
      callWorker(
        "finish_setup_session",
        { organization_id: organizationId, session_id: stripeSessionId },
        savedCard,
      ),
    staleTime: Number.POSITIVE_INFINITY,
    refetchOnWindowFocus: false,
    retry: (failures, error) => failures < 3 && error instanceof BillingError && error.status >= 500,
  });
}

/** What is done to a saved payment method: the worker's name. */
export type CardStep = "set_default_payment_method" | "detach_payment_method";

/** Makes a payment method the default, or removes it. */
export function useCardStep() {
  const { organizationId } = useBilling();
  const callWorker = useWorkers();
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: ({ step, id }: { readonly step: CardStep; readonly id: string }) =>
      callWorker(step, { organization_id: organizationId, payment_method_id: id }, z.unknown()),
    onSettled: () => queryClient.invalidateQueries({ queryKey: queryKey(organizationId, "money") }),
  });
}
